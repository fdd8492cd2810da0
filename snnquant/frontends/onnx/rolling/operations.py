"""Operations that are no arithmetic, written once for all steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.symbols import STATIC, Computed, Constant, Operand
from snnquant.passes.edit import RESHAPES

if TYPE_CHECKING:
    from snnquant.frontends.onnx.rolling.rolled import Rolled

#: Operations that pick values by their place among all samples.
_BY_PLACE = frozenset({"ScatterND", "GatherND", "NonZero", "Compress", "Unique"})

#: Operations along the axis of their attribute, by default the last.
_ALONG_AXIS = frozenset({"Softmax", "LogSoftmax", "Hardmax", "LpNormalization", "TopK"})


def plain_operation(rolled: Rolled, atom: Computed, operand: Callable[[Operand, str], str]) -> str:
    """Write an operation that belongs to no step, as it is."""
    node = atom.node
    name = str(node.name or node.op_type)
    inputs = [operand(o, f"{name}.{k}") for k, o in enumerate(atom.operands)]
    varying = rolled.chains.values.facts.varying
    if node.op_type in ("Reshape", "Expand") and len(node.input) > 1 and node.input[1] in varying:
        inputs[1] = rolled.builder.integers(_free_shape(rolled, atom), f"{name}.shape")
    elif any(value in varying for value in node.input):
        raise ModelError(
            f"node '{name}' ({node.op_type}) depends on the batch size; export without that"
        )
    outputs = [rolled.builder.fresh(f"{name}.output") for _ in node.output] or None
    if outputs is not None and len(outputs) > 1:
        rolled.builder.add(
            node.op_type, inputs, name, node.attribute, domain=node.domain, outputs=outputs
        )
        return outputs[atom.output]
    return rolled.builder.add(node.op_type, inputs, name, node.attribute, domain=node.domain)


def _free_shape(rolled: Rolled, atom: Computed) -> list[int]:
    """Return a target shape that holds for any batch size."""
    facts = rolled.chains.values.facts
    name = atom.node.output[0]
    shape, other = facts.shapes[name], facts.other_shapes.get(name)
    if other is None or len(other) != len(shape):
        return list(shape)
    moving = [k for k, (a, b) in enumerate(zip(shape, other, strict=True)) if a != b]
    if atom.node.op_type == "Expand":
        return [1 if k in moving else d for k, d in enumerate(shape)]
    if len(moving) > 1:
        raise ModelError(f"node '{atom.node.name}' reshapes to a shape with two dynamic axes")
    return [-1 if k in moving else d for k, d in enumerate(shape)]


def fold_operation(rolled: Rolled, atom: Computed, time: int) -> str:
    """Write an operation of one step for all steps at once, time folded into the batch.

    Raises:
        ModelError: the operation does not treat every sample alike, so that steps would mix.
    """
    node = atom.node
    name = str(node.name or node.op_type)
    if node.op_type in _BY_PLACE:
        raise ModelError(
            f"node '{name}' ({node.op_type}) picks values by their place among all samples, so "
            "that steps cannot be folded (as where only the strongest neuron of a layer may fire)"
        )
    if _mixes_samples(atom):
        raise ModelError(
            f"node '{name}' ({node.op_type}) works along the batch, so that samples would not be "
            "treated alike; export without that"
        )
    features = rolled.shapes.features(Poly.of(atom))
    inputs = []
    for k, operand in enumerate(atom.operands):
        if operand is None:
            inputs.append("")
        elif isinstance(operand, Constant):
            inputs.append(rolled.builder.constant(operand, f"{name}.{k}"))
        elif operand.time == STATIC and _is_matrix(rolled, operand):
            inputs.append(rolled.static(operand))
        else:
            rolled.shapes.features(operand)
            inputs.append(rolled.merged(operand, time))
    if node.op_type in RESHAPES:
        return rolled.builder.reshape(inputs[0], [-1, *features], name)
    if node.op_type == "Expand":
        inputs[1] = rolled.builder.integers([1, *features], f"{name}.shape")
    outputs = [rolled.builder.fresh(f"{name}.output") for _ in node.output]
    if not outputs:
        outputs = [rolled.builder.fresh(f"{name}.output")]
    rolled.builder.add(
        node.op_type, inputs, name, node.attribute, domain=node.domain, outputs=outputs
    )
    return outputs[atom.output]


def _mixes_samples(atom: Computed) -> bool:
    """Whether an operation of one step works along its first axis."""
    node = atom.node
    if node.op_type == "Slice":
        axes = atom.operands[3] if len(atom.operands) > 3 else None
        return not isinstance(axes, Constant) or bool((axes.array == 0).any())
    return node.op_type in _ALONG_AXIS and any(
        a.name == "axis" and a.i == 0 for a in node.attribute
    )


def _is_matrix(rolled: Rolled, operand: Poly) -> bool:
    """Whether a value has no batch axis, as data-dependent weights would."""
    shape = rolled.shapes.of(operand)
    return not shape or shape[0] != rolled.chains.values.facts.batch
