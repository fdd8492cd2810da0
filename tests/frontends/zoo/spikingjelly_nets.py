"""SpikingJelly: its neurons in single- and multi-step mode, and the nets around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, surrogate
from spikingjelly.activation_based import neuron as sj
from torch import nn

from zoo.base import READ_OUTS, ZooNet, integrator, neuron, settle

NETS: list[ZooNet] = []


class Single(nn.Module):
    """Single-step mode: the whole net is called once per step."""

    def __init__(self, net: nn.Module, steps: int, kind: str, read_out: str) -> None:
        super().__init__()
        self.net, self.steps, self.kind, self.read_out = net, steps, kind, read_out

    def forward(self, x: Any) -> Any:
        functional.reset_net(self.net)
        at = {"static": lambda t: x, "TB": lambda t: x[t], "BT": lambda t: x[:, t]}[self.kind]
        return READ_OUTS[self.read_out]([self.net(at(t)) for t in range(self.steps)])


class Multi(nn.Module):
    """Multi-step mode: the net is called once with ``[T, B, ...]``."""

    def __init__(self, net: nn.Module, steps: int, kind: str, read_out: str) -> None:
        super().__init__()
        self.net, self.steps, self.kind, self.read_out = net, steps, kind, read_out

    def forward(self, x: Any) -> Any:
        functional.reset_net(self.net)
        if self.kind == "static":
            x = x.unsqueeze(0).repeat(self.steps, *[1] * x.dim())
        if self.kind == "BT":
            x = x.transpose(0, 1)
        y = self.net(x)
        return {"stack": lambda: y, "sum": lambda: y.sum(0), "mean": lambda: y.mean(0)}[
            self.read_out
        ]()


def add(
    name: str,
    layers: Callable[[], nn.Module],
    expected: Sequence[Any] | None,
    *,
    features: tuple[int, ...],
    modes: str = "sm",
    steps: int = 4,
    kind: str = "static",
    read_out: str = "mean",
    gain: float = 1.0,
    **more: Any,
) -> None:
    """Add a net in the given step modes."""
    for mode in modes:

        def build(mode: str = mode) -> nn.Module:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net = layers()
                functional.set_step_mode(net, mode)
            settle(net, gain)
            return (Multi if mode == "m" else Single)(net, steps, kind, read_out).eval()

        known = tuple(expected) if expected is not None and "refused" not in more else None
        NETS.append(
            ZooNet(f"spikingjelly/{name}_{mode}", build, (features,), kind, steps, known, **more)
        )


def mlp(name: str, make: Callable[[], nn.Module], found: Any, **more: Any) -> None:
    def layers() -> nn.Module:
        return nn.Sequential(layer.Linear(12, 10), make(), layer.Linear(10, 6), make())

    add(name, layers, None if found is None else (found, found), features=(12,), **more)


def leak_first(tau: float, v_reset: float | None, threshold: float = 1.0, **more: Any) -> Any:
    """Return SpikingJelly's LIF: it leaks towards ``v_reset`` before it integrates."""
    rest = v_reset or 0.0
    return neuron(
        1 - 1 / tau,
        threshold,
        "soft" if v_reset is None else "hard",
        v_reset=rest,
        leak_bias=rest / tau,
        v_init=rest,
        equal=True,
        **more,
    )


def whole(v_reset: float | None, threshold: float = 1.0, **more: Any) -> Any:
    """Return SpikingJelly's IF."""
    rest = v_reset or 0.0
    more = {"v_init": rest, **more}
    return neuron(
        1.0, threshold, "soft" if v_reset is None else "hard", v_reset=rest, equal=True, **more
    )


RESETS = {"soft": None, "hard": 0.0, "hard_low": -0.2, "hard_high": 0.15}
for label, value in RESETS.items():
    kind = "TB" if label in ("soft", "hard_low") else "static"
    mlp(f"if_{label}", lambda v=value: sj.IFNode(v_reset=v), whole(value), kind=kind,
        read_out="stack" if kind == "TB" else "mean", gain=0.8)  # fmt: skip
    for decay in (True, False):
        mlp(
            f"lif_{'decay_input' if decay else 'plain'}_{label}",
            lambda v=value, d=decay: sj.LIFNode(
                tau=3.0 if d else 1.6, decay_input=d, v_reset=v, v_threshold=0.8
            ),
            leak_first(3.0 if decay else 1.6, value, 0.8),
            kind="static" if kind == "TB" else "TB",
            gain=2.0 if decay else 1.0,
            steps=3,
        )
        mlp(
            f"plif_{'decay_input' if decay else 'plain'}_{label}",
            lambda v=value, d=decay: sj.ParametricLIFNode(init_tau=2.5, decay_input=d, v_reset=v),
            leak_first(2.5, value),
            kind=kind,
            gain=2.2 if decay else 1.0,
            steps=4 if decay else 2,
        )

for label, function in [
    ("atan", surrogate.ATan()),
    ("sigmoid", surrogate.Sigmoid()),
    ("piecewise", surrogate.PiecewiseQuadratic()),
    ("leaky_k_relu", surrogate.LeakyKReLU()),
    ("soft_sign", surrogate.SoftSign()),
]:
    mlp(f"lif_{label}", lambda f=function: sj.LIFNode(tau=2.0, surrogate_function=f, decay_input=False),
        leak_first(2.0, 0.0), steps=2)  # fmt: skip
mlp("lif_detach", lambda: sj.LIFNode(tau=2.0, detach_reset=True, decay_input=False),
    leak_first(2.0, 0.0), kind="BT")  # fmt: skip
mlp("lif_detach_soft", lambda: sj.LIFNode(tau=2.0, detach_reset=True, v_reset=None),
    leak_first(2.0, None), steps=8, gain=1.8)  # fmt: skip
mlp("lif_store_v_seq", lambda: sj.LIFNode(tau=2.0, store_v_seq=True, decay_input=False),
    leak_first(2.0, 0.0), modes="m")  # fmt: skip
mlp("simple_if", lambda: sj.SimpleIFNode(), whole(0.0), gain=0.8)
mlp("simple_lif", lambda: sj.SimpleLIFNode(tau=2.0, decay_input=True), leak_first(2.0, 0.0), gain=1.8)
mlp("simple_lif_rest", lambda: sj.SimpleLIFNode(tau=2.0, decay_input=False, v_reset=0.2),
    leak_first(2.0, 0.2), kind="TB")  # fmt: skip
mlp("half_threshold", lambda: sj.HalfThresholdIFNode(v_threshold=0.9), whole(None, 0.9, v_init=0.45),
    gain=0.7)  # fmt: skip
mlp("ottt", lambda: sj.OTTTLIFNode(tau=2.0), leak_first(2.0, None), modes="s")
mlp("sltt", lambda: sj.SLTTLIFNode(tau=2.0), leak_first(2.0, 0.0), modes="s", gain=1.8)
for label, value in (("hard", 0.0), ("soft", None)):
    mlp(
        f"cuba_{label}",
        lambda v=value: sj.CUBALIFNode(c_decay=0.4, v_decay=0.7, v_threshold=0.9, v_reset=v),
        neuron(0.7, 0.9, label, alpha_syn=0.4, equal=True),
        gain=0.6,
        kind="TB",
    )
for label, value, scale in (("hard", 0.0, False), ("soft", None, False), ("scaled", 0.0, True)):

    def klif(v: float | None = value, s: bool = scale) -> nn.Module:
        made = sj.KLIFNode(tau=2.0, v_reset=v, scale_reset=s)
        made.k.data.fill_(1.3)
        return made

    mlp(
        f"klif_{label}",
        klif,
        # relu before the comparison is a floor of 0 after the reset, as no negative v fires
        neuron(1.3 / 2 if not scale else 0.5, 1.0 if not scale else 1 / 1.3,
               "soft" if value is None else "hard", v_min=0.0, equal=True),  # fmt: skip
        gain=1.6,
        optional=True,
    )
mlp(
    "ilif",  # rounds h to the nearest count: a membrane shifted by a half
    lambda: sj.ILIFNode(tau=2.0),
    None,
    gain=1.5,
    optional=True,
    kind="TB",
)
mlp("liaf", lambda: sj.LIAFNode(act=torch.relu, threshold_related=True, tau=2.0, decay_input=False),
    leak_first(2.0, 0.0), optional=True)  # fmt: skip
add(
    "membrane_norm",
    lambda: nn.Sequential(
        layer.Linear(12, 10), sj.MPBNLIFNode(tau=2.0, out_features=10),
        layer.Linear(10, 6), sj.MPBNLIFNode(tau=2.0, out_features=6),
    ),  # fmt: skip
    None,
    features=(12,),
    optional=True,
)

# -- layers around them ----------------------------------------------------------------------------

LIF2 = leak_first(2.0, 0.0)


def lif() -> nn.Module:
    return sj.LIFNode(tau=2.0, decay_input=False, surrogate_function=surrogate.ATan())


def hidden_if() -> nn.Module:
    return sj.IFNode(surrogate_function=surrogate.ATan())


add(
    "csnn",
    lambda: nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), hidden_if(),
        layer.MaxPool2d(2, 2), layer.Conv2d(4, 6, 3, padding=1, bias=False), layer.BatchNorm2d(6),
        hidden_if(), layer.MaxPool2d(2, 2), layer.Flatten(), layer.Linear(24, 8, bias=False),
        hidden_if(), layer.Linear(8, 5, bias=False), hidden_if(),
    ),  # fmt: skip
    (whole(0.0),) * 4,
    features=(1, 8, 8),
    gain=0.9,
)
add(
    "avg_pool_norm_dropout",
    lambda: nn.Sequential(
        layer.Conv2d(2, 4, 3), layer.BatchNorm2d(4), lif(), layer.AvgPool2d(2),
        layer.Dropout2d(0.2), layer.Conv2d(4, 6, 2, groups=2), layer.GroupNorm(2, 6), lif(),
        layer.AdaptiveAvgPool2d(1), layer.Flatten(), layer.Dropout(0.5), layer.Linear(6, 5),
        layer.BatchNorm1d(5), lif(),
    ),  # fmt: skip
    (LIF2,) * 3,
    features=(2, 8, 8),
    kind="TB",
    gain=0.8,
    steps=3,
)
add(
    "voting",
    lambda: nn.Sequential(layer.Linear(9, 8), lif(), layer.Linear(8, 12), lif(), layer.VotingLayer(3)),
    (LIF2, LIF2),
    features=(9,),
    gain=1.2,
)
add(
    "conv1d",
    lambda: nn.Sequential(layer.Conv1d(2, 5, 3, dilation=2), layer.BatchNorm1d(5), lif(),
                          layer.MaxPool1d(2), layer.Flatten(), layer.Linear(25, 6), lif()),  # fmt: skip
    (LIF2, LIF2),
    features=(2, 14),
    steps=3,
)
add(
    "deconvolution",
    lambda: nn.Sequential(
        layer.ConvTranspose2d(3, 4, 2, stride=2), lif(), layer.Conv2d(4, 2, 3, stride=2), lif()
    ),
    (LIF2, LIF2),
    features=(3, 3, 3),
    steps=3,
    gain=1.5,
    optional=True,
)
add(
    "container",
    lambda: nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), lif(),
        layer.SeqToANNContainer(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 6)), lif(),
    ),  # fmt: skip
    (LIF2, LIF2),
    features=(1, 8, 8),
    modes="m",
    read_out="stack",
    kind="TB",
)
add(
    "multi_step_container",
    lambda: nn.Sequential(layer.SeqToANNContainer(nn.Linear(9, 7)),
                          layer.MultiStepContainer(sj.LIFNode(tau=2.0, decay_input=False)),
                          layer.SeqToANNContainer(nn.Linear(7, 6)), lif()),  # fmt: skip
    (LIF2, LIF2),
    features=(9,),
    modes="m",
)


class Encoder(nn.Module):
    """The first convolution sees the picture once, the neuron its current T times."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.conv, self.norm, self.sn = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), lif()
        self.rest = nn.Sequential(layer.AvgPool2d(2), layer.Flatten(), layer.Linear(36, 6), lif())
        functional.set_step_mode(self, "m")
        self.steps = steps

    def forward(self, x: Any) -> Any:
        functional.reset_net(self)
        current = self.norm(self.conv(x))
        return self.rest(self.sn(current.unsqueeze(0).repeat(self.steps, 1, 1, 1, 1))).mean(0)


NETS.append(ZooNet("spikingjelly/encoder_once", lambda: settle(Encoder(4)), ((1, 8, 8),), "static",
                   4, (LIF2, LIF2)))  # fmt: skip


class Sew(nn.Module):
    """A spike-element-wise residual block."""

    def __init__(self, mode: str, make: Callable[[], nn.Module], width: int = 4) -> None:
        super().__init__()
        self.mode = mode
        self.first = nn.Sequential(layer.Conv2d(1, width, 3, padding=1), layer.BatchNorm2d(width), make())
        self.branch = nn.Sequential(
            layer.Conv2d(width, width, 3, padding=1, bias=False), layer.BatchNorm2d(width), make(),
            layer.Conv2d(width, width, 3, padding=1, bias=False), layer.BatchNorm2d(width), make(),
        )  # fmt: skip
        self.last = nn.Sequential(layer.AvgPool2d(2), layer.Flatten(), layer.Linear(width * 9, 6), make())

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        y = self.branch(x)
        if self.mode == "ADD":
            y = y + x
        elif self.mode == "AND":
            y = y * x
        elif self.mode == "IAND":
            y = (1.0 - y) * x
        elif self.mode == "OR":
            y = x + y - x * y
        return self.last(y)


for connection in ("ADD", "AND", "IAND", "OR"):
    for label, make, found in (("if", hidden_if, whole(0.0)), ("lif", lif, LIF2)):
        add(f"sew_{connection.lower()}_{label}",
            lambda c=connection, m=make: Sew(c, m), (found,) * 4, features=(1, 6, 6),
            kind="static" if label == "if" else "TB", gain=1.5 if connection == "AND" else 0.9,
            steps=4)  # fmt: skip


class Shortcut(nn.Module):
    """A residual sum of currents, with a convolution on the shortcut (as in spiking ResNets)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4), lif())
        self.branch = nn.Sequential(
            layer.Conv2d(4, 6, 3, stride=2, padding=1), layer.BatchNorm2d(6), lif(),
            layer.Conv2d(6, 6, 3, padding=1), layer.BatchNorm2d(6),
        )  # fmt: skip
        self.shortcut = nn.Sequential(layer.Conv2d(4, 6, 1, stride=2), layer.BatchNorm2d(6))
        self.sn = lif()
        self.last = nn.Sequential(layer.Flatten(), layer.Linear(54, 5), lif())

    def forward(self, x: Any) -> Any:
        x = self.first(x)
        return self.last(self.sn(self.branch(x) + self.shortcut(x)))


add("spiking_resnet", Shortcut, (LIF2,) * 4, features=(1, 6, 6), steps=3, gain=0.8)


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


add("attention", Attention, (*[LIF2] * 4, leak_first(2.0, 0.0, 0.5), LIF2), features=(4, 5),
    kind="TB", read_out="stack", steps=3, gain=1.2)  # fmt: skip


class OwnAttention(nn.Module):
    """The layer that SpikingJelly ships."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(layer.Conv1d(3, 8, 1), layer.BatchNorm1d(8), lif())
        self.attention = layer.SpikingSelfAttention(dim=8, num_heads=2)

    def forward(self, x: Any) -> Any:
        return self.attention(self.embed(x))


add("spiking_self_attention", OwnAttention, None, features=(3, 6), modes="m", kind="TB",
    read_out="stack", steps=8, optional=True, gain=4.0)  # fmt: skip


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
    NETS.append(ZooNet(f"spikingjelly/non_spiking_{decode.replace('-', '_')}",
                       lambda d=decode: settle(ReadOut(d, 4), 1.3), ((9,),), "static", 4,
                       (LIF2, integrator(0.5))))  # fmt: skip
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
    lambda: nn.Sequential(layer.Linear(9, 8), lif(), layer.SynapseFilter(tau=3.0),
                          layer.Linear(8, 5), lif()),  # fmt: skip
    None,
    features=(9,),
    optional=True,
)

# -- what no neuron expresses ----------------------------------------------------------------------

mlp("qif", lambda: sj.QIFNode(), None, refused="QIF", gain=2.0)
mlp("eif", lambda: sj.EIFNode(), None, refused="EIF", gain=2.0)
mlp("izhikevich", lambda: sj.IzhikevichNode(), None, refused="Izhikevich", gain=3.0)
mlp("ternary", lambda: sj.TernaryLIFNode(tau=2.0), None, refused="negative spikes", gain=2.0)
mlp("complementary", lambda: sj.ComplementaryLIFNode(tau=2.0), None, refused="complementary", gain=2.0)
mlp("resonate", lambda: sj.RAFNode(), None, refused="resonate", gain=1.5)
mlp("gated", lambda: sj.GatedLIFNode(T=4), None, refused="gated", modes="m", gain=1.5)
mlp("psn", lambda: sj.PSN(T=4), None, refused="PSN", modes="m", gain=1.5)
mlp("masked_psn", lambda: sj.MaskedPSN(k=2, T=4), None, refused="PSN", modes="m", gain=1.5)
mlp("sliding_psn", lambda: sj.SlidingPSN(k=2), None, refused="PSN", modes="m", gain=1.5)
