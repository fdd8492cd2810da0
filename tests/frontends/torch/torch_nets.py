"""Networks of the frameworks, as users write them, and readings of them compared with torch."""

import warnings

import numpy as np
import torch
from torch import nn

from snnquant.frontends.torch.convert import read_network
from snnquant.frontends.torch.network import Example
from snnquant.runtime import load_session

with warnings.catch_warnings():  # what they say of torch when they are imported is theirs
    warnings.simplefilter("ignore")
    import norse.torch as norse
    import sinabs.layers as sl
    import snntorch
    from spikingjelly.activation_based import functional, layer, neuron


class SnnTorchLoop(nn.Module):
    """The loop of the tutorials: states are given to every neuron and come back."""

    def __init__(self, first, second, read_out="count", steps=5):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(12, 16), first
        self.fc2, self.lif2 = nn.Linear(16, 6), second
        self.read_out, self.steps = read_out, steps

    def forward(self, x):
        states = [self.lif1.reset_mem(), self.lif2.reset_mem()]
        states = [s if isinstance(s, tuple) else (s,) for s in states]
        spikes, membranes = [], []
        for _ in range(self.steps):
            out, states[0] = self.called(self.lif1, self.fc1(x), states[0])
            out, states[1] = self.called(self.lif2, self.fc2(out), states[1])
            spikes.append(out)
            membranes.append(states[1][-1])
        if self.read_out == "count":
            return torch.stack(spikes).sum(0)
        if self.read_out == "both":
            return torch.stack(spikes), torch.stack(membranes)
        return membranes[-1] if self.read_out == "last" else torch.stack(membranes)

    @staticmethod
    def called(neuron, current, states):
        answer = neuron(current, *states)
        own = answer if isinstance(neuron, (snntorch.RLeaky, snntorch.RSynaptic)) else answer[1:]
        return answer[0], own


class SpikingJellyLoop(nn.Module):
    """A single-step network that forward runs over time."""

    def __init__(self, first, second, read_out="rate", steps=5):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 16), first, nn.Linear(16, 6), second)
        self.read_out, self.steps = read_out, steps

    def forward(self, x):
        functional.reset_net(self)
        total = 0.0
        for _ in range(self.steps):
            total = total + self.net(x)
        return self.net[3].v if self.read_out == "v" else total / self.steps


class NorseLoop(nn.Module):
    """A SequentialState that forward runs over time."""

    def __init__(self, first, second, steps=5):
        super().__init__()
        self.net = norse.SequentialState(nn.Linear(12, 16), first, nn.Linear(16, 6), second)
        self.steps = steps

    def forward(self, x):
        state, outputs = None, []
        for _ in range(self.steps):
            out, state = self.net(x, state)
            outputs.append(out)
        return torch.stack(outputs).amax(0)


class SinabsNet(nn.Module):
    """Layers over ``[B, T, ...]``; the current is the same at every step."""

    def __init__(self, first, second, steps=5):
        super().__init__()
        self.fc1, self.first = nn.Linear(12, 16), first
        self.fc2, self.second = nn.Linear(16, 6), second
        self.steps = steps

    def forward(self, x):
        current = self.fc1(x).unsqueeze(1).repeat(1, self.steps, 1)
        return self.second(self.fc2(self.first(current))).sum(1)


def settled(net, gain=2.0):
    """Give a net weights with which its neurons fire."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            fan = module.weight[0].numel()
            noise = torch.randn(module.weight.shape, generator=generator)
            module.weight.data = noise * gain / fan**0.5
    return net


def read(net, *shape, time_axis=None, timesteps=None):
    """Return the reading of a net."""
    return read_network(settled(net), Example(shape, time_axis, timesteps), "net")


def neurons(reading):
    """Return the op types of the neuron nodes."""
    return [node.op_type for node in reading.model.graph.node if node.domain == "snnquant"]


def parameters(reading, name):
    """Return the constants of one neuron by name, and its structural choices."""
    graph = reading.model.graph
    held = {t.name: torch.from_numpy(np.array(_array(t))) for t in graph.initializer}
    node = next(n for n in graph.node if n.name == name)
    choices = {a.name: a.i for a in node.attribute}
    values = {n.removeprefix(f"{name}."): held[n].numpy() for n in node.input if n in held}
    return values, choices


def _array(tensor):
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)


def run(reading, x):
    """Return the outputs of a reading in stock ONNX Runtime."""
    session = load_session(reading.model.SerializeToString(), custom_ops=False)
    return session.run(None, {session.get_inputs()[0].name: np.asarray(x, np.float32)})


def same_as_torch(reading, net, *shape, gain=1.5):
    """Assert that a reading and its net agree on data that neither saw, and that spikes flow."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(77)) * gain
    net.eval()
    with torch.no_grad():
        wanted = net(x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = run(reading, x)
    assert len(found) == len(wanted)
    for array, tensor in zip(found, wanted, strict=True):
        np.testing.assert_allclose(array, tensor.numpy(), rtol=1e-4, atol=1e-5)
    assert all(array.any() for array in found)


__all__ = ["functional", "layer", "neuron", "norse", "sl", "snntorch"]
