"""SpikingJelly's neurons in single- and multi-step mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, surrogate
from spikingjelly.activation_based import neuron as sj
from torch import nn

from zoo.base import READ_OUTS, ZooNet, neuron, settle

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
    mlp(
        f"if_{label}",
        lambda v=value: sj.IFNode(v_reset=v),
        whole(value),
        kind=kind,
        read_out="stack" if kind == "TB" else "mean",
        gain=0.8,
    )
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
    mlp(
        f"lif_{label}",
        lambda f=function: sj.LIFNode(tau=2.0, surrogate_function=f, decay_input=False),
        leak_first(2.0, 0.0),
        steps=2,
    )
mlp(
    "lif_detach",
    lambda: sj.LIFNode(tau=2.0, detach_reset=True, decay_input=False),
    leak_first(2.0, 0.0),
    kind="BT",
)
mlp(
    "lif_detach_soft",
    lambda: sj.LIFNode(tau=2.0, detach_reset=True, v_reset=None),
    leak_first(2.0, None),
    steps=8,
    gain=1.8,
)
mlp(
    "lif_store_v_seq",
    lambda: sj.LIFNode(tau=2.0, store_v_seq=True, decay_input=False),
    leak_first(2.0, 0.0),
    modes="m",
)
mlp("simple_if", lambda: sj.SimpleIFNode(), whole(0.0), gain=0.8)
mlp(
    "simple_lif",
    lambda: sj.SimpleLIFNode(tau=2.0, decay_input=True),
    leak_first(2.0, 0.0),
    gain=1.8,
)
mlp(
    "simple_lif_rest",
    lambda: sj.SimpleLIFNode(tau=2.0, decay_input=False, v_reset=0.2),
    {**leak_first(2.0, 0.2), "v_init": 0.1},
    kind="TB",
)
mlp(
    "half_threshold",
    lambda: sj.HalfThresholdIFNode(v_threshold=0.9),
    whole(None, 0.9, v_init=0.45),
    gain=0.7,
)
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
        neuron(
            1.3 / 2 if not scale else 0.5,
            1.0 if not scale else 1 / 1.3,
            "soft" if value is None else "hard",
            v_min=0.0,
            equal=True,
        ),
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
mlp(
    "liaf",
    lambda: sj.LIAFNode(act=torch.relu, threshold_related=True, tau=2.0, decay_input=False),
    leak_first(2.0, 0.0),
    optional=True,
)
add(
    "membrane_norm",
    lambda: nn.Sequential(
        layer.Linear(12, 10),
        sj.MPBNLIFNode(tau=2.0, out_features=10),
        layer.Linear(10, 6),
        sj.MPBNLIFNode(tau=2.0, out_features=6),
    ),
    None,
    features=(12,),
    optional=True,
)
