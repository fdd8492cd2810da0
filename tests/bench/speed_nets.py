"""The networks of speed.py: plain torch, trained for a moment, thresholds to be moved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

STEPS = 4
DECAY = 0.75


class _Spike(torch.autograd.Function):
    """A step with the gradient of a steep sigmoid's."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return grad / (1 + 10 * x.abs()) ** 2


class Lif(nn.Module):
    """Leaky integrate-and-fire with a soft reset."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = 1.0
        self.count = 0.0
        self.size = 1

    def forward(self, v: torch.Tensor | None, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        v = x if v is None else v * DECAY + x
        spikes = _Spike.apply(v - self.threshold) if self.training else (v >= self.threshold).to(x)
        return v - spikes * self.threshold, spikes


class ConvNet(nn.Module):
    """3-64-64-P-128-P-128-P-10; the image is seen at every step and convolved once."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 64), (64, 64), (64, 128), (128, 128))
        self.synapses = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in sizes)
        self.neurons = nn.ModuleList(Lif() for _ in sizes)
        self.readout = nn.Linear(2048, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.synapses[0](x)
        states: list[torch.Tensor | None] = [None] * 4
        total: torch.Tensor | None = None
        for _ in range(STEPS):
            spikes = x
            for k, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
                current = first if k == 0 else synapse(spikes)
                states[k], spikes = neuron(states[k], current)
                if k:
                    spikes = functional.max_pool2d(spikes, 2)
            out = self.readout(spikes.flatten(1))
            total = out if total is None else total + out
        assert total is not None
        return total


class Perceptron(nn.Module):
    """784-512-512-10 on spikes ``[T, B, 784]``."""

    def __init__(self) -> None:
        super().__init__()
        self.synapses = nn.ModuleList([nn.Linear(784, 512), nn.Linear(512, 512)])
        self.neurons = nn.ModuleList([Lif(), Lif()])
        self.readout = nn.Linear(512, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states: list[torch.Tensor | None] = [None, None]
        total: torch.Tensor | None = None
        for t in range(STEPS):
            spikes = x[t]
            for k, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
                states[k], spikes = neuron(states[k], synapse(spikes))
            out = self.readout(spikes)
            total = out if total is None else total + out
        assert total is not None
        return total


@dataclass(frozen=True)
class Net:
    """A network and its data.

    Attributes:
        make: builds it.
        samples: batch-first samples for a firing rate of the input, where that is spikes.
        arranged: samples as the network takes them.
    """

    make: Callable[[], nn.Module]
    samples: Callable[[int], np.ndarray]
    arranged: Callable[[np.ndarray], np.ndarray]


def _digits() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target


def _images(count: int) -> np.ndarray:
    """Return digits as colour images of 32 x 32."""
    images = torch.from_numpy(_digits()[0])[:, None]
    larger = functional.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    tinted = torch.cat([larger, 1 - larger, larger * larger], 1)
    return tinted[np.arange(count) % len(tinted)].numpy()


#: Share of active inputs of the perceptron; set by at_rate().
_input_rate = 0.05


def _spikes(count: int) -> np.ndarray:
    """Return digits of 28 x 28 as random spikes ``[n, T, 784]`` of the input rate."""
    images = torch.from_numpy(_digits()[0])[:, None]
    larger = functional.interpolate(images, size=(28, 28), mode="bilinear", align_corners=False)
    flat = larger.flatten(1)[np.arange(count) % len(larger)].numpy()
    chance = np.clip(flat * _input_rate / max(flat.mean(), 1e-6), 0, 1)
    rng = np.random.default_rng(0)
    return (rng.random((STEPS, *chance.shape)) < chance).astype(np.float32).swapaxes(0, 1)


NETS = {
    "conv": Net(ConvNet, _images, lambda samples: samples),
    "mlp": Net(Perceptron, _spikes, lambda samples: np.ascontiguousarray(samples.swapaxes(0, 1))),
}


def samples_of(net: Net, count: int) -> np.ndarray:
    """Return batch-first samples."""
    return net.samples(count)


def trained(net: Net, path: Path) -> nn.Module:
    """Return the network, trained for a moment, or as the file holds it."""
    torch.manual_seed(0)
    model = net.make()
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    labels = torch.from_numpy(_digits()[1])
    samples = net.samples(len(labels))
    steps, batch = (40, 32) if isinstance(model, ConvNet) else (200, 64)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    rng = np.random.default_rng(0)
    model.train()
    for _ in range(steps):
        chosen = rng.integers(0, len(labels), batch)
        out = model(torch.from_numpy(net.arranged(samples[chosen])))
        loss = functional.cross_entropy(out, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), path)
    return model.eval()


def at_rate(net: Net, base: nn.Module, rate: float, count: int) -> nn.Module:
    """Return the network with thresholds at which each layer fires so often on `count` samples."""
    global _input_rate
    _input_rate = rate
    model = copy.deepcopy(base)
    samples = torch.from_numpy(net.arranged(net.samples(count)))
    neurons: list[Lif] = list(model.neurons)  # type: ignore[arg-type]
    for neuron in neurons:
        low, high = 1e-4, 1e4
        for _ in range(40):
            neuron.threshold = float(np.sqrt(low * high))
            if _rate(model, neuron, samples) > rate:
                low = neuron.threshold
            else:
                high = neuron.threshold
    return model


def _rate(model: nn.Module, neuron: Lif, samples: torch.Tensor) -> float:
    """Return the firing rate of one layer."""
    seen: list[float] = []
    handle = neuron.register_forward_hook(lambda _m, _i, out: seen.append(float(out[1].mean())))
    with torch.inference_mode():
        model(samples)
    handle.remove()
    return float(np.mean(seen))
