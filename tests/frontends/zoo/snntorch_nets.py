"""snnTorch: every neuron, reset and delay, in the ways its tutorials run them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn

from zoo.base import READ_OUTS, Rolled, ZooNet, integrator, neuron, settle, spread

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
            for k, (a, b) in enumerate(zip(sizes, sizes[1:], strict=False)):
                chosen = last[0] if last and k == len(sizes) - 2 else make
                layers += [nn.Linear(a, b, bias=bias), chosen(b)]
            return settle(Stepped(layers, out, steps=steps, kind=kind, read_out=read_out), gain, seed)

    found = [expected(n) for n in sizes[1:]]
    if last:
        found[-1] = last[1](sizes[-1]) if callable(last[1]) else last[1]
    known = None if "refused" in more else tuple(found)
    NETS.append(ZooNet(f"snntorch/{name}", build, ((sizes[0],),), kind, steps, known, **more))


def leaky(beta: Any = 0.9, **options: Any) -> Callable[[int], nn.Module]:
    return lambda n: snn.Leaky(beta=beta, **options)


# -- Leaky: resets and delays ----------------------------------------------------------------------

for mechanism, steps, kind in [
    ("subtract", 4, "static"),
    ("subtract", 2, "TB"),
    ("subtract", 8, "BT"),
    ("zero", 3, "static"),
    ("zero", 4, "TB"),
    ("none", 4, "static"),
]:
    mlp(
        f"leaky_{mechanism}_{kind}_{steps}",
        leaky(0.9, reset_mechanism=mechanism),
        lambda n, m=mechanism: neuron(0.9, 1.0, LEAKY[m], after_leak=m == "subtract"),
        steps=steps,
        kind=kind,
        read_out={"static": "sum", "TB": "stack", "BT": "stack_bt"}[kind],
        gain=0.45 if mechanism == "none" else 1.0,
    )
mlp(
    "leaky_subtract_now",
    leaky(0.85, reset_delay=False),
    lambda n: neuron(0.85, 1.0, "soft"),
    refused="reset",
    optional=True,
)
mlp(
    "leaky_zero_now",
    leaky(0.85, reset_delay=False, reset_mechanism="zero"),
    lambda n: neuron(0.85, 1.0, "hard"),
    kind="TB",
    read_out="mean",
)
mlp("leaky_none_now", leaky(0.85, reset_delay=False, reset_mechanism="none"),
    lambda n: neuron(0.85, 1.0, "none"), gain=0.45)  # fmt: skip
mlp("leaky_threshold", leaky(0.7, threshold=0.6), lambda n: neuron(0.7, 0.6, "soft", after_leak=True),
    steps=3, read_out="running_mean")  # fmt: skip
mlp("leaky_beta_0", leaky(0.0), lambda n: (
        neuron(0.0, 1.0, "soft", after_leak=True), neuron(0.0, 1.0, "soft", dv=1.0, after_leak=True)),
    kind="TB", read_out="stack")  # fmt: skip
mlp("leaky_beta_1", leaky(1.0), lambda n: neuron(1.0, 1.0, "soft"), steps=3)
mlp("leaky_beta_above_1", leaky(1.2), lambda n: neuron(1.0, 1.0, "soft"), steps=3)
mlp("leaky_graded", leaky(0.8, graded_spikes_factor=2.0),
    lambda n: neuron(0.8, 1.0, "soft", after_leak=True), gain=0.8)  # fmt: skip
mlp("leaky_graded_now_zero",
    leaky(0.8, graded_spikes_factor=0.5, reset_delay=False, reset_mechanism="zero"),
    lambda n: neuron(0.8, 1.0, "hard"))  # fmt: skip

# -- Leaky: per-neuron and learned parameters ------------------------------------------------------


def own(**ranges: tuple[float, float]) -> Callable[[int], dict[str, Any]]:
    return lambda n: {name: spread(n, *limits) for name, limits in ranges.items()}


for mechanism in ("subtract", "zero"):
    mlp(
        f"leaky_per_neuron_{mechanism}",
        lambda n, m=mechanism: snn.Leaky(
            beta=spread(n, 0.5, 0.95), threshold=spread(n, 0.6, 1.4), reset_mechanism=m
        ),
        lambda n, m=mechanism: neuron(
            spread(n, 0.5, 0.95).tolist(),
            spread(n, 0.6, 1.4).tolist(),
            LEAKY[m],
            after_leak=m == "subtract",
        ),
        steps=3,
        kind="TB" if mechanism == "zero" else "static",
    )
    mlp(
        f"leaky_learned_{mechanism}",
        lambda n, m=mechanism: snn.Leaky(
            beta=torch.tensor(0.77),
            threshold=torch.tensor(0.9),
            learn_beta=True,
            learn_threshold=True,
            reset_mechanism=m,
        ),
        lambda n, m=mechanism: neuron(0.77, 0.9, LEAKY[m], after_leak=m == "subtract"),
        steps=4,
        read_out="mean",
    )
mlp(
    "leaky_per_neuron_threshold",
    lambda n: snn.Leaky(beta=0.8, threshold=spread(n, 0.6, 1.4)),
    lambda n: neuron(0.8, spread(n, 0.6, 1.4).tolist(), "soft", after_leak=True),
    kind="BT",
    read_out="sum_bt",
)
mlp(
    "leaky_learned_vectors",
    lambda n: snn.Leaky(
        beta=spread(n, 0.3, 1.1),  # clamped to [0, 1] in every step
        threshold=spread(n, 0.8, 1.2),
        learn_beta=True,
        learn_threshold=True,
    ),
    lambda n: neuron(
        spread(n, 0.3, 1.1).clamp(0, 1).tolist(),
        spread(n, 0.8, 1.2).tolist(),
        "soft",
        after_leak=True,
    ),
    kind="TB",
    read_out="cat",
)

# -- surrogates leave no trace ---------------------------------------------------------------------

for label, grad in [
    ("fast_sigmoid", surrogate.fast_sigmoid(slope=25)),
    ("sigmoid", surrogate.sigmoid(slope=25)),
    ("triangular", surrogate.triangular()),
    ("straight_through", surrogate.straight_through_estimator()),
    ("spike_rate_escape", surrogate.spike_rate_escape()),
]:
    mlp(f"surrogate_{label}", leaky(0.9, spike_grad=grad),
        lambda n: neuron(0.9, 1.0, "soft", after_leak=True), sizes=(8, 7), steps=3)  # fmt: skip
mlp("surrogate_disabled", leaky(0.9, surrogate_disable=True),
    lambda n: neuron(0.9, 1.0, "soft", after_leak=True), sizes=(8, 7), steps=3)  # fmt: skip

# -- read-outs -------------------------------------------------------------------------------------

for read_out in READ_OUTS:
    mlp(f"read_{read_out}", leaky(0.9), lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
        steps=3, read_out=read_out)  # fmt: skip
for read_out in ("last", "mean", "stack", "max", "softmax"):
    mlp(
        f"membrane_{read_out}",
        leaky(0.9),
        lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
        out="membrane",
        read_out=read_out,
    )
    mlp(
        f"integrator_{read_out}",
        leaky(0.9),
        lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
        last=(leaky(0.95, reset_mechanism="none"), integrator(0.95)),
        out="membrane",
        read_out=read_out,
    )
mlp("both_outputs", leaky(0.9, reset_mechanism="zero"), lambda n: neuron(0.9, 1.0, "hard"),
    out="both", read_out="stack", kind="TB")  # fmt: skip
mlp("both_outputs_sum", leaky(0.9), lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
    out="both", read_out="sum")  # fmt: skip

# -- Synaptic, Lapicque ----------------------------------------------------------------------------


def synaptic(mechanism: str, alpha: Any, beta: Any, threshold: Any = 1.0) -> Any:
    return neuron(
        beta,
        threshold,
        LEAKY[mechanism],
        after_leak=mechanism == "subtract",
        alpha_syn=alpha,
        refractory=int(mechanism == "zero"),
    )


for mechanism in LEAKY:
    for steps, kind in [(4, "static"), (3, "TB")]:
        mlp(
            f"synaptic_{mechanism}_{kind}",
            lambda n, m=mechanism: snn.Synaptic(alpha=0.7, beta=0.8, reset_mechanism=m),
            lambda n, m=mechanism: synaptic(m, 0.7, 0.8),
            steps=steps,
            kind=kind,
            gain=0.4 if mechanism == "none" else 0.55,
        )
mlp(
    "synaptic_per_neuron",
    lambda n: snn.Synaptic(alpha=spread(n, 0.3, 0.7), beta=spread(n, 0.6, 0.9), threshold=0.9),
    lambda n: synaptic("subtract", spread(n, 0.3, 0.7).tolist(), spread(n, 0.6, 0.9).tolist(), 0.9),
    gain=0.6,
)
mlp(
    "synaptic_learned_zero",
    lambda n: snn.Synaptic(
        alpha=torch.tensor(0.4), beta=spread(n, 0.6, 0.9), learn_alpha=True, learn_beta=True,
        reset_mechanism="zero", learn_threshold=True,
    ),  # fmt: skip
    lambda n: synaptic("zero", 0.4, spread(n, 0.6, 0.9).tolist()),
    kind="TB",
    gain=0.6,
)
mlp(
    "synaptic_read_out",
    leaky(0.9),
    lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
    last=(
        lambda n: snn.Synaptic(alpha=0.6, beta=0.8, reset_mechanism="none"),
        integrator(0.8, alpha_syn=0.6),
    ),
    out="membrane",
    read_out="mean",
)
mlp("synaptic_read_last", lambda n: snn.Synaptic(alpha=0.7, beta=0.8),
    lambda n: synaptic("subtract", 0.7, 0.8), out="membrane", read_out="last", gain=0.6)  # fmt: skip
mlp("synaptic_alpha_0", lambda n: snn.Synaptic(alpha=0.0, beta=0.8),
    lambda n: (neuron(0.8, 1.0, "soft", after_leak=True), synaptic("subtract", 0.0, 0.8)))  # fmt: skip

RC = {"R": 5.0, "C": 1.5e-3, "time_step": 1e-3}
for mechanism in LEAKY:
    keeps = 1 - RC["time_step"] / (RC["R"] * RC["C"])
    mlp(
        f"lapicque_rc_{mechanism}",
        lambda n, m=mechanism: snn.Lapicque(reset_mechanism=m, threshold=0.6, **RC),
        lambda n, m=mechanism, a=keeps: neuron(
            a, 0.6, LEAKY[m], after_leak=m == "subtract", refractory=int(m == "zero")
        ),
        gain=0.5 if mechanism == "none" else 1.0,
    )
    mlp(
        f"lapicque_beta_{mechanism}",
        lambda n, m=mechanism: snn.Lapicque(beta=0.6, reset_mechanism=m, threshold=0.3),
        lambda n, m=mechanism: neuron(
            1 + float(torch.log(torch.tensor(0.6))),
            0.3,
            LEAKY[m],
            after_leak=m == "subtract",
            refractory=int(m == "zero"),
        ),
        kind="TB",
        gain=0.6,
    )

# -- recurrence ------------------------------------------------------------------------------------

for mechanism in LEAKY:
    mlp(
        f"rleaky_all_{mechanism}",
        lambda n, m=mechanism: snn.RLeaky(beta=0.8, linear_features=n, reset_mechanism=m),
        lambda n, m=mechanism: neuron(
            0.8, 1.0, LEAKY[m], after_leak=m == "subtract", refractory=int(m == "zero"),
            recurrent=True,
        ),  # fmt: skip
        kind="TB" if mechanism == "subtract" else "static",
        gain=0.6,
    )
    mlp(
        f"rsynaptic_all_{mechanism}",
        lambda n, m=mechanism: snn.RSynaptic(
            alpha=0.5, beta=0.8, linear_features=n, reset_mechanism=m
        ),
        lambda n, m=mechanism: {**synaptic(m, 0.5, 0.8), "recurrent": True},
        kind="static" if mechanism == "subtract" else "TB",
        gain=0.45,
        steps=3,
    )
mlp(
    "rleaky_one_subtract",
    lambda n: snn.RLeaky(beta=0.8, V=0.3, all_to_all=False),
    lambda n: (
        neuron(0.8, 1.0, "soft", dv=0.7, after_leak=True),
        neuron(0.8, 1.0, "soft", after_leak=True, recurrent=True),
    ),
)
mlp(
    "rleaky_one_vector",
    lambda n: snn.RLeaky(beta=0.8, V=spread(n, -0.5, 0.5), all_to_all=False),
    lambda n: (
        neuron(0.8, 1.0, "soft", dv=(1 - spread(n, -0.5, 0.5)).tolist(), after_leak=True),
        neuron(0.8, 1.0, "soft", after_leak=True, recurrent=True),
    ),
    kind="BT",
    read_out="stack_bt",
)
mlp(
    "rleaky_one_zero",  # the neuron's own spike arrives when its input is lost
    lambda n: snn.RLeaky(beta=0.8, V=0.3, all_to_all=False, reset_mechanism="zero"),
    lambda n: (
        neuron(0.8, 1.0, "hard", refractory=1),
        neuron(0.8, 1.0, "hard", refractory=1, recurrent=True),
    ),
)
mlp(
    "rleaky_one_none",
    lambda n: snn.RLeaky(beta=0.8, V=-0.7, all_to_all=False, reset_mechanism="none"),
    lambda n: (
        neuron(0.8, 1.0, "soft", dv=0.7, after_leak=True),
        neuron(0.8, 1.0, "none", recurrent=True),
    ),
    gain=0.6,
)
mlp(
    "rsynaptic_one_subtract",
    lambda n: snn.RSynaptic(alpha=0.5, beta=0.8, V=-0.4, all_to_all=False),
    lambda n: {**synaptic("subtract", 0.5, 0.8), "recurrent": True},
    gain=0.6,
)
mlp(
    "rleaky_zero_now",
    lambda n: snn.RLeaky(beta=0.8, linear_features=n, reset_mechanism="zero", reset_delay=False),
    lambda n: neuron(0.8, 1.0, "hard", recurrent=True),
    gain=0.6,
)

# -- hidden states ---------------------------------------------------------------------------------


def hidden(name: str, layers: Callable[[], list[nn.Module]], size: int, expected: Any, **options: Any) -> None:
    steps, kind = options.pop("steps", 3), options.pop("kind", "static")
    read_out, more = options.pop("read_out", "sum"), options

    def build() -> nn.Module:
        return settle(Hidden(nn.Sequential(*layers()), steps, kind, read_out))

    NETS.append(ZooNet(f"snntorch/{name}", build, ((size,),), kind, steps, expected, **more))


hidden(
    "init_hidden_spikes",
    lambda: [
        nn.Linear(9, 8), snn.Leaky(beta=0.8, init_hidden=True, reset_mechanism="zero"),
        nn.Linear(8, 5), snn.Leaky(beta=0.7, init_hidden=True),
    ],  # fmt: skip
    9,
    (neuron(0.8, 1.0, "hard"), neuron(0.7, 1.0, "soft", after_leak=True)),
)
hidden(
    "init_hidden_membrane",
    lambda: [
        nn.Linear(9, 8), snn.Synaptic(alpha=0.5, beta=0.8, init_hidden=True),
        nn.Linear(8, 5), snn.Leaky(beta=0.7, init_hidden=True, output=True),
    ],  # fmt: skip
    9,
    (synaptic("subtract", 0.5, 0.8), neuron(0.7, 1.0, "soft", after_leak=True)),
    kind="TB",
    read_out="stack",
    steps=4,
)

# -- convolutions ----------------------------------------------------------------------------------


def conv(
    name: str, layers: Callable[[], list[nn.Module]], expected: Any, *, gain: float = 1.0,
    features: tuple[int, ...] = (1, 8, 8), steps: int = 3, kind: str = "static",
    read_out: str = "sum", out: str = "spikes", **more: Any,
) -> None:  # fmt: skip
    """Add a net of given layers."""

    def build() -> nn.Module:
        return settle(Stepped(layers(), out, steps=steps, kind=kind, read_out=read_out), gain)

    NETS.append(ZooNet(f"snntorch/{name}", build, (features,), kind, steps, expected, **more))


SOFT = neuron(0.9, 1.0, "soft", after_leak=True)
for kind in ("static", "TB", "BT"):
    conv(
        f"conv_pool_{kind}",
        lambda: [
            nn.Conv2d(1, 4, 3, padding=1), snn.Leaky(beta=0.9), nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3), snn.Leaky(beta=0.9), nn.Flatten(),
            nn.Linear(24, 5), snn.Leaky(beta=0.9),
        ],  # fmt: skip
        (SOFT, SOFT, SOFT),
        kind=kind,
    )
conv(
    "conv_pool_before",  # the tutorial's order: pooling before the neuron
    lambda: [
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2), snn.Leaky(beta=0.9),
        nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6), nn.AvgPool2d(2), snn.Leaky(beta=0.9),
        nn.Flatten(), nn.Linear(6, 5), nn.BatchNorm1d(5), snn.Leaky(beta=0.9),
    ],  # fmt: skip
    (SOFT, SOFT, SOFT),
    gain=0.6,
)
conv(
    "conv_per_channel",
    lambda: [
        nn.Conv2d(1, 4, 3), snn.Leaky(beta=spread(4, 0.5, 0.9)[:, None, None]),
        nn.Flatten(), nn.Linear(144, 5), snn.Leaky(beta=0.9),
    ],  # fmt: skip
    (neuron(spread(4, 0.5, 0.9).tolist(), 1.0, "soft", after_leak=True), SOFT),
    gain=0.8,
)
conv(
    "conv_recurrent",
    lambda: [
        nn.Conv2d(1, 3, 3), snn.RLeaky(beta=0.8, conv2d_channels=3, kernel_size=3),
        nn.Flatten(), nn.Linear(48, 5), snn.Leaky(beta=0.9),
    ],  # fmt: skip
    (neuron(0.8, 1.0, "soft", after_leak=True, recurrent=True), SOFT),
    features=(1, 6, 6),
    gain=1.2,
    optional=True,
)
conv(
    "conv1d",
    lambda: [
        nn.Conv1d(2, 5, 3, stride=2), snn.Leaky(beta=0.9), nn.MaxPool1d(2),
        nn.Conv1d(5, 4, 3, dilation=2), snn.Leaky(beta=0.9), nn.Flatten(), nn.Linear(12, 5),
        snn.Leaky(beta=0.9),
    ],  # fmt: skip
    (SOFT, SOFT, SOFT),
    features=(2, 29),
)
conv(
    "dropout_layernorm",
    lambda: [
        nn.Linear(9, 8), nn.Dropout(0.5), nn.LayerNorm(8), snn.Leaky(beta=0.9),
        nn.Linear(8, 5), nn.Dropout(0.3), snn.Leaky(beta=0.9),
    ],  # fmt: skip
    (SOFT, SOFT),
    features=(9,),
)
conv(
    "norm_of_input",
    lambda: [nn.BatchNorm1d(9), nn.Linear(9, 8), snn.Leaky(beta=0.9), nn.BatchNorm1d(8),
             nn.Linear(8, 5), snn.Leaky(beta=0.9)],  # fmt: skip
    (SOFT, SOFT),
    features=(9,),
    kind="TB",
)

# -- what no neuron expresses ----------------------------------------------------------------------

mlp("leaky_inhibition", leaky(0.9, inhibition=True), lambda n: SOFT, refused="inhibition")
for mechanism in ("subtract", "zero"):
    mlp(f"alpha_{mechanism}",
        lambda n, m=mechanism: snn.Alpha(alpha=0.8, beta=0.6, reset_mechanism=m),
        lambda n: SOFT, refused="two synaptic currents", gain=2.0)  # fmt: skip
mlp("leaky_state_quant",
    leaky(0.9, state_quant=lambda m: torch.round(m * 4) / 4), lambda n: SOFT, refused="quantized state")  # fmt: skip


class Lstm(Rolled):
    """Spiking LSTM, dense or convolutional."""

    def __init__(self, cell: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__(3, "TB", "stack")
        self.cell, self.shape = cell, shape

    def start(self, x: Any) -> None:
        self.state = (x.new_zeros(x.shape[1], *self.shape), x.new_zeros(x.shape[1], *self.shape))

    def step(self, x: Any) -> Any:
        spikes, *state = self.cell(x, *self.state)
        self.state = tuple(state)
        return spikes


def _lstm(name: str, cell: Callable[[], nn.Module], shape: tuple[int, ...], features: tuple[int, ...]) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return Lstm(cell(), shape).eval().requires_grad_(False)

    NETS.append(ZooNet(f"snntorch/{name}", build, (features,), "TB", 3, None, refused="LSTM"))


_lstm("slstm", lambda: snn.SLSTM(7, 6, threshold=0.02), (6,), (7,))
_lstm("sconv2dlstm", lambda: snn.SConv2dLSTM(1, 3, 3, threshold=0.02), (3, 6, 6), (1, 6, 6))
