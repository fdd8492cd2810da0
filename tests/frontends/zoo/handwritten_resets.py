"""Neurons as people write them by hand: resets and comparisons, one function per spelling.

A cell is ``(x, state) -> out, state``; ``state`` is None before the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

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


@spelled(
    neuron(0.9, -50.0, "hard", v_reset=-68.0, leak_bias=-6.5, v_init=-65.0), gain=18.0, steps=8
)
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


def compared(
    fire: Callable[[Any], Any], found: Any, **options: Any
) -> tuple[Cell, Any, dict[str, Any]]:
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
