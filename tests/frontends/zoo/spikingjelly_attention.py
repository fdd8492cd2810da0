"""SpikingJelly: attention, joins, read-outs, recurrent containers, and what is refused."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import functional, layer
from spikingjelly.activation_based import neuron as sj
from torch import nn

from zoo.base import ZooNet, integrator, neuron, settle
from zoo.spikingjelly_parts import NETS, add, leak_first, mlp, whole
from zoo.spikingjelly_structures import LIF2, hidden_if, lif


class Attention(nn.Module):
    """Spiking self-attention: products of spikes, no softmax."""

    def __init__(self, heads: int = 2, width: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Sequential(layer.Linear(5, width), lif())
        self.q, self.k, self.v = (
            nn.Sequential(layer.Linear(width, width), lif()) for _ in range(3)
        )
        self.attend = sj.LIFNode(tau=2.0, decay_input=False, v_threshold=0.5)
        self.out = nn.Sequential(layer.Linear(width, width), lif())

    def split(self, x: Any) -> Any:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def forward(self, x: Any) -> Any:
        x = self.embed(x)
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        y = (q @ k.transpose(-2, -1)) @ v * 0.25
        y = self.attend(y.transpose(-3, -2).flatten(-2))
        return x + self.out(y)


add(
    "attention",
    Attention,
    (*[LIF2] * 4, leak_first(2.0, 0.0, 0.5), LIF2),
    features=(4, 5),
    kind="TB",
    read_out="stack",
    steps=3,
    gain=1.2,
)


class OwnAttention(nn.Module):
    """The layer that SpikingJelly ships."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(layer.Conv1d(3, 8, 1), layer.BatchNorm1d(8), lif())
        self.attention = layer.SpikingSelfAttention(dim=8, num_heads=2)

    def forward(self, x: Any) -> Any:
        return self.attention(self.embed(x))


add(
    "spiking_self_attention",
    OwnAttention,
    None,
    features=(3, 6),
    modes="m",
    kind="TB",
    read_out="stack",
    steps=8,
    optional=True,
    gain=4.0,
)


class Concatenated(nn.Module):
    """Two layers of neurons side by side, of different kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(layer.Linear(9, 7), lif())
        self.b = nn.Sequential(layer.Linear(9, 5), hidden_if())
        self.c = nn.Sequential(layer.Linear(12, 6), lif())

    def forward(self, x: Any) -> Any:
        return self.c(torch.cat([self.a(x), self.b(x)], -1))


add("concatenated", Concatenated, (LIF2, whole(0.0), LIF2), features=(9,), steps=3)


class ReadOut(nn.Module):
    """A non-spiking last layer, whose membrane is decoded."""

    def __init__(self, decode: str, steps: int) -> None:
        super().__init__()
        self.first = nn.Sequential(layer.Linear(9, 8), lif(), layer.Linear(8, 5))
        self.last = sj.NonSpikingLIFNode(tau=2.0, decode=decode)
        self.steps = steps
        functional.set_step_mode(self.first, "m")

    def forward(self, x: Any) -> Any:
        functional.reset_net(self.first)
        return self.last(self.first(x.unsqueeze(0).repeat(self.steps, 1, 1)))


for decode in ("mean-mem", "max-mem", "last_mem"):
    NETS.append(
        ZooNet(
            f"spikingjelly/non_spiking_{decode.replace('-', '_')}",
            lambda d=decode: settle(ReadOut(d, 4), 1.3),
            ((9,),),
            "static",
            4,
            (LIF2, integrator(0.5)),
        )
    )
add(
    "element_recurrent",
    lambda: nn.Sequential(
        layer.Linear(9, 8),
        layer.ElementWiseRecurrentContainer(hidden_if(), lambda x, y: x - 0.5 * y),
    ),
    (neuron(1.0, 1.0, "hard", equal=True, recurrent=True),),
    features=(9,),
    gain=1.5,
    optional=True,
)
add(
    "linear_recurrent",
    lambda: nn.Sequential(
        layer.Linear(9, 8), layer.LinearRecurrentContainer(lif(), in_features=8, out_features=8)
    ),
    None,
    features=(9,),
    gain=0.8,
    optional=True,  # its weight also mixes the input: [x, y] -> x
)
add(
    "synapse_filter",
    lambda: nn.Sequential(
        layer.Linear(9, 8), lif(), layer.SynapseFilter(tau=3.0), layer.Linear(8, 5), lif()
    ),
    None,
    features=(9,),
    optional=True,
)

# -- what no neuron expresses ----------------------------------------------------------------------

mlp("qif", lambda: sj.QIFNode(), None, refused="QIF", gain=2.0)
mlp("eif", lambda: sj.EIFNode(), None, refused="EIF", gain=2.0)
mlp("izhikevich", lambda: sj.IzhikevichNode(), None, refused="Izhikevich", gain=3.0)
mlp("ternary", lambda: sj.TernaryLIFNode(tau=2.0), None, refused="negative spikes", gain=2.0)
mlp(
    "complementary",
    lambda: sj.ComplementaryLIFNode(tau=2.0),
    None,
    refused="complementary",
    gain=2.0,
)
# its second state shows in the spikes from step 4 on only
mlp("resonate", lambda: sj.RAFNode(), None, refused="resonate", gain=1.5, steps=8, kind="TB")
mlp("gated", lambda: sj.GatedLIFNode(T=4), None, refused="gated", modes="m", gain=1.5)
mlp("psn", lambda: sj.PSN(T=4), None, refused="PSN", modes="m", gain=1.5)
mlp("masked_psn", lambda: sj.MaskedPSN(k=2, T=4), None, refused="PSN", modes="m", gain=1.5)
mlp("sliding_psn", lambda: sj.SlidingPSN(k=2), None, refused="PSN", modes="m", gain=1.5)
