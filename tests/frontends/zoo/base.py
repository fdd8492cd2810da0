"""What a net of the zoo is, and the pieces that nets of every framework share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

Neuron = dict[str, Any]

#: Where time is in the input of a net: nowhere, or at axis 0 or 1.
KINDS = ("static", "TB", "BT")


@dataclass(frozen=True)
class ZooNet:
    """A net with known neurons.

    Attributes:
        name: unique, ``<framework>/<what it varies>``.
        build: makes the module, always with the same weights; forward runs all steps.
        features: shape of each input behind batch and time.
        kind: one of :data:`KINDS`.
        steps: number of time steps T.
        expected: what each neuron layer is, see :func:`neuron`; several dicts in a tuple are
            equally right. None: only the outputs are known.
        refused: why no neuron of snnquant expresses it; "": it is to be recognised.
        optional: what is recognised must be right, but a refusal is no miss.
        exporters: the exporters that make sense for it; (): all.
        hold: gain of the inputs below which all is promised, where a float read-out overflows.
    """

    name: str
    build: Callable[[], nn.Module]
    features: tuple[tuple[int, ...], ...]
    kind: str
    steps: int
    expected: tuple[Neuron | tuple[Neuron, ...], ...] | None = None
    refused: str = ""
    optional: bool = False
    exporters: tuple[str, ...] = ()

    @property
    def framework(self) -> str:
        return self.name.split("/")[0]

    def shapes(self, batch: int) -> list[tuple[int, ...]]:
        """Return the shape of each input."""
        lead = {"static": (batch,), "TB": (self.steps, batch), "BT": (batch, self.steps)}
        return [(*lead[self.kind], *features) for features in self.features]

    def inputs(self, batch: int, *, gain: float = 1.0, seed: int = 0) -> list[np.ndarray]:
        """Draw one array per input."""
        rng = np.random.default_rng(seed)
        return [(gain * rng.normal(0.4, 0.6, s)).astype(np.float32) for s in self.shapes(batch)]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run the original module."""
        with torch.no_grad():
            y = self.build().eval()(*[torch.from_numpy(x) for x in inputs])
        return [v.numpy() for v in (y if isinstance(y, (tuple, list)) else (y,))]


def neuron(
    alpha: Any = 1.0,
    threshold: Any = 1.0,
    reset: str = "hard",
    *,
    dv: Any = None,
    v_reset: Any = 0.0,
    after_leak: bool = False,
    equal: bool = False,
    max_spikes: int = 1,
    leak_bias: Any = 0.0,
    v_init: Any = None,
    refractory: int = 0,
    recurrent: bool = False,
    alpha_syn: Any = None,
    v_min: Any = None,
    adaptation: tuple[float, float, float] | None = None,
) -> Neuron:
    """Say what one spiking layer is, in snnquant's order: integrate, fire, reset, leak.

    Args:
        alpha, leak_bias, v_reset, v_min: as in ``snnquant.neurons``; arrays are per neuron.
        threshold: ``v_threshold``.
        reset: ``hard``, ``soft`` or ``none``.
        dv: what a spike subtracts; default: the threshold.
        after_leak: ``reset_after_leak``.
        equal: ``fire_on_equal``.
        max_spikes: most spikes of one step (255: unbounded).
        v_init: membrane before the first step, after the leak; default: as HARD implies, or 0.
        refractory: ``refractory_steps``.
        recurrent: whether its spikes come back through weights.
        alpha_syn: leak of the synaptic current; None: there is none.
        adaptation: ``threshold_decay, threshold_bias, threshold_increment``.
    """
    op = "LIF"
    if alpha_syn is not None:
        op = "CubaLIF"
    if v_min is not None or adaptation is not None:
        op = "ExtendedLIF"
    return {
        "op": op,
        "alpha": alpha,
        "threshold": threshold,
        "reset": reset,
        "dv": threshold if dv is None else dv,
        "v_reset": v_reset,
        "after_leak": after_leak,
        "equal": equal,
        "max_spikes": max_spikes,
        "leak_bias": leak_bias,
        "v_init": 0.0 if v_init is None else v_init,
        "refractory": refractory,
        "recurrent": recurrent,
        "alpha_syn": alpha_syn,
        "v_min": v_min,
        "adaptation": adaptation,
    }


def integrator(
    alpha: Any = 1.0, *, leak_bias: Any = 0.0, v_init: Any = 0.0, alpha_syn: Any = None
) -> Neuron:
    """Say what one read-out layer without spikes is."""
    return {
        "op": "LI",
        "alpha": alpha,
        "leak_bias": leak_bias,
        "v_init": v_init,
        "alpha_syn": alpha_syn,
    }


def spread(count: int, low: float, high: float) -> torch.Tensor:
    """Return ``count`` different values, for parameters that differ from neuron to neuron."""
    return torch.linspace(low, high, count)[torch.randperm(count, generator=_generator(count))]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settle(module: nn.Module, gain: float = 1.0, seed: int = 0) -> nn.Module:
    """Draw weights under which neurons of threshold 1 fire now and then; norms get statistics."""
    generator = _generator(seed)
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
            transposed = isinstance(part, nn.modules.conv._ConvTransposeNd)
            fan = part.weight[:, 0].numel() if transposed else part.weight[0].numel()
            with torch.no_grad():
                part.weight.normal_(0.15 * gain, gain, generator=generator).div_(fan**0.5)
                if part.bias is not None:
                    part.bias.uniform_(0, 0.4 * gain, generator=generator)
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            with torch.no_grad():
                part.running_mean.normal_(0, 0.2, generator=generator)
                part.running_var.uniform_(0.6, 1.5, generator=generator)
                if part.weight is not None:
                    part.weight.uniform_(0.7, 1.3, generator=generator)
                    part.bias.uniform_(0, 0.5, generator=generator)
        if isinstance(part, nn.LayerNorm):
            with torch.no_grad():
                part.weight.uniform_(0.7, 1.3, generator=generator)
                part.bias.uniform_(0.1, 0.6, generator=generator)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module.eval()


def _running(outs: list[Any]) -> Any:
    total = outs[0]
    for out in outs[1:]:
        total = total + out
    return total


def _from_zero(outs: list[Any]) -> Any:
    total = torch.zeros_like(outs[0])
    for out in outs:
        total = total + out
    return total


def _scatter(outs: list[Any]) -> Any:
    out = torch.zeros(len(outs), *outs[0].shape)
    for t, value in enumerate(outs):
        out[t] = value
    return out


#: What is made of the outputs of all steps.
READ_OUTS: dict[str, Callable[[list[Any]], Any]] = {
    "stack": lambda outs: torch.stack(outs),
    "stack_bt": lambda outs: torch.stack(outs, 1),
    "stack_last": lambda outs: torch.stack(outs, -1),
    "sum": lambda outs: torch.stack(outs).sum(0),
    "sum_bt": lambda outs: torch.stack(outs, 1).sum(1),
    "mean": lambda outs: torch.stack(outs).mean(0),
    "mean_last": lambda outs: torch.stack(outs, -1).mean(-1),
    "max": lambda outs: torch.stack(outs).max(0).values,
    "last": lambda outs: outs[-1],
    "running": _running,
    "from_zero": _from_zero,
    "running_mean": lambda outs: _running(outs) / len(outs),
    "python_sum": lambda outs: sum(outs) / len(outs),
    "scatter": _scatter,
    "cat": lambda outs: torch.cat([out.unsqueeze(0) for out in outs], 0),
    "softmax": lambda outs: torch.stack(outs).mean(0).softmax(-1),
    "log_softmax": lambda outs: torch.stack(outs).sum(0).log_softmax(-1),
}


class Rolled(nn.Module):
    """A net that is run step by step in a Python loop.

    A subclass gives ``start`` (new states) and ``step``.
    """

    def __init__(self, steps: int, kind: str = "static", read_out: str = "sum") -> None:
        super().__init__()
        self.steps = steps
        self.kind = kind
        self.read_out = read_out

    def at(self, x: Any, t: int) -> Any:
        """Return the input of one step."""
        return {"static": lambda: x, "TB": lambda: x[t], "BT": lambda: x[:, t]}[self.kind]()

    def start(self, *inputs: Any) -> None:
        """Forget all states."""

    def step(self, *inputs: Any) -> Any:
        """Run one step."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        self.start(*inputs)
        outs = [self.step(*[self.at(x, t) for x in inputs]) for t in range(self.steps)]
        if isinstance(outs[0], tuple):
            return tuple(READ_OUTS[self.read_out](list(part)) for part in zip(*outs, strict=True))
        return READ_OUTS[self.read_out](outs)


class _Watch(TorchDispatchMode):
    """Collects what every comparison of tensors gives."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: dict[tuple[int, ...], list[float]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        rounded = name in {"trunc", "floor", "round", "div"} and (
            name != "div" or "rounding_mode" in (kwargs or {})
        )
        if name in {"gt", "ge", "heaviside"} or rounded or name in {"lt", "le"}:
            rate = float((out != 0).float().mean())
            shape = tuple(out.shape[1:])
            self.fired.setdefault(shape, []).append(1 - rate if name in {"lt", "le"} else rate)
        return out


def firing_rates(net: ZooNet, batch: int = 16) -> dict[tuple[int, ...], float]:
    """Return how often the comparisons of each shape of features hold, on average."""
    module = net.build().eval()
    watch = _Watch()
    with torch.no_grad(), watch:
        module(*[torch.from_numpy(x) for x in net.inputs(batch)])
    return {shape: float(np.mean(rates)) for shape, rates in watch.fired.items()}
