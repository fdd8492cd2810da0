"""Infer the shapes of a graph, weights left aside."""

from __future__ import annotations

import onnx
from onnx import helper

from snnquant.errors import ModelError, first_line

#: Tensors of more elements are no shapes: inference needs to know only how large they are.
_LARGEST_SHAPE = 64

#: What code raises that trusts a graph to be as ONNX says, and meets one that is not.
MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)


def infer_shapes(model: onnx.ModelProto, where: str) -> None:
    """Write down the type and shape of every value for which ONNX can tell, in place.

    Weights are not copied: a model may be as large as protobuf allows.

    Raises:
        ModelError: the types contradict each other.
    """
    light = onnx.ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if sum(tensor.dims) <= _LARGEST_SHAPE:
            graph.initializer.add().CopyFrom(tensor)
        else:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    graph.value_info.extend(model.graph.value_info)
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError(f"{where}: {first_line(error)}; export the model again") from error
    del model.graph.value_info[:]
    model.graph.value_info.extend(inferred.graph.value_info)
    for value, told in zip(model.graph.output, inferred.graph.output, strict=True):
        if not value.type.tensor_type.HasField("shape") and told.type.HasField("tensor_type"):
            value.type.CopyFrom(told.type)
