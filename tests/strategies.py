"""Random and hypothesis-drawn calls of the integer ops; the one place where they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from hypothesis import strategies as st
from single_op import Case

from snnquant.neurons import Quantization
from snnquant.neurons.simulate import Array
from snnquant.numerics import IntRange
from snnquant.ops import OpSchema, schemas
from snnquant.ops.schema import CURRENT, LAST_SPIKES, RECURRENT_WEIGHT

INTEGER_OPS = tuple(name for name, schema in schemas().items() if schema.integer)

#: Draws values for a constant, a state or a current: ``draw(low, high, shape)``.
Draw = Callable[[int, int, tuple[int, ...]], Array]


def drawing_uniformly(rng: np.random.Generator) -> Draw:
    """Return a draw of all values alike."""
    return lambda low, high, shape: rng.integers(low, high, shape, endpoint=True)


def drawing_corners(rng: np.random.Generator) -> Draw:
    """Return a draw in which half of the values sit at the ends, at zero, or one beside them."""

    def draw(low: int, high: int, shape: tuple[int, ...]) -> Array:
        near = np.array([low, low + 1, -1, 0, 1, high - 1, high]).clip(low, high)
        anywhere = rng.integers(low, high, shape, endpoint=True)
        return np.where(rng.random(shape) < 0.5, rng.choice(near, shape), anywhere)

    return draw


def layouts(features: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the shapes that a constant may have: one value, per channel, per neuron."""
    return [(1,), *([features[:1], features] if features else [])]


def make_feeds(
    schema: OpSchema,
    attributes: Mapping[str, int],
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    draw: Draw,
    reach: int,
) -> dict[str, Array]:
    """Return inputs for a current of ``shape`` with membranes and thresholds up to ``reach``.

    Currents reach as far as thresholds do, where ``reach`` allows it beyond the state's width.
    """
    features = shape[2:]
    neurons = int(np.prod(features))
    state = IntRange.signed(attributes["state_bits"])
    within = min(reach, state.high)
    feeds: dict[str, Array] = {}
    for port in schema.inputs:
        layout = layouts(features)[rng.integers(len(layouts(features)))]
        if port.name == CURRENT:
            value = draw(-reach, reach, shape)
        elif port.name == RECURRENT_WEIGHT:
            value = draw(-128, 127, (neurons, neurons))
        elif port.name in schema.parameter_names:
            value = _constant(schema, port.name, attributes, layout, draw, reach)
        elif port.name == LAST_SPIKES:
            value = draw(0, attributes["max_spikes"], shape[1:])
        elif port.name == "r":
            value = draw(0, 3, shape[1:])
        else:
            value = draw(-within - 1, within, shape[1:])
        dtype = {2: np.uint8, 3: np.int8, 6: np.int32}[port.elem_type]
        feeds[port.name] = np.asarray(value).astype(dtype)
    return feeds


def _constant(
    schema: OpSchema,
    name: str,
    attributes: Mapping[str, int],
    layout: tuple[int, ...],
    draw: Draw,
    reach: int,
) -> Array:
    """Return values of one constant, by the rule that makes it."""
    parameter = next(p for p in schema.neuron.parameters if p.constant_name == name)
    if parameter.rule is Quantization.MULTIPLIER:
        return draw(0, 2 ** attributes["leak_shift"], layout)
    if parameter.rule is Quantization.STEPS:
        return draw(0, 3, layout)
    if name == "v_min":
        return draw(-reach - 1, -reach // 2, layout)
    if parameter.rule is Quantization.THRESHOLD or name == "reset_by":
        return draw(-reach // 16, reach, layout)
    return draw(-reach // 8, reach // 8, layout)


def structures(schema: OpSchema) -> list[dict[str, int]]:
    """Return every combination of the structural choices; max_spikes and the shift by samples."""
    options: dict[str, Sequence[int]] = {
        choice.name: range(choice.low, choice.high + 1)
        for choice in schema.neuron.integer_choices()
    }
    if "max_spikes" in options:
        options["max_spikes"] = (1, 3)
    options["current_shift"] = (0, 3, -2)
    combinations: list[dict[str, int]] = [{}]
    for name, values in options.items():
        combinations = [{**c, name: v} for c in combinations for v in values]
    return combinations


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a call of any integer op at 16, 28 or 32 bits, with corners and every layout."""
    schema = schemas()[draw(st.sampled_from(INTEGER_OPS))]
    attributes = {a.name: draw(st.integers(a.low, a.high)) for a in schema.attributes}
    attributes["state_bits"] = draw(st.sampled_from([16, 28, 31, 32]))
    if "max_spikes" in attributes:
        attributes["max_spikes"] = draw(st.sampled_from([1, 2, 255]))
    features = draw(st.lists(st.integers(1, 4), max_size=3))
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 3)), *features)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawing = draw(st.sampled_from([drawing_uniformly, drawing_corners]))(rng)
    reach = draw(st.sampled_from([2**7, 2 ** (attributes["state_bits"] - 1) - 1, 2**31 - 1]))
    feeds = make_feeds(schema, attributes, shape, rng, draw=drawing, reach=reach)
    return Case(schema.name, attributes, feeds)
