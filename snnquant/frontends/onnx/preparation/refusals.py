"""What no later step can read, refused with what to do instead."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.preparation.names import attribute_of, described, graphs_of, int_of
from snnquant.frontends.onnx.preparation.opset import version_of
from snnquant.frontends.onnx.preparation.values import KnownValues
from snnquant.ops.attach import standard_opset
from snnquant.ops.schema import DOMAIN

#: Operations that draw numbers; only a network in training mode, or an encoder inside, has them.
_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
#: Numbers in one input: 2 GiB of them.
_LARGEST_INPUT = 2**29
_BY_TORCH = (
    "export with torch.onnx.export(..., dynamo=True), in SpikingJelly with backend 'torch', "
    "or give the module by --model and --checkpoint"
)
#: What to do about ops of a domain.
_REMEDIES = {
    "snn": _BY_TORCH,
    "com.microsoft": "give the model as it was exported, before ONNX Runtime optimised it",
    "com.microsoft.nchwc": "give the model as it was exported, before ONNX Runtime optimised it",
    "org.pytorch.aten": "export with torch.onnx.export(..., dynamo=True)",
    "ai.onnx.ml": "export the network alone, without what classifies its outputs",
}


def refuse(model: onnx.ModelProto, where: str) -> None:
    """Raise ModelError for the first thing in a model that cannot be read."""
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind not in (None, "tensor_type"):
            raise ModelError(
                f"{where}: '{value.name}' is no tensor but {kind.removesuffix('_type')}; "
                "export with tensors as inputs and outputs"
            )
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            raise ModelError(f"{where}: '{value.name}' holds text; export with numbers")
    for value in model.graph.input:
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")]
        if any(size < 1 for size in sizes) or math.prod(sizes) > _LARGEST_INPUT:
            raise ModelError(
                f"{where}: input '{value.name}' has the shape {sizes}, which is empty or beyond "
                "any memory; export it with an example of the right shape"
            )
    known = KnownValues(model.graph)
    opset = standard_opset(model)
    for graph in graphs_of(model.graph):
        inner = known if graph is model.graph else KnownValues(graph)
        for node in graph.node:
            if not node.domain and version_of(node.op_type, opset) is None:
                raise ModelError(
                    f"{where}: {described(node)} is no op of opset {opset}; export the model again"
                )
            for reason in _reasons(node, known, inner):
                raise ModelError(f"{where}: {described(node)} {reason}")


def _reasons(node: onnx.NodeProto, known: KnownValues, inner: KnownValues) -> Iterator[str]:
    """Yield why a node cannot be read."""
    if node.domain == DOMAIN:
        return
    if node.domain:
        remedy = _REMEDIES.get(node.domain, _BY_TORCH)
        yield f"is an op of the foreign domain '{node.domain}', whose meaning is unknown; {remedy}"
    elif node.op_type in _RANDOM:
        yield (
            "draws random numbers; export after model.eval(), and without an encoder that draws "
            "spikes: give its spikes as input"
        )
    elif node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        flags = [k.value(node.input[2]) for k in (known, inner)]
        flag = next((f for f in flags if f is not None), None)
        if flag is None or flag.any():
            yield "is in training mode; export after model.eval()"
    elif node.op_type == "BatchNormalization" and (
        int_of(node, "training_mode", 0) or any(node.output[1:])
    ):
        yield "is in training mode; export after model.eval()"
    elif node.op_type == "Constant" and attribute_of(node, "value") is None:
        yield "holds text; export with numbers"
