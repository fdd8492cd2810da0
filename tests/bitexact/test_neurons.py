"""Every neuron, op variant and structure, on every target, in every backend: equal integers."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from single_op import BACKENDS, Case, differences, reference
from strategies import INTEGER_OPS, drawing_corners, drawing_uniformly, make_feeds, structures

from snnquant.neurons import NEURONS
from snnquant.neurons.simulate import Array
from snnquant.ops import schemas
from snnquant.target import load_target, target_names

TARGETS = ("generic", "tianjic")
STEPS_WANTED = 1_000_000
NEURON_NAMES = tuple(model.name for model in NEURONS)


@cache
def cases_with_outputs(neuron: str, target_name: str) -> list[tuple[Case, list[Array]]]:
    """Return calls that go through all variants and structures, and what the reference gives."""
    target = load_target(target_name)
    ops = [name for name in INTEGER_OPS if schemas()[name].neuron.name == neuron]
    choices = structures(schemas()[ops[0]])
    count = max(len(choices), len(ops))
    # Enough neurons for the wanted number of steps, in a shape with channels and positions.
    steps, batch, channels = 5, 4, 4
    positions = 1 + STEPS_WANTED // (count * steps * batch * channels)
    found = []
    for k in range(count):
        schema = schemas()[ops[k % len(ops)]]
        rng = np.random.default_rng([k, len(neuron), target.state_bits])
        attributes = {
            **choices[k % len(choices)],
            "leak_shift": target.leak_shift,
            "leak_rounding": int(target.leak_rounding),
            "state_bits": target.state_bits,
        }
        feeds = make_feeds(
            schema,
            attributes,
            (steps, batch, channels, positions),
            rng,
            draw=(drawing_uniformly if k % 3 else drawing_corners)(rng),
            reach=2**10 if k % 2 else target.state_range.high,
        )
        case = Case(schema.name, attributes, feeds)
        found.append((case, reference(case)))
    assert {case.op for case, _ in found} == set(ops)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_backend_computes_the_reference(neuron: str, target: str, backend: str) -> None:
    calls = cases_with_outputs(neuron, target)
    assert calls
    wrong = [
        line
        for case, wanted in calls
        for line in differences(case, BACKENDS[backend](case), wanted)
    ]
    assert not wrong, wrong[:5]
    assert sum(case.neuron_steps for case, _ in calls) >= STEPS_WANTED


def test_suite_covers_every_op_target_and_backend() -> None:
    assert len(INTEGER_OPS) >= 26
    assert len(NEURON_NAMES) == 4
    assert set(TARGETS) == set(target_names())
    assert {"body", "evaluator", "native"} <= set(BACKENDS)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("neuron", NEURON_NAMES)
def test_cases_fire_and_stay_silent(neuron: str, target: str) -> None:
    spiking = [(c, wanted[0]) for c, wanted in cases_with_outputs(neuron, target)]
    values = np.concatenate([out.ravel() for _, out in spiking])
    assert np.count_nonzero(values) / values.size > 0.02
    if neuron != "LI":
        assert np.count_nonzero(values) / values.size < 0.98
