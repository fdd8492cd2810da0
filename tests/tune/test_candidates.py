"""Which widths are measured: those that are best if what layers cost adds up."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnquant.tune import candidates
from snnquant.tune.candidates import (
    Unit,
    best_by_size,
    expected_cost,
    size_of,
    spread,
    uniform,
)

COSTS = st.dictionaries(st.integers(2, 8), st.integers(0, 50), min_size=1, max_size=4)
UNITS = st.lists(st.tuples(st.integers(0, 20), COSTS), min_size=1, max_size=4).map(
    lambda drawn: [Unit(f"u{k}", count, costs) for k, (count, costs) in enumerate(drawn)]
)


def values(units, config):
    return size_of(units, config), expected_cost(units, config)


@settings(max_examples=150, deadline=None)
@given(UNITS)
def test_what_is_left_is_what_nothing_beats(units):
    every = [values(units, config) for config in product(*(unit.widths for unit in units))]
    beaten = {
        one
        for one in every
        for other in every
        if other != one and other[0] <= one[0] and other[1] <= one[1]
    }
    found = [values(units, config) for config in best_by_size(units)]
    assert found == sorted(set(every) - beaten, reverse=True)


@settings(max_examples=50, deadline=None)
@given(UNITS, st.integers(2, 9))
def test_few_states_are_enough_for_widths_that_exist(units, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "_MOST_STATES", most)
        path = best_by_size(units)
    assert len(path) <= most + 2
    for config in path:
        assert all(bits in unit.costs for unit, bits in zip(units, config, strict=True))
    found = [values(units, config) for config in path]
    sizes, costs = zip(*found, strict=True)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert list(costs) == sorted(costs)
    # The cheapest of all sizes is never lost: it costs the sum of what is least.
    assert costs[0] == sum(min(unit.costs.values()) for unit in units)


def test_many_layers_do_not_take_long():
    units = [
        Unit(f"u{k}", 1000 + 37 * k, {b: (k % 7 + 1) / 4.0**b for b in range(2, 9)})
        for k in range(60)
    ]
    path = best_by_size(units)
    assert path[0] == (8,) * 60
    assert path[-1] == (2,) * 60
    assert len(path) > 1000


def test_the_costly_layer_keeps_its_bits():
    units = [Unit("a", 10, {2: 9.0, 8: 0.0}), Unit("b", 10, {2: 1.0, 8: 0.0})]
    assert best_by_size(units) == [(8, 8), (8, 2), (2, 2)]


def test_one_width_for_all_where_some_do_not_have_it():
    units = [Unit("a", 1, {2: 0, 4: 0, 8: 0}), Unit("b", 1, {8: 0}), Unit("c", 1, {3: 0})]
    assert uniform(units) == [(8, 8, 3), (4, 8, 3), (4, 8, 3), (2, 8, 3)]


@given(UNITS, st.integers(2, 12))
def test_places_are_spread_from_end_to_end(units, count):
    path = best_by_size(units)
    places = spread(units, path, count)
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (0, len(path) - 1)
    assert len(places) <= max(count, 2)
