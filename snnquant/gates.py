"""Limits that a pipeline sets on an evaluation, and whether they were met.

One table says what can be limited; the options, the check and every report follow from it. What
it limits must be measured: a new metric is a field of :class:`snnquant.evaluate.Evaluation`, or one
of a layer's report that ``WORST_OF_LAYERS`` names, where the largest is the worst; and it is in
``schemas/evaluation.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from snnquant.errors import UsageError
from snnquant.evaluate import WORST_OF_LAYERS, Evaluation

#: Limits and values are numbers that were rounded: beyond rounding is beyond, by it is not.
_ROUNDING = 1e-12


class Need(Enum):
    """What must be there for a metric to be measured, and how to supply it."""

    LABELS = "labels; add 'y' to the data"
    REFERENCE = "the float model that this one was made from; give --reference"
    BOTH = "labels and the float model; add 'y' to the data and give --reference"
    FILE = "a model file; give MODEL"
    NOTHING = "neurons that spike; choose another limit"
    PROOF = "a model that says what is proved of its states; convert again"


class Unit(Enum):
    """What a limit is counted in, with the largest one that makes sense."""

    FRACTION = 1.0
    RATIO = None
    BYTES = 2.0**63


@dataclass(frozen=True)
class GateRule:
    """One thing that can be limited.

    Attributes:
        id: of the gate; its option is ``--`` and this.
        metric: name in an evaluation's metrics.
        least: the limit is the smallest good value, not the largest.
        unit: of value and limit.
        needs: without what it is not measured.
        help: what the option does.
    """

    id: str
    metric: str
    least: bool
    unit: Unit
    needs: Need
    help: str

    @property
    def option(self) -> str:
        """Its option."""
        return f"--{self.id}"


_LAYER = "in the worst layer"
GATES = (
    GateRule(
        "min-accuracy",
        "accuracy",
        True,
        Unit.FRACTION,
        Need.LABELS,
        "Exit with 4 if the accuracy, a fraction, is below.",
    ),
    GateRule(
        "max-drop",
        "drop",
        False,
        Unit.FRACTION,
        Need.BOTH,
        "Exit with 4 if the accuracy is further below the float model's, as a fraction.",
    ),
    GateRule(
        "min-agreement",
        "spike_agreement",
        True,
        Unit.FRACTION,
        Need.REFERENCE,
        "Smallest share of spikes that equal the float model's.",
    ),
    GateRule(
        "max-rate-drift",
        "rate_drift",
        False,
        Unit.RATIO,
        Need.REFERENCE,
        f"Largest change of the firing rate {_LAYER}, relative to the float model's.",
    ),
    GateRule(
        "max-rate-emd",
        "rate_emd",
        False,
        Unit.RATIO,
        Need.REFERENCE,
        f"Largest earth mover's distance {_LAYER} between the firing rates of the neurons and "
        "those in the float model, in spikes per step.",
    ),
    GateRule(
        "max-dead",
        "dead",
        False,
        Unit.FRACTION,
        Need.NOTHING,
        f"Largest share of neurons {_LAYER} that never fire.",
    ),
    GateRule(
        "max-saturation",
        "saturated",
        False,
        Unit.FRACTION,
        Need.NOTHING,
        f"Largest share of neurons {_LAYER} that fire at every step.",
    ),
    GateRule(
        "max-overflow",
        "overflow",
        False,
        Unit.FRACTION,
        Need.PROOF,
        f"Largest share of membranes {_LAYER} that are at a limit of their state.",
    ),
    GateRule(
        "max-size",
        "model_bytes",
        False,
        Unit.BYTES,
        Need.FILE,
        "Largest size of the model file in bytes.",
    ),
)


@dataclass(frozen=True)
class Gate:
    """One limit and what was found.

    Attributes:
        id: option without dashes, or ``baseline-`` and the metric.
        metric: name in the evaluation's metrics.
        value: what was found.
        limit: what it was compared with.
        status: "passed" or "failed".
        layer: the worst layer, where the metric is that of a layer.
    """

    id: str
    metric: str
    value: float
    limit: float
    status: str
    layer: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the limit was not met."""
        return self.status == "failed"

    def __str__(self) -> str:
        """Return id, limit, and what was found instead."""
        where = f" in layer '{self.layer}'" if self.layer else ""
        return f"{self.id} {_number(self.limit)} but found {_number(self.value)}{where}"


@dataclass(frozen=True)
class LayerRule:
    """One way in which a layer may say nothing.

    Attributes:
        id: of the gate that limits it.
        share: name of the share of such neurons in a layer's report.
        neurons: what they are called.
        warning: code of the warning about a layer that has no others.
        does: what such a layer does.
    """

    id: str
    share: str
    neurons: str
    warning: str
    does: str


LAYER_RULES = (
    LayerRule("max-dead", "dead", "dead neurons", "dead_layer", "never fires"),
    LayerRule(
        "max-saturation",
        "saturated",
        "saturated neurons",
        "saturated_layer",
        "fires at every step",
    ),
)


@dataclass(frozen=True)
class LayerCheck:
    """Whether a layer still says something.

    Attributes:
        layer: name.
        rule: one of :data:`LAYER_RULES`.
        value: share of its neurons that are dead or saturated.
        limit: largest good share, None where none was set.
        status: "passed", "failed", or "warning": all its neurons are, and no limit was set.
    """

    layer: str
    rule: LayerRule
    value: float
    limit: float | None
    status: str


def measured(result: Evaluation, model_bytes: int | None) -> dict[str, float | int | None]:
    """Return all metrics that gates look at, by name.

    Args:
        result: what was measured.
        model_bytes: size of the model file, None without one.
    """
    return result.metrics() | {"model_bytes": model_bytes}


def check_needs(limits: Mapping[str, float], *, labels: bool, reference: bool, file: bool) -> None:
    """Refuse limits on what will not be measured, before long work is done.

    Args:
        limits: by id.
        labels: the data has labels.
        reference: there is a float model to compare with.
        file: the model is a file.

    Raises:
        UsageError: a limit on what will not be measured.
    """
    have = {
        Need.LABELS: labels,
        Need.REFERENCE: reference,
        Need.BOTH: labels and reference,
        Need.FILE: file,
        Need.NOTHING: True,
        Need.PROOF: True,
    }
    for rule in GATES:
        if rule.id in limits and not have[rule.needs]:
            raise _not_measured(rule)


def check_gates(
    result: Evaluation, limits: Mapping[str, float], model_bytes: int | None = None
) -> list[Gate]:
    """Compare an evaluation with its limits.

    Args:
        result: what was measured.
        limits: by id of :data:`GATES`.
        model_bytes: size of the model file, None without one.

    Raises:
        UsageError: a limit on what was not measured.
    """
    values = measured(result, model_bytes)
    gates = []
    for rule in GATES:
        if rule.id not in limits:
            continue
        value = values[rule.metric]
        if value is None:
            raise _not_measured(rule)
        gates.append(compare(rule, rule.id, value, limits[rule.id], result))
    return gates


def compare(rule: GateRule, id: str, value: float, limit: float, result: Evaluation) -> Gate:
    """Return one gate; a value at the limit passes, and so does one beyond it by rounding."""
    worst = result.worst(rule.metric) if rule.metric in WORST_OF_LAYERS else None
    status = _status(value, limit, least=rule.least)
    return Gate(id, rule.metric, value, limit, status, worst.name if worst else None)


def _status(value: float, limit: float, *, least: bool = False) -> str:
    """Return "failed" if a value is beyond a limit by more than rounding, else "passed"."""
    beyond = limit - value if least else value - limit
    return "failed" if beyond > _ROUNDING else "passed"


def check_layers(result: Evaluation, limits: Mapping[str, float]) -> list[LayerCheck]:
    """Return for every layer whether it is dead or saturated.

    Args:
        result: what was measured.
        limits: by id; those of dead and saturated neurons count.
    """
    checks = []
    for layer in result.layers:
        for rule in LAYER_RULES:
            value, limit = getattr(layer, rule.share), limits.get(rule.id)
            if limit is None:
                status = "warning" if value == 1.0 else "passed"
            else:
                status = _status(value, limit)
            checks.append(LayerCheck(layer.name, rule, value, limit, status))
    return checks


def _not_measured(rule: GateRule) -> UsageError:
    return UsageError(f"{rule.option} needs {rule.needs.value}")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
