"""Neurons as people write them by hand: one function per spelling, ``(x, state) -> out, state``.

``state`` is None before the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from zoo.base import neuron

Cell = Callable[[Any, Any], tuple[Any, Any]]
#: name -> (cell, what it is, options of the net)
CELLS: dict[str, tuple[Cell, Any, dict[str, Any]]] = {}


def spelled(found: Any, **options: Any) -> Callable[[Cell], Cell]:
    """Register a cell under its function's name."""

    def register(cell: Cell) -> Cell:
        CELLS[cell.__name__] = (cell, found, options)
        return cell

    return register


def zeros(x: Any, count: int) -> tuple[Any, ...]:
    return tuple(torch.zeros_like(x) for _ in range(count))


# -- hard resets -----------------------------------------------------------------------------------


@spelled(neuron(0.5, 0.7, "hard"), kind="TB")
def stbp(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = 0.5 * v * (1 - s) + x
    s = v.gt(0.7).float()
    return s, (v, s)


@spelled(neuron(0.5, 0.7, "hard", equal=True), steps=8)
def stbp_on_equal(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = v * 0.5 * (1.0 - s) + x
    s = (v >= 0.7).to(x.dtype)
    return s, (v, s)


@spelled(neuron(0.25, 0.5, "hard", equal=True), kind="BT")
def tet(x: Any, state: Any) -> Any:
    mem = 0 if state is None else state
    mem = mem * 0.25 + x
    s = (mem - 0.5 >= 0).float()
    return s, (1 - s) * mem


@spelled(neuron(0.8, 1.0, "hard", v_reset=-0.2, v_init=0.0))
def where_reset(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    fired = v > 1.0
    return fired.float(), (torch.where(fired, torch.full_like(v, -0.2), v),)


@spelled(neuron(0.8, 1.0, "hard"), kind="TB")
def where_scalar(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    return torch.where(v > 1.0, 1.0, 0.0), (torch.where(v > 1.0, 0.0, v),)


@spelled(neuron(0.8, 1.0, "hard"))
def where_silent(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = torch.where(v <= 1.0, torch.zeros_like(v), torch.ones_like(v))
    return s, (torch.where(s == 0, v, torch.zeros_like(v)),)


@spelled(neuron(0.8, 1.0, "hard"))
def masked_fill(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (v.masked_fill(s.bool(), 0.0),)


@spelled(neuron(0.8, 1.0, "hard", v_reset=0.1, v_init=0.0))
def index_assigned(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    fired = v > 1.0
    v = v.clone()
    v[fired] = 0.1
    return fired.float(), (v,)


@spelled(neuron(0.8, 1.0, "hard"))
def multiplied_by_not(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = v > 1.0
    return s.float(), (v * (~s).float(),)


@spelled(neuron(0.8, 1.0, "hard"), steps=2)
def minus_itself(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (v - s * v,)


@spelled(neuron(0.8, 1.0, "hard", v_reset=-0.3, v_init=0.0), kind="TB")
def minus_distance(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (v + s * (-0.3 - v),)


@spelled(neuron(0.7, 1.0, "hard", leak_bias=0.15, v_reset=0.2, v_init=0.15))
def leaks_after_reset(x: Any, state: Any) -> Any:
    v = torch.full_like(x, 0.15) if state is None else state
    v = v + x
    s = (v > 1.0).float()
    v = v * (1 - s) + 0.2 * s
    return s, 0.7 * v + 0.15


@spelled(neuron(0.7, 1.0, "hard", leak_bias=0.0, v_reset=0.3 / 0.7, v_init=0.0), steps=3)
def leaks_before_reset(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = v + x
    s = (v > 1.0).float()
    return s, ((0.7 * v) * (1 - s) + 0.3 * s,)


@spelled(neuron(0.9, -50.0, "hard", v_reset=-68.0, leak_bias=-6.5, v_init=-65.0), gain=18.0, steps=8)
def millivolts(x: Any, state: Any) -> Any:
    v = torch.full_like(x, -65.0) if state is None else state
    v = v + (1.0 / 10.0) * (-(v + 65.0) + 7.0 * x)
    s = (v > -50.0).float()
    return s, v * (1 - s) + s * -68.0


# -- soft resets -----------------------------------------------------------------------------------


@spelled(neuron(0.8, 1.0, "soft"))
def soft(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (v - s,)


@spelled(neuron(0.8, 1.0, "soft", after_leak=True), kind="TB")
def soft_delayed(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = 0.8 * v + x - 1.0 * s
    s = (v > 1.0).float()
    return s, (v, s)


@spelled(neuron(0.8, 1.0, "soft"), steps=3)
def soft_before_leak(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = 0.8 * (v - 1.0 * s) + x
    s = (v > 1.0).float()
    return s, (v, s)


@spelled(neuron(0.8, 1.0, "soft", dv=0.6))
def resets_by_another_amount(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    s = (v > 1.0).float()
    return s, (v - 0.6 * s,)


@spelled(neuron(0.8, 0.6, "soft", dv=1.0, after_leak=True), kind="BT")
def delayed_by_another_amount(x: Any, state: Any) -> Any:
    v, s = state or zeros(x, 2)
    v = 0.8 * v + x - 1.0 * s
    s = (v > 0.6).float()
    return s, (v, s)


@spelled(neuron(0.8, 1.0, "soft"))
def where_soft(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.8 * v + x
    fired = torch.greater(v, 1.0)
    return fired.float(), (torch.where(fired, v - 1.0, v),)


@spelled(neuron(0.7, 0.35, "soft"), gain=1.2)
def lerp(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = torch.lerp(v, x, 0.3)
    s = (v > 0.35).float()
    return s, (v - s * 0.35,)


@spelled(neuron(0.9, 1.0, "soft", leak_bias=-0.05))
def leaks_linearly_too(x: Any, state: Any) -> Any:
    v = torch.full_like(x, 0.0) if state is None else state
    v = v + x
    s = (v > 1.0).float()
    return s, 0.9 * (v - s) - 0.05


@spelled(neuron(1.0, 1.0, "soft", leak_bias=-0.1), steps=8)
def leaks_linearly(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = v + x
    s = (v > 1.0).float()
    return s, (v - s - 0.1,)


@spelled(neuron(0.5, 1.0, "none"), gain=0.8)
def never_resets(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = 0.5 * v + x
    return (v > 1.0).float(), (v,)


@spelled(neuron(0.0, 0.5, "none"), kind="TB", gain=0.8, optional=True)
def no_memory(x: Any, state: Any) -> Any:
    return (x > 0.5).float(), None


# -- comparisons -----------------------------------------------------------------------------------


def compared(fire: Callable[[Any], Any], found: Any, **options: Any) -> tuple[Cell, Any, dict[str, Any]]:
    """Return a leaky soft-reset cell of threshold 1 with a spelling of the comparison."""

    def cell(x: Any, state: Any) -> Any:
        (v,) = state or zeros(x, 1)
        v = 0.8 * v + x
        s = fire(v)
        return s, (v - s,)

    return cell, found, options


ABOVE = neuron(0.8, 1.0, "soft")
REACHED = neuron(0.8, 1.0, "soft", equal=True)


def straight_through(v: Any) -> Any:
    hard, smooth = (v > 1.0).float(), torch.sigmoid(4 * (v - 1.0))
    return (hard - smooth).detach() + smooth


def straight_through_clamp(v: Any) -> Any:
    hard, smooth = (v > 1.0).float(), torch.clamp(v, 0, 1)
    return hard.detach() - smooth.detach() + smooth


for name, fire, found in [
    ("not_less", lambda v: (~(v < 1.0)).float(), REACHED),
    ("one_minus_less_equal", lambda v: 1 - (v <= 1.0).float(), ABOVE),
    ("less_turned", lambda v: torch.lt(torch.ones_like(v), v).float(), ABOVE),
    ("difference_below_0", lambda v: (1.0 - v < 0).float(), ABOVE),
    ("relative", lambda v: (v / 1.0 - 1 > 0).float(), ABOVE),
    ("scaled_difference", lambda v: (5.0 * (v - 1.0) >= 0.0).float(), REACHED),
    ("heaviside", lambda v: torch.heaviside(v - 1.0, torch.zeros(())), ABOVE),
    ("heaviside_1", lambda v: torch.heaviside(v - 1.0, torch.ones(())), REACHED),
    ("sign_halved", lambda v: 0.5 * (torch.sign(v - 1.0) + 1), (ABOVE, REACHED)),
    ("relu_of_sign", lambda v: torch.relu(torch.sign(v - 1.0)), ABOVE),
    ("clamped_floor", lambda v: torch.clamp(torch.floor(v), 0, 1), REACHED),
    ("clamped_ceil", lambda v: torch.clamp(torch.ceil(v - 1.0), 0, 1), ABOVE),
    ("to_int_and_back", lambda v: (v > 1.0).to(torch.int32).to(v.dtype), ABOVE),
    ("straight_through", straight_through, ABOVE),
    ("straight_through_clamp", straight_through_clamp, ABOVE),
    ("and_of_two", lambda v: ((v > 1.0) & (v > 0.5)).float(), ABOVE),
]:
    optional = name in ("and_of_two", "sign_halved")
    CELLS[f"fires_{name}"] = compared(fire, found, optional=optional)
for name, fire, found in [
    ("floor", lambda v: torch.clamp(torch.floor(v), 0, 4), {"equal": True, "max_spikes": 4}),
    ("relu_floor", lambda v: torch.relu(torch.floor(v)), {"equal": True, "max_spikes": 255}),
    ("sum", lambda v: (v > 1.0).float() + (v > 2.0).float(), {"max_spikes": 2}),
    ("ceil", lambda v: torch.clamp(torch.ceil(v) - 1, 0, 3), {"max_spikes": 3}),
]:
    CELLS[f"counts_{name}"] = compared(
        fire, {**ABOVE, **found}, gain=1.8, optional=name in ("sum", "ceil")
    )

# -- parameters ------------------------------------------------------------------------------------


def ramp(x: Any, low: float, high: float) -> Any:
    return torch.linspace(low, high, x.shape[-1])


@spelled(
    lambda n: neuron(
        torch.sigmoid(torch.linspace(0.0, 2.0, n)).tolist(), torch.linspace(0.6, 1.2, n).tolist(), "soft"
    )
)
def sigmoid_decay_per_neuron(x: Any, state: Any) -> Any:
    (v,) = state or zeros(x, 1)
    v = v * torch.sigmoid(ramp(x, 0.0, 2.0)) + x
    s = (v > ramp(x, 0.6, 1.2)).float()
    return s, (v - s * ramp(x, 0.6, 1.2),)


@spelled(lambda n: neuron(torch.exp(-1 / torch.linspace(2.0, 9.0, n)).tolist(), 0.5, "hard"),
         kind="TB", gain=3.0)  # fmt: skip
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


@spelled(lambda n: neuron(0.8, 1.0, "hard", v_reset=torch.linspace(-0.4, 0.4, n).tolist(), v_init=0.0),
         kind="BT")  # fmt: skip
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
