"""snnTorch's Leaky: resets, delays, parameters, surrogates, read-outs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch as snn
import torch
from snntorch import surrogate

from zoo.base import READ_OUTS, integrator, neuron, spread
from zoo.snntorch_parts import LEAKY, leaky, mlp

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
mlp(
    "leaky_none_now",
    leaky(0.85, reset_delay=False, reset_mechanism="none"),
    lambda n: neuron(0.85, 1.0, "none"),
    gain=0.45,
)
mlp(
    "leaky_threshold",
    leaky(0.7, threshold=0.6),
    lambda n: neuron(0.7, 0.6, "soft", after_leak=True),
    steps=3,
    read_out="running_mean",
)
mlp(
    "leaky_beta_0",
    leaky(0.0),
    lambda n: (
        neuron(0.0, 1.0, "soft", after_leak=True),
        neuron(0.0, 1.0, "soft", dv=1.0, after_leak=True),
    ),
    kind="TB",
    read_out="stack",
)
mlp("leaky_beta_1", leaky(1.0), lambda n: neuron(1.0, 1.0, "soft"), steps=3)
mlp("leaky_beta_above_1", leaky(1.2), lambda n: neuron(1.0, 1.0, "soft"), steps=3)
mlp(
    "leaky_graded",
    leaky(0.8, graded_spikes_factor=2.0),
    lambda n: neuron(0.8, 1.0, "soft", after_leak=True),
    gain=0.8,
)
mlp(
    "leaky_graded_now_zero",
    leaky(0.8, graded_spikes_factor=0.5, reset_delay=False, reset_mechanism="zero"),
    lambda n: neuron(0.8, 1.0, "hard"),
)

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
    mlp(
        f"surrogate_{label}",
        leaky(0.9, spike_grad=grad),
        lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
        sizes=(8, 7),
        steps=3,
    )
mlp(
    "surrogate_disabled",
    leaky(0.9, surrogate_disable=True),
    lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
    sizes=(8, 7),
    steps=3,
)

# -- read-outs -------------------------------------------------------------------------------------

for read_out in READ_OUTS:
    mlp(
        f"read_{read_out}",
        leaky(0.9),
        lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
        steps=3,
        read_out=read_out,
    )
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
mlp(
    "both_outputs",
    leaky(0.9, reset_mechanism="zero"),
    lambda n: neuron(0.9, 1.0, "hard"),
    out="both",
    read_out="stack",
    kind="TB",
)
mlp(
    "both_outputs_sum",
    leaky(0.9),
    lambda n: neuron(0.9, 1.0, "soft", after_leak=True),
    out="both",
    read_out="sum",
)
