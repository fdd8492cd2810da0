"""How long forward and backward of a convolutional spiking network take, beside other frameworks.

Four convolutions over 32x32 images, folded over ``T``, each followed by LIF neurons (alpha 0.9,
hard reset to 0 whose gradient is cut, arctangent surrogate). All frameworks run the same weights
and input, one after the other in every round; what counts is the ratio of times in one round.
Wanted: at most 1.2 times SpikingJelly's torch backend, and less than snnTorch.

Give the others a folder of their own, which leaves the environment's packages as they are::

    pip install --target others --no-deps spikingjelly==2.0.0 snntorch==1.0.0 loguru
    PYTHONPATH=others:. python tests/bench/training_speed.py [rounds] [T] [batch] [threads]

A framework that is not there is left out.
"""

import platform
import statistics
import sys
import time
from importlib.metadata import distributions
from importlib.util import find_spec
from itertools import pairwise

import torch
from torch import nn

import snnquant.nn as snn

CHANNELS = (3, 64, 64, 128, 128)
ALPHA = 0.9


class Net(nn.Module):
    """Convolutions with a neuron layer after each, over ``[T, B, C, H, W]``."""

    def __init__(self, neuron):
        super().__init__()
        torch.manual_seed(0)
        layers = []
        for inputs, outputs in pairwise(CHANNELS):
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            # Torch's own initial weights are too small: no neuron behind the first layer fires.
            nn.init.kaiming_normal_(convolution.weight)
            layers += [snn.Folded(convolution), neuron()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x).mean(0)


class Identity(nn.Module):
    """No neuron at all: what the convolutions alone cost."""

    def forward(self, x):
        return x


def ours():
    return snn.LIF(alpha=ALPHA)


def spikingjelly():
    """Multi-step node of the torch backend; it multiplies the last membrane by 1 - 1 / tau."""
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(
        tau=1 / (1 - ALPHA),
        decay_input=False,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode="m",
    )


class SnnTorch(nn.Module):
    """Leaky over time, as its documentation runs it; the gradient of its reset is not cut."""

    def __init__(self):
        super().__init__()
        import snntorch

        self.leaky = snntorch.Leaky(
            ALPHA, reset_mechanism="zero", reset_delay=False, learn_beta=False
        )

    def forward(self, x):
        mem = torch.zeros_like(x[0])
        spikes = []
        for step in x:
            spike, mem = self.leaky(step, mem)
            spikes.append(spike)
        return torch.stack(spikes)


FRAMEWORKS = {
    "snnquant": ours,
    "spikingjelly": spikingjelly,
    "snntorch": SnnTorch,
    "convolutions": Identity,
}


def forget(net):
    """Drop the states that SpikingJelly keeps in its modules."""
    for module in net.modules():
        if type(module).__module__.startswith("spikingjelly") and hasattr(module, "reset"):
            module.reset()


def seconds(net, x):
    """Return the time of one forward and one backward."""
    net.zero_grad()
    forget(net)
    start = time.perf_counter()
    out = net(x)
    middle = time.perf_counter()
    (out - 1).square().sum().backward()
    return middle - start, time.perf_counter() - middle


def compare(nets, x):
    """Print whether the networks compute the same before any time is taken."""
    for name, net in nets.items():
        seconds(net, x)
        gradient = net.layers[0][0].weight.grad
        if name == "snnquant":
            ours = gradient
        forget(net)
        rate = float(net(x).detach().mean())
        off = float((gradient - ours).abs().max() / ours.abs().max())
        print(f"{name:13} spikes of layer 4: {rate:.4f}, gradients of conv 1 differ by {off:.1e}")


def machine():
    """Return what was compared, on what."""
    found = {d.name.lower(): d.version for d in distributions()}
    packages = [f"{name} {found.get(name, '?')}" for name in ("torch", "spikingjelly", "snntorch")]
    python = f"python {platform.python_version()}"
    cpu = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return ", ".join([cpu, f"{torch.get_num_threads()} threads", python, *packages])


def main():
    given = [int(argument) for argument in sys.argv[1:]]
    rounds, steps, batch, threads = given + [7, 8, 16, torch.get_num_threads()][len(given) :]
    torch.set_num_threads(threads)
    print(f"{machine()}\nT={steps}, batch {batch}, {rounds} rounds")
    nets = {
        name: Net(neuron)
        for name, neuron in FRAMEWORKS.items()
        if find_spec(name) or name == "convolutions"
    }
    x = torch.rand(steps, batch, CHANNELS[0], 32, 32)
    compare({name: net for name, net in nets.items() if name != "convolutions"}, x)
    times = {name: [] for name in nets}
    for _ in range(rounds):
        for name, net in nets.items():
            times[name].append(seconds(net, x))
    base = [sum(pair) for pair in times["snnquant"]]
    for name, pairs in times.items():
        total = [sum(pair) for pair in pairs]
        ratio = statistics.median(a / b for a, b in zip(base, total, strict=True))
        print(
            f"{name:13} forward {statistics.median(p[0] for p in pairs):6.3f} s, "
            f"backward {statistics.median(p[1] for p in pairs):6.3f} s, "
            f"both {statistics.median(total):6.3f} s; snnquant / {name}: {ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
