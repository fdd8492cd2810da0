"""What quantizing each layer costs: alone, added to those before it, and in the layer itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from snnquant.analyze.alternatives import Alternative, Change, try_changes
from snnquant.analyze.layers import Layer
from snnquant.analyze.meters import LayerMeasure, OutputMeasure
from snnquant.analyze.study import Job, Outcome, Study
from snnquant.progress import Stage

LOCAL, CUMULATIVE, ALONE, ALL = "local", "cumulative", "one-at-a-time", "all"
MODES = (LOCAL, CUMULATIVE, ALONE, ALL)
#: The mode that ranks, first that was run.
_RANKING = (ALONE, CUMULATIVE, LOCAL)
#: So many of the most costly layers are tried with other settings.
WORST = 3


@dataclass(frozen=True)
class Cost:
    """What one mode says of one layer.

    Attributes:
        rank: 1 is the most costly.
        cost: relative squared error: of what the layer gives out (local), of the scores
            (one-at-a-time), or by how much the layer raises that of the scores (cumulative).
        layer: the layer against the float one.
        output: the model's output against the float one; None: local.
    """

    rank: int
    cost: float
    layer: LayerMeasure
    output: OutputMeasure | None


@dataclass(frozen=True)
class LayerCosts:
    """One layer in every mode that was run."""

    layer: Layer
    rank: int
    costs: dict[str, Cost]


@dataclass(frozen=True)
class Analysis:
    """What was found; the most costly layer comes first.

    Attributes:
        samples: number of samples.
        float_accuracy: of the float model, None without labels.
        whole: the integer model's output against the float one's.
        layers: ranked by one-at-a-time costs, else cumulative, else local ones.
        tried: the most costly layers, for which other settings were tried.
        alternatives: these settings, as far as they make a difference.
        changes: for settings that helped a layer, what they make of the whole model.
    """

    samples: int
    float_accuracy: float | None
    whole: OutputMeasure
    layers: tuple[LayerCosts, ...]
    tried: tuple[Layer, ...]
    alternatives: tuple[Alternative, ...]
    changes: tuple[tuple[Change, OutputMeasure], ...]


def analyze(study: Study, mode: str, changes: list[Change], stage: Stage) -> Analysis:
    """Measure and rank the layers of a model, and try other settings for the most costly ones.

    Args:
        study: model, data and setting.
        mode: one of :data:`MODES`.
        changes: settings to try.
        stage: progress of each stage.

    Raises:
        DataError: the samples do not fit the model.
        NumericalError: values for which no faithful integers exist.
    """
    layers, setting = study.layers, study.setting
    modes = (LOCAL, ALONE, CUMULATIVE) if mode == ALL else (mode,)
    whole = Job(setting, tuple(layers))
    inside = Job(setting, tuple(layers), local=True)
    jobs = {
        ALONE: [Job(setting, (layer,)) for layer in layers],
        CUMULATIVE: [Job(setting, tuple(layers[: k + 1])) for k in range(len(layers))],
        LOCAL: [inside] * len(layers),
    }
    with stage("measuring layers") as progress:
        found = study.run([whole, *(job for name in modes for job in jobs[name])], progress)
    costs = {name: _ranked(name, layers, [found[job] for job in jobs[name]]) for name in modes}
    leading = next(name for name in _RANKING if name in modes)
    ranked = sorted(
        (
            LayerCosts(
                layer, costs[leading][layer.name].rank, {n: c[layer.name] for n, c in costs.items()}
            )
            for layer in layers
        ),
        key=lambda entry: entry.rank,
    )
    worst = [entry.layer for entry in ranked[:WORST] if _costs_something(entry)]
    alternatives, helped = try_changes(study, worst, changes, stage)
    output = found[whole].output
    if output is None:
        raise RuntimeError("the whole model was run without its output")
    return Analysis(
        samples=study.samples,
        float_accuracy=study.float_accuracy,
        whole=output,
        layers=tuple(ranked),
        tried=tuple(worst),
        alternatives=tuple(alternatives),
        changes=tuple(helped),
    )


def _costs_something(entry: LayerCosts) -> bool:
    return any(cost.layer.error > 0 or cost.cost > 0 for cost in entry.costs.values())


def _costs(mode: str, layers: list[Layer], outcomes: list[Outcome]) -> list[float]:
    """Return what each layer costs in a mode."""
    if mode == LOCAL:
        return [o.layers[layer.name].error for layer, o in zip(layers, outcomes, strict=True)]
    errors = [0.0 if outcome.output is None else outcome.output.error for outcome in outcomes]
    if mode == ALONE:
        return errors
    return [error - before for before, error in pairwise([0.0, *errors])]


def _ranked(mode: str, layers: list[Layer], outcomes: list[Outcome]) -> dict[str, Cost]:
    """Return the costs of all layers in one mode, by name.

    Where two cost the same, the one is first that itself differs more from the float layer.
    """
    costs = _costs(mode, layers, outcomes)
    own = [o.layers[layer.name] for layer, o in zip(layers, outcomes, strict=True)]
    order = sorted(range(len(layers)), key=lambda k: (-costs[k], -own[k].error, k))
    return {
        layers[k].name: Cost(rank, costs[k], own[k], outcomes[k].output)
        for rank, k in enumerate(order, 1)
    }
