"""How snnTorch nets are run: states by hand or hidden, dense layers in a row."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import snntorch as snn
from torch import nn

from zoo.base import READ_OUTS, Rolled, ZooNet, settle

LEAKY = {"subtract": "soft", "zero": "hard", "none": "none"}


class Stepped(Rolled):
    """Layers in a row; neurons are given their states and give them back."""

    def __init__(self, layers: Sequence[nn.Module], out: str = "spikes", **options: Any) -> None:
        super().__init__(**options)
        self.layers = nn.ModuleList(layers)
        self.out = out
        self.states: dict[int, tuple[Any, ...]] = {}

    def start(self, *inputs: Any) -> None:
        for k, layer in enumerate(self.layers):
            if isinstance(layer, snn.SpikingNeuron):
                fresh = layer.reset_mem()
                self.states[k] = fresh if isinstance(fresh, tuple) else (fresh,)

    def step(self, x: Any) -> Any:
        membrane = x
        for k, layer in enumerate(self.layers):
            if isinstance(layer, snn.SpikingNeuron):
                x, *states = layer(x, *self.states[k])
                recurrent = isinstance(layer, (snn.RLeaky, snn.RSynaptic))
                self.states[k] = (x, *states) if recurrent else tuple(states)
                membrane = states[-1]
            else:
                x = layer(x)
        return {"spikes": x, "membrane": membrane, "both": (x, membrane)}[self.out]


class Hidden(nn.Module):
    """The other idiom: states are hidden in the neurons, and reset before each sample."""

    def __init__(self, net: nn.Module, steps: int, kind: str, read_out: str) -> None:
        super().__init__()
        self.net, self.steps, self.kind, self.read_out = net, steps, kind, read_out

    def forward(self, x: Any) -> Any:
        for layer in self.net:
            if isinstance(layer, snn.SpikingNeuron):
                layer.reset_mem()
        at = {"static": lambda t: x, "TB": lambda t: x[t], "BT": lambda t: x[:, t]}[self.kind]
        outs = [self.net(at(t)) for t in range(self.steps)]
        if isinstance(outs[0], tuple):
            outs = [out[1] for out in outs]
        return READ_OUTS[self.read_out](outs)


NETS: list[ZooNet] = []


def mlp(
    name: str,
    make: Callable[[int], nn.Module],
    expected: Callable[[int], Any],
    *,
    sizes: Sequence[int] = (12, 10, 6),
    steps: int = 4,
    kind: str = "static",
    read_out: str = "sum",
    out: str = "spikes",
    gain: float = 1.0,
    last: tuple[Callable[[int], nn.Module], Any] | None = None,
    bias: bool = True,
    seed: int = 0,
    **more: Any,
) -> None:
    """Add a net of linear layers, each with a neuron."""

    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layers: list[nn.Module] = []
            for k, (a, b) in enumerate(itertools.pairwise(sizes)):
                chosen = last[0] if last and k == len(sizes) - 2 else make
                layers += [nn.Linear(a, b, bias=bias), chosen(b)]
            return settle(
                Stepped(layers, out, steps=steps, kind=kind, read_out=read_out), gain, seed
            )

    found = [expected(n) for n in sizes[1:]]
    if last:
        found[-1] = last[1](sizes[-1]) if callable(last[1]) else last[1]
    known = None if "refused" in more else tuple(found)
    NETS.append(ZooNet(f"snntorch/{name}", build, ((sizes[0],),), kind, steps, known, **more))


def leaky(beta: Any = 0.9, **options: Any) -> Callable[[int], nn.Module]:
    return lambda n: snn.Leaky(beta=beta, **options)
