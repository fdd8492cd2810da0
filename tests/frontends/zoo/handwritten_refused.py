"""Hand-written neurons that no neuron of snnquant expresses."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from zoo.handwritten_resets import spelled, zeros

# -- what no neuron expresses ----------------------------------------------------------------------


@spelled(None, refused="the leak depends on the input")
def gated_leak(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = torch.sigmoid(x) * v + x
    s = (v > 1.0).float()
    return s, (v * (1 - s),)


@spelled(None, refused="the membrane is squashed")
def tanh_membrane(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = torch.tanh(0.9 * v + 2 * x)
    s = (v > 0.8).float()
    return s, (v * (1 - s),)


@spelled(None, refused="quadratic", gain=1.2)
def quadratic(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = v + 0.3 * v * (v - 0.5) + x
    s = (v > 1.0).float()
    return s, (v * (1 - s),)


@spelled(None, refused="negative spikes", gain=1.2)
def signed(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float() - (v < -1.0).float()
    return s, (v - s,)


@spelled(None, refused="lateral inhibition")
def inhibits_others(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float() * (v == v.max(-1, keepdim=True).values).float()
    return s, (v * (1 - s),)


@spelled(None, refused="second order")
def second_order(x: Any, state: Any) -> Any:
    v, w, s = state or zeros(x, 3)
    v, w = 0.8 * v - 0.3 * w + x - s, 0.3 * v + 0.8 * w
    s = (v > 1.0).float()
    return s, (v, w, s)


@spelled(None, refused="the threshold follows the membrane")
def threshold_follows_membrane(x: Any, state: Any) -> Any:
    v, b = state or zeros(x, 2)
    v = 0.8 * v + x
    s = (v > 0.6 + b).float()
    return s, (v * (1 - s), 0.5 * b + 0.3 * torch.abs(v))


@spelled(None, refused="the membrane is normalised over neurons")
def normalised_membrane(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = F.layer_norm(0.8 * v + x, x.shape[-1:])
    s = (v > 0.8).float()
    return s, (v - s,)


@spelled(None, refused="the leak changes with time", steps=4)
def leak_of_time(x: Any, state: Any) -> Any:
    v, t = state or (torch.zeros_like(x), 0)
    v = (0.9, 0.5, 0.2, 0.7)[t] * v + x
    s = (v > 1.0).float()
    return s, (v - s, t + 1)


@spelled(None, refused="the threshold changes with time", steps=4)
def threshold_of_time(x: Any, state: Any) -> Any:
    v, t = state or (torch.zeros_like(x), 0)
    v = 0.8 * v + x
    s = (v > (1.0, 0.6, 0.9, 0.5)[t]).float()
    return s, (v * (1 - s), t + 1)


@spelled(None, refused="spikes only once", steps=8)
def fires_once(x: Any, state: Any) -> Any:
    v, done = state or zeros(x, 2)
    v = 0.8 * v + x
    s = (v > 1.0).float() * (1 - done)
    return s, (v, done + s)


@spelled(None, refused="bounded above", gain=1.4, steps=8)
def bounded_above(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = torch.clamp(0.9 * v + x, max=1.2)
    s = (v > 1.0).float()
    return s, (v - 0.5 * s,)
