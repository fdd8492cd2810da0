"""Which widths to measure: those that are the best of their size if costs of layers add up.

Layer after layer, every configuration of those so far is continued with every width; what another
one beats in size and cost is dropped, as it would be beaten with any widths behind it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnquant.lowering.layer_options import LayerOptions

#: The width of every unit, in their order.
Config = tuple[int, ...]
#: Size, cost, and the widths so far.
_State = tuple[int, float, Config]
#: Configurations that are followed at the same time, about.
_MOST_STATES = 2000


@dataclass(frozen=True)
class Unit:
    """One thing that has a width.

    Attributes:
        name: of the layer.
        count: how many numbers have that width.
        costs: expected cost by width, those that may be chosen.
        of_states: they are states of neurons, not weights.
        layers: names of all layers that get the width; none: the one of that name.
    """

    name: str
    count: int
    costs: Mapping[int, float]
    of_states: bool = False
    layers: tuple[str, ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths that may be chosen, the widest first."""
        return tuple(sorted(self.costs, reverse=True))


def size_of(units: Sequence[Unit], config: Config) -> int:
    """Return the bits of all numbers."""
    return sum(unit.count * bits for unit, bits in zip(units, config, strict=True))


def expected_cost(units: Sequence[Unit], config: Config) -> float:
    """Return the sum of what the widths cost."""
    return sum(unit.costs[bits] for unit, bits in zip(units, config, strict=True))


def uniform(units: Sequence[Unit]) -> list[Config]:
    """Return one configuration per width that any weights may have, the widest first.

    Weights that do not have the width get the next wider one, or their widest; so do states.
    """
    every = {bits for unit in units if not unit.of_states for bits in unit.widths}
    return [
        tuple(unit.widths[0] if unit.of_states else _at_least(unit, bits) for unit in units)
        for bits in sorted(every, reverse=True)
    ]


def layer_choices(units: Sequence[Unit], config: Config) -> dict[str, LayerOptions]:
    """Return what a configuration chooses, by name of the layer."""
    found: dict[str, LayerOptions] = {}
    for unit, bits in zip(units, config, strict=True):
        own = LayerOptions(state_bits=bits) if unit.of_states else LayerOptions(weight_bits=bits)
        for name in unit.layers or (unit.name,):
            found[name] = found.get(name, LayerOptions()).with_other(own)
    return found


def best_by_size(units: Sequence[Unit]) -> list[Config]:
    """Return the configurations that no other beats in size and expected cost, the widest first.

    Of very many, those are kept that are best among about equal sizes.
    """
    states: list[_State] = [(0, 0.0, ())]
    for unit in units:
        longer = [
            (size + unit.count * bits, cost + unit.costs[bits], (*config, bits))
            for size, cost, config in states
            for bits in unit.widths
        ]
        states = _thinned(_unbeaten(longer))
    return [config for _, _, config in reversed(states)]


def spread(units: Sequence[Unit], path: Sequence[Config], count: int) -> list[int]:
    """Return the places of about ``count`` configurations of a path, evenly spaced in size.

    Both ends are among them.
    """
    sizes = [size_of(units, config) for config in path]
    places = {0, len(path) - 1}
    for k in range(1, count - 1):
        wanted = sizes[0] + (sizes[-1] - sizes[0]) * k / (count - 1)
        places.add(min(range(len(path)), key=lambda place: (abs(sizes[place] - wanted), place)))
    return sorted(places)


def _at_least(unit: Unit, bits: int) -> int:
    return min((width for width in unit.widths if width >= bits), default=unit.widths[0])


def _unbeaten(states: list[_State]) -> list[_State]:
    """Return the states that no other beats, the smallest first."""
    kept: list[_State] = []
    for state in sorted(states):
        if not kept or state[1] < kept[-1][1]:
            kept.append(state)
    return kept


def _thinned(states: list[_State]) -> list[_State]:
    """Return at most about so many states as are followed: the last, so the best, of each size."""
    if len(states) <= _MOST_STATES:
        return states
    low, high = states[0][0], states[-1][0]
    last = {(state[0] - low) * _MOST_STATES // (high - low): state for state in states}
    return [states[0], *(state for state in last.values() if state is not states[0])]
