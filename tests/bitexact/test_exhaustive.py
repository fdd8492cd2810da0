"""One step at 4 to 6 bits, with every state against every current and many constants."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from single_op import BACKENDS, Case, differences, reference

from snnquant.neurons import NEURONS
from snnquant.neurons.simulate import Array
from snnquant.numerics import IntRange, Rounding
from snnquant.ops import op_name, schemas

LEAK_SHIFT = 3
SPIKING = tuple(model.name for model in NEURONS if model.spiking)


def grid(*axes: Array) -> list[Array]:
    """Return every combination of the axes' values, one flat array per axis."""
    return [a.ravel().astype(np.int32) for a in np.meshgrid(*axes, indexing="ij")]


def exhaustive_case(
    neuron: str, bits: int, attributes: dict[str, int], constants: dict[str, Array]
) -> Case:
    """Lay all states and currents along the batch, and all constants along the neurons."""
    model = next(m for m in NEURONS if m.name == neuron)
    schema = schemas()[op_name(model, integer=True, stateful=True)]
    limits = IntRange.signed(bits)
    every = np.arange(limits.low, limits.high + 1)
    axes = {"current": np.arange(limits.low - 2, limits.high + 3)}
    for name in schema.state_names:
        axes[name] = np.arange(3) if name == "r" else every
    if not attributes.get("refractory"):
        axes["r"] = np.zeros(1)
    if not attributes.get("synaptic", 1):
        axes["i"] = np.zeros(1)
    rows = dict(zip(axes, grid(*axes.values()), strict=True))
    names = list(constants)
    columns = dict(zip(names, grid(*(constants[n] for n in names)), strict=True))
    size = next(iter(columns.values())).size
    feeds = {n: np.repeat(rows[n][:, None], size, axis=1) for n in schema.state_names}
    feeds["current"] = np.repeat(rows["current"][None, :, None], size, axis=2)
    for name in schema.parameter_names:
        feeds[name] = columns.get(name, np.array([2], np.int32))
    return Case(schema.name, {**attributes, "state_bits": bits}, feeds)


def spiking_attributes() -> list[dict[str, int]]:
    """Return every reset, order, rounding, count and refractory choice."""
    names = ("reset", "reset_after_leak", "leak_rounding", "max_spikes", "refractory")
    options = (range(4), (0, 1), map(int, Rounding), (1, 3), (0, 1))
    return [
        {**dict(zip(names, values, strict=True)), "leak_shift": LEAK_SHIFT, "current_shift": 0}
        for values in product(*options)
    ]


def check(calls: list[Case], backend: str) -> int:
    """Compare the calls with the reference and return how many neuron-steps that were."""
    wrong = [line for c in calls for line in differences(c, BACKENDS[backend](c), reference(c))]
    assert not wrong, wrong[:5]
    return sum(c.neuron_steps for c in calls)


@pytest.mark.parametrize("backend", BACKENDS)
def test_lif_step_at_4_bits_for_all_states_currents_and_constants(backend: str) -> None:
    constants = {
        "fire_above": np.arange(-8, 8),
        "reset_by": np.array([-8, -1, 0, 1, 3, 7]),
        "alpha": np.arange(2**LEAK_SHIFT + 1),
    }
    calls = [exhaustive_case("LIF", 4, a, constants) for a in spiking_attributes()]
    assert len(calls) == 128
    assert check(calls, backend) >= 128 * 16 * 20 * 864


@pytest.mark.parametrize("backend", BACKENDS)
def test_lif_step_at_6_bits_for_all_states_currents_and_thresholds(backend: str) -> None:
    constants = {"fire_above": np.arange(-32, 32), "alpha": np.array([0, 5, 8])}
    calls = [exhaustive_case("LIF", 6, a, constants) for a in spiking_attributes()[::7]]
    assert len(calls) >= 12
    assert check(calls, backend) >= 12 * 64 * 68 * 192


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("neuron", SPIKING)
def test_step_at_4_bits_for_all_combinations_of_states(neuron: str, backend: str) -> None:
    constants = {
        "fire_above": np.array([-3, 0, 4]),
        "alpha": np.array([0, 5, 8]),
        "leak_bias": np.array([-2, 0]),
        "v_min": np.array([-8, -3]),
        "threshold_decay": np.array([3, 8]),
    }
    model = next(m for m in NEURONS if m.name == neuron)
    own = {p.constant_name for p in model.parameters}
    kept = {name: values for name, values in constants.items() if name in own}
    calls = [exhaustive_case(neuron, 4, a, kept) for a in spiking_attributes()[::5]]
    assert len(calls) >= 19
    assert check(calls, backend) > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_out_step_at_5_bits_for_all_states_and_currents(backend: str) -> None:
    constants = {"alpha": np.arange(9), "alpha_syn": np.array([0, 4, 8])}
    calls = [
        exhaustive_case(
            "LI",
            5,
            {"synaptic": s, "leak_rounding": r, "leak_shift": LEAK_SHIFT, "current_shift": 0},
            constants,
        )
        for s, r in product((0, 1), map(int, Rounding))
    ]
    assert len(calls) == 8
    assert check(calls, backend) > 0
