"""Other settings for costly layers: what convert and calibrate offer, tried and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from snnquant.analyze.layers import Layer
from snnquant.analyze.meters import LayerMeasure, OutputMeasure
from snnquant.analyze.study import Job, Outcome, Setting, Study
from snnquant.calibration import AUTO, Calibration
from snnquant.observers import OBSERVERS
from snnquant.progress import Stage
from snnquant.quantize_options import QuantizeOptions


@dataclass(frozen=True, eq=False)
class Change:
    """One option that is set differently.

    Attributes:
        verb: whose option it is.
        option: its words, as in ``--weight-bits 8``.
        setting: with that option.
        of_inputs: matters to layers with an analog input only.
    """

    verb: str
    option: str
    setting: Setting
    of_inputs: bool = False


@dataclass(frozen=True)
class Alternative:
    """What a change does to one layer that alone is quantized.

    Attributes:
        layer: the layer.
        change: what was changed.
        helps: there is less error in what the layer gives out or in the output, and in none more.
        before, after: the layer against the float one.
        output_before, output_after: the output against the float model's.
    """

    layer: Layer
    change: Change
    helps: bool
    before: LayerMeasure
    after: LayerMeasure
    output_before: OutputMeasure
    output_after: OutputMeasure


def changes_of(options: QuantizeOptions, calibration: Calibration) -> list[Change]:
    """Return the single changes of options that may lower the cost of a layer.

    A target that has one weight scale per layer by default is not asked for one per channel.

    Args:
        options: as they are.
        calibration: of the model; its statistics serve every observer.
    """
    target = options.target
    method = calibration.settings.method
    method = target.input_observer if method == AUTO else method
    found = []

    def setting(changed: QuantizeOptions, observer: str = method) -> Setting:
        known = replace(calibration, settings=replace(calibration.settings, method=observer))
        return Setting(changed, known.input_scales(changed.input_bits, target.input_observer))

    if target.per_channel and not options.per_channel:
        change = setting(replace(options, per_channel=True))
        found.append(Change("convert", "--per-channel", change))
    wider = sorted(bits for bits in target.weight_bits_allowed if bits > options.weight_bits)
    doubled = [bits for bits in wider if bits >= 2 * options.weight_bits]
    for bits in sorted({*doubled[:1], *wider[-1:]}):
        change = setting(replace(options, weight_bits=bits))
        found.append(Change("convert", f"--weight-bits {bits}", change))
    if options.input_bits < 8:
        change = setting(replace(options, input_bits=8))
        found.append(Change("convert", "--input-bits 8", change, of_inputs=True))
    for name in OBSERVERS:
        if name != method:
            change = setting(options, name)
            found.append(Change("calibrate", f"--method {name}", change, of_inputs=True))
    return found


def try_changes(
    study: Study, layers: Sequence[Layer], changes: Sequence[Change], stage: Stage
) -> tuple[list[Alternative], list[tuple[Change, OutputMeasure]]]:
    """Try every change on every layer, each alone in integers, and then those that help on all.

    Returns:
        What was tried, the best first for each layer; and the whole model's output with each change
        that helped. A change that makes no difference to a layer, or no integers, is not among it.

    Raises:
        DataError: the samples do not fit the model.
    """
    bases = {layer.name: Job(study.setting, (layer,)) for layer in layers}
    jobs = {
        (layer.name, change): Job(change.setting, (layer,))
        for layer in layers
        for change in changes
        if layer.encoder or not change.of_inputs
    }
    if not jobs:
        return [], []
    with stage("trying alternatives") as progress:
        found = study.run([*bases.values(), *jobs.values()], progress, skip=True)
    tried: list[Alternative] = []
    for layer in layers:
        base = found[bases[layer.name]]
        own = [
            _compared(layer, change, base, found[job])
            for (name, change), job in jobs.items()
            if name == layer.name and job in found and found[job].fingerprint != base.fingerprint
        ]
        tried += sorted(own, key=lambda a: (not a.helps, a.after.error, a.output_after.error))
    helpful = [c for c in changes if any(a.helps and a.change is c for a in tried)]
    everywhere = {change: Job(change.setting, tuple(study.layers)) for change in helpful}
    if not everywhere:
        return tried, []
    with stage("trying them on all layers") as progress:
        whole = study.run([*everywhere.values()], progress, skip=True)
    return tried, [(c, _output(whole[job])) for c, job in everywhere.items() if job in whole]


def _compared(layer: Layer, change: Change, base: Outcome, found: Outcome) -> Alternative:
    before, after = base.layers[layer.name], found.layers[layer.name]
    output_before, output_after = _output(base), _output(found)
    old, new = (before.error, output_before.error), (after.error, output_after.error)
    helps = new != old and new[0] <= old[0] and new[1] <= old[1]
    return Alternative(layer, change, helps, before, after, output_before, output_after)


def _output(outcome: Outcome) -> OutputMeasure:
    if outcome.output is None:
        raise RuntimeError("a model was run without its output")
    return outcome.output
