"""The conversion: quantize, check against the reference, and only then write.

The integer model is run through the library and through the numpy reference on stored samples;
one integer that differs means that nothing is written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx_ir as ir

from snnquant.calibration import Calibration
from snnquant.convert_model import check_calibration, convert_model
from snnquant.data import load_samples
from snnquant.errors import CalibrationMismatchError
from snnquant.files import replace_files, sha256_of
from snnquant.golden import checked_golden, golden_path, is_golden_of, serialize_golden
from snnquant.manifest import manifest, manifest_path
from snnquant.model_file import SCALE_KEY, metadata, neuron_nodes
from snnquant.ops.schema import STATE_BITS
from snnquant.quantize import QuantizedModel, fuse_result
from snnquant.quantize_options import QuantizeOptions
from snnquant.self_check import SelfCheck, check_fused, self_check
from snnquant.stepping import (
    MODES,
    STEP_MODE,
    check_steps,
    step_interface,
    step_model,
)
from snnquant.widths import shapes_for


def quantization_warnings(
    result: QuantizedModel, calibration: Calibration, check: SelfCheck
) -> list[dict[str, str]]:
    """Return what a user should know about a conversion that succeeded."""
    warnings = list(result.warnings)
    warnings += [
        {
            "code": "saturated",
            "message": f"membrane '{name}' saturates on the stored samples; "
            "use fewer weight or input bits, or a target with wider states",
        }
        for name in check.saturated
    ]
    for layer in result.layers:
        steps = layer.get("proved_steps")
        # That a state of full width has no bound without a leak is nothing to be told each time.
        if steps is None or (steps and layer["state_bits"] == STATE_BITS.high):
            continue
        after = f" after {steps} steps" if steps else ""
        message = (
            f"the states of '{layer['name']}' can leave {layer['state_bits']} bits{after}, where "
            "they saturate; allow more bits, or have it refused with --overflow error"
        )
        warnings.append({"code": "width_not_proved", "message": message})
    warnings += [
        {
            "code": "stays_float",
            "message": f"{entry.op} '{entry.node}' stays float: {entry.reason}",
        }
        for entry in result.left
    ]
    warnings += [
        {
            "code": "silent_layer",
            "message": f"neuron '{name}' never fired on the calibration data",
        }
        for name, seen in calibration.neurons.items()
        if seen.get("firing_rate") == 0
    ]
    return warnings


def fusion_summary(result: QuantizedModel) -> str:
    """Return one line on what was fused, and why the rest was not."""
    synapses = [layer for layer in result.layers if layer["kind"] != "neuron"]
    left = [layer for layer in synapses if layer["not_fused"]]
    done = len(synapses) - len(left)
    line = f"fused {done} of {len(synapses)} synapses"
    return "; ".join([line, *(f"{n['name']} not fused: {n['not_fused']}" for n in left)])


def width_summary(result: QuantizedModel, most: int = 8) -> str:
    """Return one line on the widths of states, of the first ``most`` layers one by one."""
    neurons = [layer for layer in result.layers if layer["kind"] == "neuron"]
    proved = [layer for layer in neurons if layer["proved_steps"] != 0]
    words = [f"{layer['name']} {layer['proved_bits']}" for layer in proved[:most]]
    words += [f"and {len(proved) - most} more"] if len(proved) > most else []
    line = f"states proved for {len(proved)} of {len(neurons)} layers"
    limits = [layer["proved_steps"] for layer in proved if layer["proved_steps"]]
    line += f", for {len(limits)} of them up to {min(limits)} steps" if limits else ""
    return f"{line}, bits: {', '.join(words)}" if words else line


def requantized_summary(result: QuantizedModel) -> str:
    """Return one line on the values between layers that have steps of their own."""
    names = [entry["value"] for entry in result.requantized]
    return f"requantized {len(names)} values between layers: {', '.join(dict.fromkeys(names))}"


def search_summary(layer: Mapping[str, Any]) -> str:
    """Return one line on what a search did to a layer."""
    parts = []
    if "error" in layer:
        found, nearest = (f"{100 * layer[key]:.2g} %" for key in ("error", "error_nearest"))
        parts.append(f"membrane error {found} of the current, {nearest} with the nearest weights")
    if "distance" in layer:
        before, after = (f"{layer[key]:.3g}" for key in ("distance_before", "distance"))
        moved = "levels and thresholds" if layer["centred"] else "thresholds"
        parts.append(f"spikes off by {after}, {before} before {moved} moved")
    return f"{layer['name']}: {'; '.join(parts) or 'the nearest weights'}"


def kept_samples(calibration: Path, known: Calibration) -> Path:
    """Return the path of the samples that a calibration keeps beside it."""
    return calibration.parent / Path(known.samples_file).name


def convert_files(
    model: ir.Model,
    source_sha256: str,
    calibration: Path,
    known: Calibration,
    options: QuantizeOptions,
    mode: str = MODES[0],
    **search: Any,
) -> tuple[QuantizedModel, SelfCheck]:
    """Quantize a model with its calibration file, and check the result on stored samples.

    Args:
        model: canonical float graph.
        source_sha256: hash of what it was read from.
        calibration: calibration file.
        known: its content.
        options: widths, target, read-out.
        mode: "sequence", or "step" for one time step per call.
        search: what :func:`convert_model` takes for methods of rounding that look at samples.

    Raises:
        CalibrationMismatchError: the calibration or its samples belong to something else.
        ModelError: the model cannot be cut at its time steps.
    """
    check_calibration(model, known)
    samples_file = kept_samples(calibration, known)
    if samples_file.is_file() and sha256_of(samples_file) != known.samples_sha256:
        raise CalibrationMismatchError(
            f"{samples_file} is not the samples file of {calibration}; run calibrate again"
        )
    samples = load_samples(samples_file)
    shapes, any_length = shapes_for(model, samples)
    result = convert_model(
        model,
        known,
        options,
        source_sha256=source_sha256,
        calibration_sha256=sha256_of(calibration),
        shapes=shapes,
        any_length=any_length or mode == STEP_MODE,
        **search,
    )
    sequence = result.model if result.unfused is None else result.unfused
    check = self_check(sequence, samples)
    if mode == STEP_MODE:
        step = as_steps(result)
        steps = check_steps(sequence, step.model, samples)
        return step, replace(check, steps=steps.values)
    if result.fusion is not None:
        check_fused(sequence, result.fusion, samples)
    return result, check


def as_steps(result: QuantizedModel) -> QuantizedModel:
    """Return an integer model cut at its time steps, fused if it was, with what reports say of it.

    Raises:
        ModelError: a node mixes time steps.
    """
    sequence = result.model if result.unfused is None else result.unfused
    model = step_model(sequence, result.state_scales)
    held, states = metadata(model), step_interface(model).states
    known = {
        name: json.loads(held[SCALE_KEY + name]) for name in states if SCALE_KEY + name in held
    }
    ops = {node.name: node.op_type for node in neuron_nodes(model)}
    layers = [entry | {"op": ops.get(entry["name"], entry["op"])} for entry in result.layers]
    step = replace(
        result,
        model=model,
        layers=layers,
        input_scales=result.input_scales | known,
        output_scales=result.output_scales | {states[n].next: s for n, s in known.items()},
        fusion=None,
        unfused=None,
    )
    return step if result.fusion is None else fuse_result(step)


def write_conversion(
    source: Mapping[str, Any],
    calibration: Path,
    known: Calibration,
    options: QuantizeOptions,
    result: QuantizedModel,
    check: SelfCheck,
    output_file: Path,
    golden: int = 0,
    searched: Mapping[str, Any] | None = None,
) -> int:
    """Write the integer model, its golden vectors and its manifest, all or none.

    Args:
        source: what the manifest says of the float model: its path, hash, and options.
        calibration: calibration file.
        known: its content.
        options: widths, target, read-out.
        result: the integer model.
        check: what its self-check found.
        output_file: path of the model; the others go beside it.
        golden: store what the model gives on at most this many of the calibration's samples; 0:
            none, and those of the model that is replaced are removed.
        searched: what the manifest says of the samples that a search looked at, if there was one.

    Returns:
        Number of samples in the golden vectors.

    Raises:
        UsageError: a file cannot be written.
        SelfCheckError: the ways to run the model do not agree on its golden vectors.
    """
    data = result.model.SerializeToString(deterministic=True)
    artifacts = [{"path": output_file.name, "sha256": hashlib.sha256(data).hexdigest()}]
    vectors = None
    if golden:
        samples = load_samples(kept_samples(calibration, known))
        vectors = checked_golden(result.model, artifacts[0]["sha256"], samples, golden)
    place = golden_path(output_file)
    # Only what is known to be ours and of no use any more: vectors of the file that goes.
    stale = (
        vectors is None
        and output_file.is_file()
        and sha256_of(output_file) != artifacts[0]["sha256"]
        and is_golden_of(place, output_file)
    )
    files: dict[Path, bytes | str] = {output_file: data}
    if vectors is not None:
        content = serialize_golden(vectors)
        files[place] = content
        artifacts.append({"path": place.name, "sha256": hashlib.sha256(content).hexdigest()})
    text = manifest(
        result,
        options,
        check,
        inputs={
            "model": source,
            "calibration": {
                "path": str(calibration),
                # The hash of what was converted, taken when it was read.
                "sha256": metadata(result.model)["snnquant.calibration_sha256"],
            },
            **({} if searched is None else {"data": searched}),
        },
        artifacts=artifacts,
        warnings=quantization_warnings(result, known, check),
    )
    replace_files(files | {manifest_path(output_file): text})
    if stale:
        place.unlink(missing_ok=True)
    return 0 if vectors is None else vectors.samples
