"""The conversion: quantize, check against the reference, and only then write.

The integer model is run through the library and through the numpy reference on stored samples;
one integer that differs means that nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from snnquant import __version__
from snnquant.calibration import Calibration
from snnquant.data import Batch, load_samples
from snnquant.errors import CalibrationMismatchError, NumericalError, SelfCheckError
from snnquant.files import atomic_write, sha256_of
from snnquant.instrument import Runner
from snnquant.model_file import graph_hash, metadata, neuron_nodes
from snnquant.numerics import FLOAT64_EXACT, IntRange
from snnquant.ops.schema import DOMAIN, MEMBRANE, STATE_BITS, schemas
from snnquant.passes import load_canonical
from snnquant.quantize import QuantizedModel, QuantizeOptions, quantize_model
from snnquant.reference import Reference, float_entries

MODEL_SCHEMA = "1"
#: Types of values that the self-check compares.
_INTEGER_TYPES = frozenset(
    {
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT8,
        onnx.TensorProto.INT32,
        onnx.TensorProto.INT64,
    }
)
MANIFEST_SCHEMA = "snnquant.manifest/1"


@dataclass(frozen=True)
class SelfCheck:
    """What was compared: samples, values, and integers in all; and which membranes saturated."""

    samples: int
    values: int
    integers: int
    saturated: tuple[str, ...] = ()


def convert_model(
    model: ir.Model,
    calibration: Calibration,
    options: QuantizeOptions,
    *,
    source_sha256: str,
    calibration_sha256: str,
) -> QuantizedModel:
    """Quantize a canonical float graph with its calibration, metadata included.

    Args:
        model: canonical float graph.
        calibration: must be of this graph.
        options: widths, target, read-out.
        source_sha256: hash of the float model's file.
        calibration_sha256: hash of the calibration file.

    Raises:
        CalibrationMismatchError: the calibration is of another graph.
    """
    if calibration.graph_sha256 != graph_hash(model):
        raise CalibrationMismatchError(
            "the calibration is of another model (graph hashes differ); "
            "run 'snnquant calibrate' on this model"
        )
    properties = model_properties(options, str(calibration.timesteps or ""))
    properties["snnquant.source_sha256"] = source_sha256
    properties["snnquant.calibration_sha256"] = calibration_sha256
    return quantize_model(
        model,
        calibration.input_scales(options.input_bits, options.target.input_observer),
        options,
        properties,
        calibration.firing_rates(),
    )


def model_properties(options: QuantizeOptions, timesteps: str | None) -> dict[str, str]:
    """Return the metadata of an integer model that tells how it was made."""
    properties = {
        "snnquant.version": __version__,
        "snnquant.schema": MODEL_SCHEMA,
        "snnquant.target": options.target.name,
        "snnquant.config": json.dumps(describe_options(options), sort_keys=True),
    }
    if timesteps:
        properties["snnquant.timesteps"] = timesteps
    return properties


def describe_options(options: QuantizeOptions) -> dict[str, Any]:
    """Return the settings as plain values."""
    return {
        "target": options.target.name,
        "weight_bits": options.weight_bits,
        "input_bits": options.input_bits,
        "per_channel": options.per_channel,
        "readout_as": options.readout_as,
    }


def integer_values(model: onnx.ModelProto) -> list[str]:
    """Return the names of all values that hold integers: every integer type, and exact sums."""
    typed = onnx.shape_inference.infer_shapes(model)
    integer = {
        value.name
        for value in (*typed.graph.value_info, *typed.graph.output)
        if value.type.tensor_type.elem_type in _INTEGER_TYPES
    }
    held = {tensor.name for tensor in model.graph.initializer}
    names = []
    for node in model.graph.node:
        constant = bool(node.input) and all(name in held for name in node.input)
        if constant:
            held.update(node.output)
            continue
        neuron = node.domain == DOMAIN and schemas()[node.op_type].integer
        names += [name for name in node.output if name and (neuron or name in integer)]
    return names


def self_check(model: onnx.ModelProto, samples: Batch) -> SelfCheck:
    """Compare the emitted model with the reference on samples, every integer.

    Raises:
        SelfCheckError: a value differs.
        NumericalError: no layer of a spiking network fires on any sample.
    """
    names = integer_values(model)
    if not names:
        return SelfCheck(0, 0, 0)
    entries = float_entries(model)
    runner = Runner(model, [*names, *entries])
    reference = Reference(model, names, entries)
    membranes = _membranes(model)
    saturated: set[str] = set()
    compared = 0
    fired = False
    spiking = {
        node.output[0]
        for node in neuron_nodes(model, integer=True)
        if schemas()[node.op_type].neuron.spiking
    }
    for index in range(len(samples)):
        one = {name: array[index : index + 1] for name, array in samples.inputs.items()}
        feeds = runner.feeds(one)
        emitted = runner.run(one)
        expected = reference.run(feeds | {name: emitted[name] for name in entries})
        for name in names:
            got, want = emitted[name], expected[name]
            if got.shape != want.shape or not np.array_equal(got, want):
                where = f"sample {index}, value '{name}'"
                raise SelfCheckError(
                    f"self-check failed at {where}: {_first_difference(got, want)}; "
                    "nothing was written, please report this"
                )
            if np.abs(want.astype(np.float64)).max(initial=0) >= FLOAT64_EXACT:
                raise SelfCheckError(f"value '{name}' exceeds what the reference holds exactly")
            compared += got.size
            if name in membranes and _at_limits(want, membranes[name]):
                saturated.add(name)
            fired = fired or (name in spiking and bool(got.any()))
    if spiking and not fired:
        raise NumericalError(
            "the integer network is silent on the stored samples; "
            "calibrate on samples on which it fires, or choose more weight bits"
        )
    return SelfCheck(len(samples), len(names), compared, tuple(sorted(saturated)))


def _membranes(model: onnx.ModelProto) -> dict[str, IntRange]:
    """Return the membranes that a model gives out, and the range of their state."""
    found = {}
    for node in neuron_nodes(model, integer=True):
        bits = next(a.i for a in node.attribute if a.name == STATE_BITS.name)
        for port, name in zip(schemas()[node.op_type].outputs, node.output, strict=True):
            if port.name == MEMBRANE:
                found[name] = IntRange.signed(int(bits))
    return found


def _at_limits(values: Any, limits: IntRange) -> bool:
    """Whether a state sits at the end of its range, which it would have left."""
    return bool(((values == limits.low) | (values == limits.high)).any())


def _first_difference(got: Any, want: Any) -> str:
    if got.shape != want.shape:
        return f"shape {list(got.shape)} instead of {list(want.shape)}"
    where = tuple(int(k) for k in np.argwhere(got != want)[0])
    return f"{got[where]} instead of {want[where]} at {list(where)}"


def manifest(
    result: QuantizedModel,
    options: QuantizeOptions,
    check: SelfCheck,
    *,
    inputs: Mapping[str, Mapping[str, str]],
    artifacts: Sequence[Mapping[str, str]],
    warnings: Sequence[Mapping[str, str]],
) -> str:
    """Return the manifest's text: what was made from what, layer by layer."""
    document = {
        "schema": MANIFEST_SCHEMA,
        "tool": f"snnquant {__version__}",
        "inputs": dict(inputs),
        "config": describe_options(options),
        "metrics": {
            "self_check_samples": check.samples,
            "self_check_integers": check.integers,
        },
        "gates": [],
        "layers": result.layers,
        "stays_float": [vars(entry) for entry in result.left],
        "input_scales": result.input_scales,
        "output_scales": result.output_scales,
        "warnings": list(warnings),
        "artifacts": list(artifacts),
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


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


def manifest_path(output: Path) -> Path:
    """Return the manifest's path beside an output path."""
    return output.with_suffix(".manifest.json")


def convert_files(
    model: Path, calibration: Path, known: Calibration, options: QuantizeOptions
) -> tuple[QuantizedModel, SelfCheck]:
    """Quantize a model file with its calibration file, and check the result on stored samples.

    Args:
        model: float model file.
        calibration: calibration file.
        known: its content.
        options: widths, target, read-out.

    Raises:
        CalibrationMismatchError: the calibration or its samples belong to something else.
    """
    result = convert_model(
        load_canonical(model),
        known,
        options,
        source_sha256=sha256_of(model),
        calibration_sha256=sha256_of(calibration),
    )
    samples_file = calibration.parent / Path(known.samples_file).name
    if samples_file.is_file() and sha256_of(samples_file) != known.samples_sha256:
        raise CalibrationMismatchError(
            f"{samples_file} is not the samples file of {calibration}; run calibrate again"
        )
    return result, self_check(result.model, load_samples(samples_file))


def write_conversion(
    model: Path,
    calibration: Path,
    known: Calibration,
    options: QuantizeOptions,
    result: QuantizedModel,
    check: SelfCheck,
    output_file: Path,
) -> None:
    """Write the integer model and its manifest, each whole or not at all."""
    data = result.model.SerializeToString(deterministic=True)
    atomic_write(output_file, data)
    # The hashes of what was converted, taken when it was read.
    hashes = metadata(result.model)
    text = manifest(
        result,
        options,
        check,
        inputs={
            "model": {"path": str(model), "sha256": hashes["snnquant.source_sha256"]},
            "calibration": {
                "path": str(calibration),
                "sha256": hashes["snnquant.calibration_sha256"],
            },
        },
        artifacts=[{"path": output_file.name, "sha256": sha256_of(output_file)}],
        warnings=quantization_warnings(result, known, check),
    )
    atomic_write(manifest_path(output_file), text)
