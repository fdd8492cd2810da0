"""How ops of older opsets are written in opset 17: mostly attributes that became inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.names import Names, described, int_of, take_attribute


@dataclass(frozen=True)
class Conversion:
    """From which opset to which, with what rules need to know of the model.

    Attributes:
        opset, wanted: versions of the standard ops.
        names: source of free names.
        where: words for the model.
        ranks: number of axes of values, as far as the file tells.
    """

    opset: int
    wanted: int
    names: Names
    where: str
    ranks: Mapping[str, int] = field(default_factory=dict)

    def constant(self, node: onnx.NodeProto, hint: str, array: Any) -> onnx.NodeProto:
        """Return a Constant node for an input of ``node``."""
        name = self.names.new(f"{node.output[0]}.{hint}")
        value = numpy_helper.from_array(np.asarray(array), name)
        return helper.make_node("Constant", [], [name], name=name, value=value)


Rewrite = Callable[[onnx.NodeProto, Conversion], list[onnx.NodeProto]]


@dataclass(frozen=True)
class Rule:
    """A rewrite for nodes of opsets before ``before``; it may change the node that it gets."""

    before: int
    rewrite: Rewrite


def _attributes_to_inputs(before: int, moved: Sequence[tuple[str, str]]) -> Rule:
    """Return the rule for attributes that became inputs: pairs of attribute and kind."""

    def rewrite(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
        nodes = []
        inputs = list(node.input)
        for attribute_name, kind in moved:
            attribute = take_attribute(node, attribute_name)
            if attribute is None:
                inputs.append("")
                continue
            value = helper.get_attribute_value(attribute)
            array = np.asarray(value, np.float32 if kind == "float" else np.int64)
            nodes.append(conversion.constant(node, attribute_name, array))
            inputs.append(nodes[-1].output[0])
        while inputs and not inputs[-1]:
            inputs.pop()
        del node.input[:]
        node.input.extend(inputs)
        return [*nodes, node]

    return Rule(before, rewrite)


def _top_k(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
    taken = take_attribute(node, "k")
    if taken is None:
        return [node]
    count = conversion.constant(node, "k", np.array([taken.i], np.int64))
    node.input.append(count.output[0])
    return [count, node]


def _coerced(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
    """Softmax and its like ran over all axes from ``axis`` on, as one."""
    axis = int_of(node, "axis", 1)
    take_attribute(node, "axis")
    source, result = node.input[0], node.output[0]
    rank = conversion.ranks.get(source, conversion.ranks.get(result, 0))
    if axis in (-1, rank - 1):
        node.attribute.append(helper.make_attribute("axis", -1))
        return [node]
    flat, done, shape = (conversion.names.new(f"{result}.{s}") for s in ("flat", "done", "shape"))
    node.input[0], node.output[0] = flat, done
    node.attribute.append(helper.make_attribute("axis", -1))
    return [
        helper.make_node("Shape", [source], [shape], name=shape),
        helper.make_node("Flatten", [source], [flat], name=flat, axis=axis),
        node,
        helper.make_node("Reshape", [done, shape], [result], name=conversion.names.new(result)),
    ]


def _batch_normalization(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
    """Several outputs meant training."""
    if any(node.output[1:]):
        raise ModelError(
            f"{conversion.where}: {described(node)} is in training mode; export after model.eval()"
        )
    spatial = take_attribute(node, "spatial")
    if spatial is not None and spatial.i == 0:
        raise ModelError(
            f"{conversion.where}: {described(node)} normalises each position on its own "
            "(spatial=0); export with opset 17 to 20"
        )
    del node.output[1:]
    return [node]


def _dropout(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
    """The ratio has no effect in inference, and older ops knew nothing else."""
    take_attribute(node, "ratio")
    return [node]


def _upsample(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
    """Upsample and the first Resize place pixels by their corners and take the floor."""
    if node.op_type == "Resize" and conversion.opset != 10:
        return [node]
    scales = take_attribute(node, "scales")
    nodes = []
    if scales is not None:
        nodes.append(conversion.constant(node, "scales", np.array(scales.floats, np.float32)))
        node.input.append(nodes[0].output[0])
    if len(node.input) != 2:
        raise ModelError(f"{conversion.where}: {described(node)} has no scales; export it again")
    node.op_type = "Resize"
    node.input.insert(1, "")
    mode = take_attribute(node, "mode")
    linear = mode is not None and mode.s in (b"linear", b"bilinear")
    node.attribute.extend(
        [
            helper.make_attribute("mode", "linear" if linear else "nearest"),
            helper.make_attribute("coordinate_transformation_mode", "asymmetric"),
            helper.make_attribute("nearest_mode", "floor"),
        ]
    )
    return [*nodes, node]


def _scatter(node: onnx.NodeProto, conversion: Conversion) -> list[onnx.NodeProto]:
    node.op_type = "ScatterElements"
    return [node]


RULES: dict[str, Rule] = {
    "Squeeze": _attributes_to_inputs(13, [("axes", "int")]),
    "Unsqueeze": _attributes_to_inputs(13, [("axes", "int")]),
    "ReduceSum": _attributes_to_inputs(13, [("axes", "int")]),
    "Split": _attributes_to_inputs(13, [("split", "int")]),
    "Slice": _attributes_to_inputs(10, [("starts", "int"), ("ends", "int"), ("axes", "int")]),
    "Clip": _attributes_to_inputs(11, [("min", "float"), ("max", "float")]),
    "Pad": _attributes_to_inputs(11, [("pads", "int"), ("value", "float")]),
    "TopK": Rule(10, _top_k),
    "Softmax": Rule(13, _coerced),
    "LogSoftmax": Rule(13, _coerced),
    "BatchNormalization": Rule(14, _batch_normalization),
    "Dropout": Rule(12, _dropout),
    "Upsample": Rule(10, _upsample),
    "Resize": Rule(11, _upsample),
    "Scatter": Rule(11, _scatter),
}
