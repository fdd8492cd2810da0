"""The numpy reference of a whole integer model: standard ops by onnx, synapses in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator

from snnquant.errors import ModelError, SelfCheckError, first_line
from snnquant.ops.attach import node_attributes
from snnquant.ops.fused import op_schema
from snnquant.ops.schema import DOMAIN
from snnquant.reference.integer import integer_ops
from snnquant.reference.standard import STANDARD_OPS

Array = npt.NDArray[Any]


def float_entries(model: onnx.ModelProto) -> list[str]:
    """Return the computed real values that an integer model rounds to integers.

    Nodes that stayed float differ in the last bit between implementations, and a rounding behind
    them makes a whole step of it.
    """
    computed = {name for node in model.graph.node for name in node.output}
    rounded = [n.input[0] for n in model.graph.node if n.op_type in ("QuantizeLinear", "Round")]
    return [name for name in dict.fromkeys(rounded) if name in computed]


def _needed(
    nodes: Sequence[onnx.NodeProto], outputs: Sequence[str], given: Sequence[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that compute ``outputs`` from the inputs and the given values."""
    wanted, kept = set(outputs) - set(given), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input) - set(given)
    return kept[::-1]


class Reference:
    """An integer model, evaluated by the reference.

    Args:
        model: integer model; its function bodies are not used.
        outputs: names of the values wanted, anywhere in the main graph; default: its outputs.
        given: inner values that :meth:`run` is given like inputs, instead of computing them.

    Raises:
        ModelError: an op that the reference does not know, or attributes that do not fit one.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        outputs: Sequence[str] | None = None,
        given: Sequence[str] = (),
    ) -> None:
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        del bare.functions[:]
        self.names = list(outputs or [value.name for value in bare.graph.output])
        del bare.graph.output[:]
        bare.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names)
        nodes = _needed(list(model.graph.node), self.names, given)
        for node in nodes:
            schema = op_schema(node.op_type) if node.domain == DOMAIN else None
            if schema is not None:
                node_attributes(node, schema)
        del bare.graph.node[:]
        bare.graph.node.extend(nodes)
        bare.graph.input.extend(onnx.ValueInfoProto(name=name) for name in given)
        try:
            self._evaluator = ReferenceEvaluator(bare, new_ops=[*integer_ops(), *STANDARD_OPS])
        except (NotImplementedError, RuntimeError, TypeError) as error:
            raise ModelError(f"the reference has no rule for the model: {error}") from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the wanted values by name; ``inputs`` holds the given inner values too.

        Raises:
            SelfCheckError: onnx's evaluator fails on a standard op.
        """
        try:
            with np.errstate(all="ignore"):
                results = self._evaluator.run(self.names, dict(inputs))
        except (IndexError, ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            raise SelfCheckError(
                f"the reference cannot evaluate the model: {first_line(error)}; please report this"
            ) from error
        return dict(zip(self.names, results, strict=True))
