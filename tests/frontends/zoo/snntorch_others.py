"""snnTorch's other neurons, and recurrence."""

from __future__ import annotations

from typing import Any

import snntorch as snn
import torch

from zoo.base import integrator, neuron, spread
from zoo.snntorch_parts import LEAKY, leaky, mlp

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
        alpha=torch.tensor(0.4),
        beta=spread(n, 0.6, 0.9),
        learn_alpha=True,
        learn_beta=True,
        reset_mechanism="zero",
        learn_threshold=True,
    ),
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
mlp(
    "synaptic_read_last",
    lambda n: snn.Synaptic(alpha=0.7, beta=0.8),
    lambda n: synaptic("subtract", 0.7, 0.8),
    out="membrane",
    read_out="last",
    gain=0.6,
)
mlp(
    "synaptic_alpha_0",
    lambda n: snn.Synaptic(alpha=0.0, beta=0.8),
    lambda n: (neuron(0.8, 1.0, "soft", after_leak=True), synaptic("subtract", 0.0, 0.8)),
)

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
            0.8,
            1.0,
            LEAKY[m],
            after_leak=m == "subtract",
            refractory=int(m == "zero"),
            recurrent=True,
        ),
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
