"""The check before anything is written: the emitted model against the reference, every integer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from snnquant import runtime
from snnquant.data import Batch
from snnquant.errors import NumericalError, SelfCheckError
from snnquant.fusion import Fusion
from snnquant.instrument import Runner
from snnquant.model_file import neuron_nodes, state_bits_of
from snnquant.numerics import FLOAT64_EXACT, IntRange
from snnquant.ops.fused import FusedSchema, neuron_schema, op_schema
from snnquant.ops.schema import DOMAIN, MEMBRANE
from snnquant.reference import Reference, float_entries

#: Types of values that the self-check compares.
_INTEGER_TYPES = frozenset(
    {
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT8,
        onnx.TensorProto.INT32,
        onnx.TensorProto.INT64,
    }
)


@dataclass(frozen=True)
class SelfCheck:
    """What was compared: samples, values, and integers in all; and which membranes saturated.

    ``steps`` counts the values of a step model that were compared with the sequence's.
    """

    samples: int
    values: int
    integers: int
    saturated: tuple[str, ...] = ()
    steps: int = 0


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
        schema = op_schema(node.op_type) if node.domain == DOMAIN else None
        neuron = isinstance(schema, FusedSchema) or (schema is not None and schema.integer)
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
        if (schema := neuron_schema(node.op_type)) is not None and schema.neuron.spiking
    }
    for index in range(len(samples)):
        one = {name: array[index : index + 1] for name, array in samples.inputs.items()}
        feeds = runner.feeds(one)
        emitted = runner.run(one)
        expected = reference.run(feeds | {name: emitted[name] for name in entries})
        for name in names:
            got, want = emitted[name], expected[name]
            _require_equal(got, want, f"sample {index}, value '{name}'")
            if np.abs(want.astype(np.float64)).max(initial=0) >= FLOAT64_EXACT:
                raise SelfCheckError(f"value '{name}' exceeds what the reference holds exactly")
            compared += got.size
            if name in membranes and _at_limits(want, membranes[name]):
                saturated.add(name)
            fired = fired or (name in spiking and bool(got.any()))
        if index == 0:
            _check_as_it_is(model, feeds, emitted, compare=not entries)
    if spiking and not fired:
        raise NumericalError(
            "the integer network is silent on the stored samples; "
            "calibrate on samples on which it fires, or choose more weight bits"
        )
    return SelfCheck(len(samples), len(names), compared, tuple(sorted(saturated)))


def _check_as_it_is(
    model: onnx.ModelProto, feeds: Mapping[str, Any], seen: Mapping[str, Any], *, compare: bool
) -> None:
    """Run the very file that is written, with and without the library.

    ONNX Runtime fuses what nobody looks into, so that the model with all values as outputs is not
    quite the one that users run.

    Args:
        model: as it is written.
        feeds: inputs of one sample.
        seen: outputs of the model that was looked into.
        compare: no float part stands in front of the outputs, whose last bits fusion may change.
    """
    names = [value.name for value in model.graph.output]
    for custom_ops in (True, False):
        session = runtime.load_session(model.SerializeToString(), custom_ops=custom_ops)
        found = session.run(names, dict(feeds))
        for name, got in zip(names, found, strict=True):
            if compare and not np.array_equal(got, seen[name]):
                how = "with" if custom_ops else "without"
                raise SelfCheckError(
                    f"self-check failed at output '{name}' {how} the library: "
                    f"{_first_difference(got, seen[name])}; nothing was written, please report this"
                )


def check_fused(model: onnx.ModelProto, fusion: Fusion, samples: Batch) -> int:
    """Compare a fused model with the model before on samples: every value that both have.

    The outputs are compared with and without the library, those of the very model that is written.

    Args:
        model: before fusion, checked against the reference.
        fusion: the fused model.
        samples: to run.

    Returns:
        Number of integers that were compared.

    Raises:
        SelfCheckError: a value differs.
    """
    if not neuron_nodes(model):
        return 0
    entries = float_entries(model)
    plain = Runner(model, [twin.plain for twin in fusion.twins])
    fused = Runner(fusion.model, [twin.fused for twin in fusion.twins])
    outputs = [value.name for value in model.graph.output]
    compared = 0
    for index in range(len(samples)):
        one = {name: array[index : index + 1] for name, array in samples.inputs.items()}
        wanted, found = plain.run(one), fused.run(one)
        for twin in fusion.twins:
            want = wanted[twin.plain]
            got = twin.as_plain(found[twin.fused], want)
            _require_equal(got, want, f"sample {index}, value '{twin.plain}' of the fused model")
            compared += want.size
        for name in outputs:
            if not entries:
                where = f"sample {index}, output '{name}' of the fused model"
                _require_equal(found[name], wanted[name], where)
        if index == 0:
            # As many samples as the model takes, where it fixes their number.
            feeds = fused.feeds(one)
            _check_as_it_is(fusion.model, feeds, fused.call(feeds), compare=not entries)
    return compared


def _require_equal(got: Any, want: Any, where: str) -> None:
    if got.shape != want.shape or not np.array_equal(got, want):
        raise SelfCheckError(
            f"self-check failed at {where}: {_first_difference(got, want)}; "
            "nothing was written, please report this"
        )


def _membranes(model: onnx.ModelProto) -> dict[str, IntRange]:
    """Return the membranes that a model gives out, and the range of their state."""
    found = {}
    for node in neuron_nodes(model, integer=True):
        schema = neuron_schema(node.op_type)
        for port, name in zip(schema.outputs if schema else (), node.output, strict=True):
            if port.name == MEMBRANE:
                found[name] = IntRange.signed(state_bits_of(node))
    return found


def _at_limits(values: Any, limits: IntRange) -> bool:
    """Whether a state sits at the end of its range, which it would have left."""
    return bool(((values == limits.low) | (values == limits.high)).any())


def _first_difference(got: Any, want: Any) -> str:
    if got.shape != want.shape:
        return f"shape {list(got.shape)} instead of {list(want.shape)}"
    where = tuple(int(k) for k in np.argwhere(got != want)[0])
    return f"{got[where]} instead of {want[where]} at {list(where)}"
