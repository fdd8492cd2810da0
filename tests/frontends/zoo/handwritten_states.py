"""Hand-written neurons with parameters per neuron, bounds, counters, currents, adaptation."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from zoo.base import neuron
from zoo.handwritten_resets import CELLS, spelled, zeros

# -- parameters ------------------------------------------------------------------------------------


def ramp(x: Any, low: float, high: float) -> Any:
    return torch.linspace(low, high, x.shape[-1])


@spelled(
    lambda n: neuron(
        torch.sigmoid(torch.linspace(0.0, 2.0, n)).tolist(),
        torch.linspace(0.6, 1.2, n).tolist(),
        "soft",
    )
)
def sigmoid_decay_per_neuron(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = v * torch.sigmoid(ramp(x, 0.0, 2.0)) + x
    s = (v > ramp(x, 0.6, 1.2)).float()
    return s, (v - s * ramp(x, 0.6, 1.2),)


@spelled(
    lambda n: neuron(torch.exp(-1 / torch.linspace(2.0, 9.0, n)).tolist(), 0.5, "hard"),
    kind="TB",
    gain=3.0,
)
def time_constants(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    decay = torch.exp(-1 / ramp(x, 2.0, 9.0))
    v = decay * v + (1 - decay) * x
    s = (v > 0.5).float()
    return s, (v * (1 - s),)


@spelled(lambda n: neuron(0.8, 1.0, "soft", v_init=(0.8 * torch.linspace(-0.5, 0.9, n)).tolist()))
def initial_membrane(x: Any, state: Any) -> Any:
    v = ramp(x, -0.5, 0.9).expand(x.shape) if state is None else state
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, v - s


@spelled(
    lambda n: neuron(0.8, 1.0, "hard", v_reset=torch.linspace(-0.4, 0.4, n).tolist(), v_init=0.0),
    kind="BT",
)
def reset_per_neuron(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (v * (1 - s) + ramp(x, -0.4, 0.4) * s,)


@spelled(neuron(0.8, 1.0, "soft", v_init=0.4), steps=3)
def starts_half_full(x: Any, state: Any) -> Any:
    v = torch.ones_like(x) * 0.5 if state is None else state
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, v - s


# -- lower bounds ----------------------------------------------------------------------------------


@spelled(neuron(0.8, 1.0, "soft", v_min=-0.4), steps=4, gain=1.3)
def clamped_below(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = v + x
    s = (v > 1.0).float()
    return s, (torch.clamp(0.8 * (v - s), min=-0.4),)


@spelled(neuron(0.8, 1.0, "hard", v_min=-0.4), kind="TB", gain=1.3)
def clamped_before_leak(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (torch.maximum(v * (1 - s), torch.tensor(-0.5)),)


@spelled(neuron(0.8, 1.0, "soft", v_min=0.0), gain=1.3)
def rectified(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = F.relu(0.8 * v + x)
    s = (v > 1.0).float()
    return s, (v - s,)


@spelled(neuron(0.8, 1.0, "hard", v_min=-0.24), gain=1.3, kind="BT")
def relu_shifted(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (F.relu(v * (1 - s) + 0.3) - 0.3,)


# -- refractory time -------------------------------------------------------------------------------


@spelled(neuron(0.8, 1.0, "hard", refractory=2), steps=8)
def refractory_counter(x: Any, state: Any) -> Any:
    v, r = state or zeros(x, 2)
    v = 0.8 * v + x * (r == 0).float()
    s = (v > 1.0).float()
    r = torch.where(s > 0, torch.full_like(r, 2.0), torch.clamp(r - 1, min=0))
    return s, (v * (1 - s), r)


@spelled(neuron(0.8, 1.0, "soft", refractory=1), steps=4, kind="TB", gain=1.4)
def refractory_one(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = 0.8 * (v - s) + x * (1 - s)
    s = (v > 1.0).float()
    return s, (v, s)


@spelled(neuron(0.8, 1.0, "hard", refractory=1), steps=4)
def everything_lost(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = (0.8 * v + x) * (1 - s)
    s = (v > 1.0).float()
    return s, (v, s)


# -- synaptic currents, adaptation -----------------------------------------------------------------


@spelled(neuron(0.8, 1.0, "soft", alpha_syn=0.6), gain=0.7)
def cuba(x: Any, state: Any) -> Any:
    i, v = state or zeros(x, 2)
    i = 0.6 * i + x
    v = 0.8 * v + i
    s = (v > 1.0).float()
    return s, (i, v - s)


@spelled(neuron(0.8, 1.0, "hard", alpha_syn=0.6), gain=0.7, kind="TB")
def cuba_stbp(x: Any, state: Any) -> Any:
    i, v, s = state or zeros(x, 3)
    i = i * 0.6 + x
    v = v * 0.8 * (1 - s) + i
    s = (v > 1.0).float()
    return s, (i, v, s)


@spelled(neuron(0.8, 0.5, "hard", alpha_syn=0.6), gain=1.4, steps=4)
def cuba_normalised(x: Any, state: Any) -> Any:
    i, v = state or zeros(x, 2)
    i = 0.6 * i + 0.4 * x
    v = 0.8 * v + (1 - 0.8) * 3 * i
    s = (v >= 0.5).float()
    return s, (i, v * (1 - s))


CELLS["cuba_normalised"][1]["equal"] = True


@spelled(None, optional=True, gain=0.9)
def cuba_late(x: Any, state: Any) -> Any:  # the membrane sees the current of the last step
    i, v = state or zeros(x, 2)
    v = 0.8 * v + i
    i = 0.6 * i + x
    s = (v > 1.0).float()
    return s, (i, v - s)


ADAPTS = (0.7, 0.0, 0.4)


@spelled(neuron(0.8, 0.6, "hard", adaptation=ADAPTS), steps=8)
def adaptive_hard(x: Any, state: Any) -> Any:
    v, a = state or zeros(x, 2)
    v = 0.8 * v + x
    s = (v > 0.6 + a).float()
    return s, (v * (1 - s), 0.7 * a + 0.4 * s)


@spelled(neuron(0.8, 0.6, "soft", adaptation=ADAPTS), kind="TB", gain=1.2)
def adaptive_soft(x: Any, state: Any) -> Any:
    v, threshold = state or (torch.zeros_like(x), torch.full_like(x, 0.6))
    v = 0.8 * v + x
    s = (v > threshold).float()
    return s, (v - s * threshold, 0.6 + 0.7 * (threshold - 0.6) + 0.4 * s)


@spelled(neuron(0.8, 0.6, "soft", dv=0.6, adaptation=(0.7, 0.0, 0.4)), gain=1.2, steps=4)
def adaptive_constant_reset(x: Any, state: Any) -> Any:
    v, a, s = state or zeros(x, 3)
    a = 0.7 * a + s
    v = 0.8 * v + x - 0.8 * 0.6 * s
    s = (v - (0.6 + 0.4 * a) > 0).float()
    return s, (v, a, s)


@spelled(neuron(0.8, 0.6, "hard", adaptation=(1.0, 0.05, 0.2)), steps=8, optional=True)
def threshold_grows(x: Any, state: Any) -> Any:
    v, threshold = state or (torch.zeros_like(x), torch.full_like(x, 0.6))
    v = 0.8 * v + x
    s = (v > threshold).float()
    return s, (v * (1 - s), threshold + 0.05 + 0.2 * s)


CELLS["adaptive_constant_reset"][1]["constant"] = True
