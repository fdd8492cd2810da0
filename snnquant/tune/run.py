"""The steps of tune: what widths cost, which models to measure, and which one to take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from snnquant.errors import UsageError
from snnquant.progress import Stage
from snnquant.search.widths import WidthErrors
from snnquant.tune.candidates import (
    Config,
    Unit,
    best_by_size,
    expected_cost,
    layer_choices,
    size_of,
    spread,
    uniform,
)
from snnquant.tune.front import Limits, Point, choose, front_of
from snnquant.tune.kept import KeptMeasures
from snnquant.tune.measure import Measures, Study

#: Models that are measured on the way from the widest to the narrowest.
DEFAULT_POINTS = 12
#: So many of the largest models within a size are measured.
_NEAR_BUDGET = 3
#: A layer that seems to cost nothing still costs this share of what the most costly one does.
_LEAST_COST = 0.01


@dataclass(frozen=True)
class Tuned:
    """What a run found.

    Attributes:
        errors: what widths cost the weights of each layer, in order.
        effects: by how much the error of the scores grows, per unit, where it alone is narrowest.
        units: what has widths, with what they are expected to cost: weights in the order of
            ``errors``, then states.
        points: all models that were measured, the smallest first.
        uniform: those with one width for all layers that may have it.
        front: those that no other beats in size and error.
        chosen: the one that the budget asks for; None: none is within it, or there is none.
        test: what was measured on test samples, by widths.
    """

    errors: tuple[WidthErrors, ...]
    effects: tuple[float, ...]
    units: tuple[Unit, ...]
    points: tuple[Point, ...]
    uniform: frozenset[Config]
    front: tuple[Point, ...]
    chosen: Point | None
    test: dict[Config, Measures]


class _Bench:
    """Measures models, each once."""

    def __init__(self, study: Study, units: Sequence[Unit], kept: KeptMeasures) -> None:
        self._study = study
        self._units = units
        self._kept = kept
        self.wanted: dict[Config, None] = {}

    def measures(self, config: Config) -> Measures:
        """Return what is measured of a model on held-out samples."""
        self.wanted[config] = None
        if config not in self._kept.models:
            chosen = layer_choices(self._units, config)
            self._kept.keep_model(config, self._study.measure(chosen))
        return self._kept.models[config][0]

    def run(self, configs: Sequence[Config], title: str, stage: Stage) -> list[Measures]:
        """Measure several models."""
        with stage(title) as progress:
            found = []
            progress(0, len(configs))
            for done, config in enumerate(configs, 1):
                found.append(self.measures(config))
                progress(done, len(configs))
        return found


def tune(
    study: Study,
    widths: Sequence[int],
    state_widths: Sequence[int],
    limits: Callable[[int], Limits],
    points: int,
    kept: KeptMeasures,
    stage: Stage,
) -> Tuned:
    """Measure models with different widths and choose one.

    Args:
        study: model, settings, samples.
        widths: of weights, to try.
        state_widths: of states, to try; none: they have what they need, and do not count.
        limits: the budget of a model in which so many numbers have a width.
        points: about so many models are measured between the widest and the narrowest.
        kept: what was measured already.
        stage: progress of each stage.

    Raises:
        UsageError: nothing has a width to choose, or the budget is below the narrowest widths.
    """
    given = study.options.layers
    fixed = {name: own.weight_bits for name, own in given.items() if own.weight_bits is not None}
    states = _state_units(study, state_widths)

    def of_weights(name: str, count: int, costs: Mapping[int, float]) -> Unit:
        own = [fixed[name]] if name in fixed else widths
        return Unit(name, count, {bits: costs.get(bits, 0.0) for bits in own})

    weights = [of_weights(name, count, {}) for name, count in study.sizes().items()]
    budget = limits(sum(unit.count for unit in (*weights, *states)))
    _check_choice([*weights, *states], budget)
    if kept.errors is None:
        with stage("measuring layers") as progress:
            kept.keep_errors(study.width_errors(widths, progress))
    errors = kept.errors or []
    weights = [of_weights(entry.name, entry.weights, entry.errors) for entry in errors]
    bench = _Bench(study, [*weights, *states], kept)
    base, effects = _effects(weights, states, bench, stage)
    most = max(effects)
    weights = [_weighed(unit, effect, most) for unit, effect in zip(weights, effects, strict=True)]
    states = _measured_states(weights, states, bench, stage)
    units = [*weights, *states]
    effects += [unit.costs[unit.widths[-1]] for unit in states]
    path = best_by_size(units)
    whole = uniform(units)
    places = spread(units, path, points)
    if budget.bits is not None:
        first = bisect_left([-size_of(units, config) for config in path], -budget.bits)
        places += range(first, min(first + _NEAR_BUDGET, len(path)))
    ladder = list(dict.fromkeys([*whole, *(path[place] for place in sorted(set(places)))]))
    bench.run(ladder, "measuring models", stage)
    if budget.drop is not None:
        _refine(path, places, budget, units, bench, stage)

    def point(config: Config) -> Point:
        measures = bench.measures(config)
        expected = base + expected_cost(units, config)
        return Point(config, size_of(units, config), expected, measures)

    found = sorted(map(point, list(bench.wanted)), key=lambda p: (p.bits, p.measures.error))
    return Tuned(
        tuple(errors),
        tuple(effects),
        tuple(units),
        tuple(found),
        frozenset(whole),
        tuple(front_of(found)),
        choose(found, budget),
        {p.config: kept.models[p.config][1] for p in found if len(kept.models[p.config]) > 1},
    )


def _state_units(study: Study, widths: Sequence[int]) -> list[Unit]:
    """Return what has a width of states, where any are to be tried."""
    if not widths:
        return []
    given = study.options.layers
    units = []
    for layer in study.state_layers():
        own = [given[n].state_bits for n in layer.names if n in given]
        fixed = [bits for bits in own if bits is not None]
        costs = dict.fromkeys(fixed[:1] or widths, 0.0)
        units.append(Unit(layer.names[0], layer.states, costs, True, layer.names))
    return units


def _check_choice(units: Sequence[Unit], budget: Limits) -> None:
    """Refuse where nothing can be chosen, or not so little.

    Raises:
        UsageError: nothing has a width to choose, or the budget is below the narrowest widths.
    """
    if not any(len(unit.costs) > 1 for unit in units):
        raise UsageError("no layer has a width to choose; give more --widths, or fewer --layer")
    least = size_of(units, tuple(unit.widths[-1] for unit in units))
    if budget.bits is not None and least > budget.bits:
        count = sum(unit.count for unit in units)
        raise UsageError(
            f"the budget is below the narrowest widths, which take {least / count:.4g} bits in "
            f"the mean, {-(-least // 8)} bytes; raise --budget, or allow narrower widths"
        )


def _effects(
    weights: Sequence[Unit], states: Sequence[Unit], bench: _Bench, stage: Stage
) -> tuple[float, list[float]]:
    """Return the error of the scores at the widest, and its growth where weights are narrowest."""
    widest = tuple(unit.widths[0] for unit in (*weights, *states))
    alone = [_changed(widest, index, unit.widths[-1]) for index, unit in enumerate(weights)]
    base, *found = bench.run([widest, *alone], "measuring layers alone", stage)
    return base.error, [max(measures.error - base.error, 0.0) for measures in found]


def _measured_states(
    weights: Sequence[Unit], states: Sequence[Unit], bench: _Bench, stage: Stage
) -> list[Unit]:
    """Return states with what each of their widths adds to the error of the scores.

    The weights have a width in the middle: how fine membranes can be depends on them.
    """
    if not states:
        return []
    middle = [unit.widths[len(unit.widths) // 2] for unit in weights]
    widest = (*middle, *(unit.widths[0] for unit in states))
    trials = [
        _changed(widest, len(weights) + index, bits)
        for index, unit in enumerate(states)
        for bits in unit.widths[1:]
    ]
    base, *found = bench.run([widest, *trials], "measuring states alone", stage)
    grown = iter([measures.error - base.error for measures in found])
    units = []
    for unit in states:
        costs, most = {unit.widths[0]: 0.0}, 0.0
        for bits in unit.widths[1:]:
            most = max(most, next(grown))
            costs[bits] = most
        units.append(replace(unit, costs=costs))
    return units


def _changed(config: Config, index: int, bits: int) -> Config:
    return (*config[:index], bits, *config[index + 1 :])


def _weighed(unit: Unit, effect: float, largest: float) -> Unit:
    """Return a unit whose costs go from nothing to what its narrowest width does to the scores.

    A spike flips where an error carries the membrane across the threshold. How many do grows with
    the size of the error, not with its square.
    """
    first, last = unit.costs[unit.widths[0]], unit.costs[unit.widths[-1]]
    most = max(effect, _LEAST_COST * largest) or 1.0
    span = last - first
    shares = {
        bits: max(cost - first, 0.0) / span if span > 0 else 0.0
        for bits, cost in unit.costs.items()
    }
    return replace(unit, costs={bits: most * share**0.5 for bits, share in shares.items()})


def _refine(
    path: Sequence[Config],
    places: Sequence[int],
    limits: Limits,
    units: Sequence[Unit],
    bench: _Bench,
    stage: Stage,
) -> None:
    """Measure between the last model of a path that is accurate enough and the next one."""

    def good(place: int) -> bool:
        measures = bench.measures(path[place])
        return limits.meets_drop(Point(path[place], size_of(units, path[place]), 0.0, measures))

    known = sorted(set(places))
    fitting = [place for place in known if good(place)]
    if not fitting or fitting[-1] == known[-1]:
        return
    low = fitting[-1]
    high = next(place for place in known if place > low)
    left = (high - low - 1).bit_length()
    with stage("measuring between") as progress:
        done = 0
        while high - low > 1:
            progress(done, max(left, done))
            middle = (low + high) // 2
            low, high = (middle, high) if good(middle) else (low, middle)
            done += 1
        progress(done, done)
