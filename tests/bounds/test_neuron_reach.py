"""Where the states of a neuron stay: no simulated value is outside, and little is given away."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import INTEGER_OPS, cases

from snnquant.bounds import Interval, neuron_reach
from snnquant.neurons import NEURONS
from snnquant.neurons.simulate import integer_arithmetic, simulate
from snnquant.ops.schema import CURRENT, RECURRENT_WEIGHT


def constants_in(case):
    return {name: case.feeds[name] for name in case.schema.parameter_names}


@given(case=cases())
@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
def test_nothing_that_is_simulated_is_outside(case):
    schema, feeds = case.schema, case.feeds
    current = feeds[CURRENT].astype(np.int64)
    low, high = current.min(axis=1, keepdims=True), current.max(axis=1, keepdims=True)
    given_states = {name: feeds[name] for name in schema.state_names if name in feeds}
    states = {
        name: Interval(
            value.astype(np.int64).min(axis=0)[None], value.astype(np.int64).max(axis=0)[None]
        )
        for name, value in given_states.items()
    }
    weight = feeds.get(RECURRENT_WEIGHT)
    many = case.attributes.get("max_spikes", 1) > 2
    for steps in (len(current),) if many else (len(current), None):
        found = neuron_reach(
            schema.neuron,
            case.attributes,
            Interval(low, high),
            constants_in(case),
            steps=steps,
            states=states or None,
            recurrent_weight=weight,
        )
        output, final, membranes = simulate(
            schema.neuron,
            integer_arithmetic(case.attributes),
            current,
            constants_in(case),
            case.attributes,
            states=given_states or None,
            recurrent_weight=weight,
        )
        checks = [(found.output, output), (found.membrane, membranes)]
        checks += [(found.states[name], final[name][None]) for name in found.states]
        for interval, seen in checks:
            assert (seen >= interval.low).all()
            assert (seen <= interval.high).all()
        if not found.fits(case.attributes["state_bits"]):
            continue
        # With states of the proved width, and of no other, nothing changes.
        narrow = case.attributes | {"state_bits": max(found.bits, 2)}
        again, ends, seen = simulate(
            schema.neuron,
            integer_arithmetic(narrow),
            current,
            constants_in(case),
            narrow,
            states=given_states or None,
            recurrent_weight=weight,
        )
        np.testing.assert_array_equal(again, output)
        np.testing.assert_array_equal(seen, membranes)
        for name in ends:
            np.testing.assert_array_equal(ends[name], final[name])


LIF = next(model for model in NEURONS if model.name == "LIF")
ATTRIBUTES = {"leak_shift": 8, "leak_rounding": 0, "current_shift": 0, "state_bits": 32}


def lif(reset, current, steps=None, **constants):
    held = {"alpha": 230, "leak_bias": 0, "fire_above": 10, "reset_by": 10, "v_reset": 0}
    held |= {"refractory_steps": 0, "v_init": 0} | constants
    choices = {"reset": reset, "max_spikes": 1, "refractory": 0, "reset_after_leak": 0}
    low, high = (np.full((1, 1, 1), value, np.int64) for value in current)
    arrays = {name: np.array([value]) for name, value in held.items()}
    return neuron_reach(LIF, ATTRIBUTES | choices, Interval(low, high), arrays, steps=steps)


def test_iterating_the_extremes_alone_would_be_unsound():
    # The largest membrane comes from just below the threshold, not from the largest current.
    found = lif(0, (-5, 20))
    assert found.membrane.high.item() == 29
    assert found.output.low.item() == 0
    assert found.output.high.item() == 1
    assert found.fits(7)
    assert not found.fits(6)


@pytest.mark.parametrize("reset", range(4))
@pytest.mark.parametrize("current", [(-2, 3), (0, 5), (-3, -1), (12, 14)])
@pytest.mark.parametrize("bias", [0, 2])
def test_intervals_end_where_values_do(reset, current, bias):
    """All sequences of a few steps: their extremes are the ends of the interval."""
    steps, values = 4, range(current[0], current[1] + 1)
    sequences = np.array(list(itertools.product(values, repeat=steps)), np.int64).T[:, :, None]
    held = {"alpha": 230, "leak_bias": bias, "fire_above": 4, "reset_by": 4, "v_reset": 1}
    held |= {"refractory_steps": 0, "v_init": 0}
    choices = {"reset": reset, "max_spikes": 1, "refractory": 0, "reset_after_leak": 0}
    constants = {name: np.array([value]) for name, value in held.items()}
    _, _, membranes = simulate(LIF, integer_arithmetic(ATTRIBUTES), sequences, constants, choices)
    found = lif(reset, current, steps, **held)
    assert found.membrane.low.item() <= membranes.min()
    assert found.membrane.high.item() >= membranes.max()
    assert found.membrane.high.item() - membranes.max() <= 1
    assert membranes.min() - found.membrane.low.item() <= 1


def test_more_steps_than_settle_change_nothing():
    assert lif(0, (-5, 20), 200).membrane.high.item() == lif(0, (-5, 20)).membrane.high.item()


def test_what_grows_without_end_has_no_bound():
    found = lif(3, (1, 2), alpha=256)
    assert not found.settled
    assert not found.fits(32)
    assert lif(3, (1, 2), 10, alpha=256).membrane.high.item() == 20


def test_every_integer_op_can_be_drawn():
    assert len(INTEGER_OPS) >= 4
