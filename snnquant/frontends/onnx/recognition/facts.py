"""What is known of a graph before its values are read: constants, and shapes for two batch sizes.

Values that do not depend on data (parameters, initial states of any batch size, shapes) are
computed once, by ONNX Runtime; everything else is only looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snnquant import runtime
from snnquant.errors import ModelError, first_line, last_line
from snnquant.frontends.onnx.preparation.values import constant_of

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Batch sizes for which shapes are worked out; both prime, and unlike common numbers of steps.
BATCH_SIZES = (7, 11)
#: Operations that look at the shape of a value alone.
_SHAPE_OPS = frozenset({"Shape", "Size"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
    | {"Multinomial"}
)


@dataclass
class Facts:
    """What is known of the values of a graph.

    Attributes:
        model: the graph.
        batch: batch size for which :attr:`shapes` and :attr:`constants` hold.
        dynamic: whether the graph declares a dynamic batch.
        shapes: shape per value.
        other_shapes: the same for another batch size, where the batch is dynamic.
        constants: values that do not depend on data, for :attr:`batch`.
        data: names of the values that depend on data.
        varying: constants that differ with the batch size.
        kinds: ONNX element type of the values for which inference tells it.
    """

    model: onnx.ModelProto
    batch: int
    dynamic: bool
    shapes: dict[str, Shape] = field(default_factory=dict)
    other_shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    data: set[str] = field(default_factory=set)
    varying: set[str] = field(default_factory=set)
    kinds: dict[str, int] = field(default_factory=dict)


class BakedBatchError(ModelError):
    """A graph that says that its batch is dynamic, and runs with none but one."""


def gather_facts(model: onnx.ModelProto) -> Facts:
    """Work out constants and shapes of a prepared graph.

    Raises:
        ModelError: random operations, dynamic dimensions that are not a batch, or a graph for which
            no shapes can be found.
    """
    graph = model.graph
    _refuse_randomness(graph)
    held = {t.name for t in graph.initializer}
    inputs = [v for v in graph.input if v.name not in held]
    dynamic = any(not d.HasField("dim_value") for v in inputs for d in _dims(v))
    data = _depending_on_data(graph, {v.name for v in inputs})
    sizes = BATCH_SIZES if dynamic else (1,)
    kinds: dict[str, int] = {}
    found = [_shapes(model, size, kinds) for size in sizes]
    batch = sizes[0]
    if not dynamic:
        batch = next((_dims(v)[0].dim_value for v in inputs if _dims(v)), 1)
    facts = Facts(model, batch, dynamic, found[0], found[-1] if dynamic else {}, {}, data)
    facts.kinds = kinds
    facts.constants = _constants(facts, facts.shapes)
    if dynamic:
        other = _constants(facts, facts.other_shapes)
        facts.varying = {
            name for name, array in facts.constants.items() if not _equal(array, other[name])
        }
    return facts


def _equal(a: Array, b: Array) -> bool:
    return a is b or (a.shape == b.shape and bool((a == b).all()))


def _dims(value: onnx.ValueInfoProto) -> list[Any]:
    return list(value.type.tensor_type.shape.dim)


def _refuse_randomness(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.op_type in _RANDOM:
            raise ModelError(
                f"node '{node.name}' ({node.op_type}) draws random numbers, so that no two runs "
                "agree; encode the data before the model, and export without it"
            )


def _depending_on_data(graph: onnx.GraphProto, names: set[str]) -> set[str]:
    data = set(names)
    for node in graph.node:
        if node.op_type not in _SHAPE_OPS and any(name in data for name in node.input):
            data.update(node.output)
    return data


def at_batch(model: onnx.ModelProto, size: int) -> onnx.ModelProto:
    """Return a copy of a model in which every dynamic dimension of its inputs is ``size``."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dim in _dims(value):
            if not dim.HasField("dim_value"):
                dim.dim_value = size
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    return fixed


def _shapes(model: onnx.ModelProto, size: int, kinds: dict[str, int]) -> dict[str, Shape]:
    """Return all shapes for one batch size: inferred, and by a run where that does not do.

    Args:
        model: the graph.
        size: batch size.
        kinds: element types are added here.
    """
    fixed = at_batch(model, size)
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except Exception as error:  # the C++ inference raises types of its own
        raise ModelError(
            f"shapes cannot be inferred: {first_line(error)}; export the model again"
        ) from error
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        kind = value.type.tensor_type
        if kind.elem_type:
            kinds[value.name] = kind.elem_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in kind.shape.dim)
    missing = [
        name for node in model.graph.node for name in node.output if name and name not in shapes
    ]
    if missing:
        shapes |= {name: np.shape(a) for name, a in _run(fixed, missing).items()}
    return shapes


def _run(fixed: onnx.ModelProto, names: Iterable[str]) -> dict[str, Array]:
    """Run a model of fixed size on zeros, and return inner values."""
    wanted = list(names)
    copy = onnx.ModelProto()
    copy.CopyFrom(fixed)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    held = {t.name for t in copy.graph.initializer}
    feeds = {
        v.name: np.zeros(
            [d.dim_value for d in _dims(v)],
            helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type),
        )
        for v in copy.graph.input
        if v.name not in held
    }
    try:
        session = runtime.load_session(copy.SerializeToString(), custom_ops=False, optimized=False)
        return dict(zip(wanted, session.run(wanted, feeds), strict=True))
    except Exception as error:  # ONNX Runtime raises types of its own
        raise BakedBatchError(
            f"the model does not run with a batch of {_sizes(feeds)}: {last_line(error)}; a batch "
            "size may be baked in although the export says that it is dynamic; export it again"
        ) from error


def _sizes(feeds: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())


def _constants(facts: Facts, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """Return every value that data does not reach, where data (or an output) needs it."""
    graph = facts.model.graph
    known = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes = []
    for node in graph.node:
        if any(name in facts.data for name in node.output):
            continue
        if node.op_type == "Constant":
            known[node.output[0]] = constant_of(node)
            continue
        if node.op_type in _SHAPE_OPS and node.input[0] in facts.data:
            shape = np.asarray(shapes[node.input[0]], np.int64)
            chosen = {a.name: a.i for a in node.attribute}
            if node.op_type == "Shape":
                shape = shape[chosen.get("start", 0) : chosen.get("end", len(shape))]
                known[node.output[0]] = shape
            else:
                known[node.output[0]] = np.asarray(shape.prod(), np.int64)
            continue
        nodes.append(node)
    used = {name for node in graph.node for name in node.input} | {v.name for v in graph.output}
    wanted = [name for node in nodes for name in node.output if name in used]
    if wanted:
        known |= _evaluate(facts.model, nodes, known, wanted)
    return known


def _evaluate(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    known: Mapping[str, Array],
    wanted: list[str],
) -> dict[str, Array]:
    """Compute constant nodes in one run."""
    made = {name for node in nodes for name in node.output}
    needed = {name for node in nodes for name in node.input if name and name not in made}
    graph = helper.make_graph(
        nodes,
        "constants",
        [],
        [onnx.ValueInfoProto(name=name) for name in wanted],
        [numpy_helper.from_array(np.asarray(known[name]), name) for name in sorted(needed)],
    )
    constant = helper.make_model(graph, opset_imports=model.opset_import)
    constant.ir_version = model.ir_version
    try:
        session = runtime.load_session(
            constant.SerializeToString(), custom_ops=False, optimized=False
        )
        return dict(zip(wanted, session.run(wanted, {}), strict=True))
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ModelError(
            f"constants of the graph cannot be computed: {last_line(error)}"
        ) from error
