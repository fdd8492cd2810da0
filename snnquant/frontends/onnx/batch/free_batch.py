"""Free a graph from the batch size that was written into it when it was exported."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from snnquant.errors import ModelError, first_line
from snnquant.frontends.onnx.batch.constants import constant_values
from snnquant.frontends.onnx.batch.dims import BATCH, Dims, fixed, size
from snnquant.frontends.onnx.batch.proof import Runs, prove
from snnquant.frontends.onnx.batch.propagate import (
    MAX_ELEMENTS,
    Choices,
    ConflictError,
    Propagation,
)
from snnquant.frontends.onnx.batch.settle import settle_sizes
from snnquant.frontends.onnx.batch.sums import RULES
from snnquant.frontends.onnx.preparation.names import Names
from snnquant.frontends.onnx.preparation.shapes import MALFORMED, infer_shapes
from snnquant.frontends.onnx.preparation.values import KnownValues, Shape, shape_of_type
from snnquant.ops.attach import standard_opset

#: Name of the dynamic dimension.
BATCH_NAME = "batch"
#: Bounds on what is tried: places of the batch among the inputs, and readings of a batch of 1.
_MAX_PLACES = 64
_MAX_READINGS = 64
#: Sizes at which a model whose signature is dynamic already is run first.
_TRIED = (3, 2, 5)
#: Size of dynamic dimensions that are not the batch, where the model runs with any.
_OTHER_DIMENSIONS = (4, 32)
#: Inputs are drawn for the proof.
_MAX_INPUT = 2**27
_REMEDY = "export it with a dynamic batch, or with the network reset and in eval mode"


def free_batch(
    model: onnx.ModelProto, batch_axes: dict[str, int] | None = None, where: str = "the model"
) -> onnx.ModelProto:
    """Return a graph that computes for any batch size what the model computes for its own.

    The batch is followed from the inputs through every node as a factor of dimensions; constants
    that hold its size are rewritten. Then both graphs are run: at the model's batch size all bits
    are equal, at other ones the rows are those that the model gives to each sample.

    Args:
        model: a float graph, sorted and with constants as initializers; neuron nodes may be in it.
        batch_axes: axis of the batch of each input that has one; None: found by trying.
        where: words for the model in messages.

    Raises:
        ModelError: something depends on the batch size, or on the other samples of a batch.
    """
    try:
        return _free(model, batch_axes, where)
    except MALFORMED as error:
        raise ModelError(
            f"{where}: the graph is malformed: {first_line(error)}; export the model again"
        ) from error


def bakes_batch(model: onnx.ModelProto) -> bool:
    """Whether a graph calls dimensions of its inputs dynamic and does not run at any size."""
    shapes = {value.name: shape_of_type(value.type) or () for value in model.graph.input}
    dynamic = any(None in shape for shape in shapes.values())
    if not dynamic or any(math.prod(s) > _MAX_INPUT for s in _whole(shapes, max(_TRIED)).values()):
        return False
    runs = Runs(model)
    return not all(runs.accepts({}, _whole(shapes, batch), batch) for batch in _TRIED)


def _free(model: onnx.ModelProto, batch_axes: dict[str, int] | None, where: str) -> onnx.ModelProto:
    shapes = _input_shapes(model, where)
    runs = Runs(model)
    best: ConflictError | None = None
    for axes in itertools.islice(_places(shapes, batch_axes, where), _MAX_PLACES):
        result = _with_axes(model, axes, shapes, runs, where)
        if isinstance(result, onnx.ModelProto):
            return result
        if best is None or result.reached > best.reached:
            best = result
    reason = best if best else "no input has an axis for it"
    raise ModelError(f"{where} holds for one batch size alone: {reason}; {_REMEDY}")


def _with_axes(
    model: onnx.ModelProto,
    axes: dict[str, int],
    shapes: dict[str, Shape],
    runs: Runs,
    where: str,
) -> onnx.ModelProto | ConflictError:
    """Return the freed graph for one place of the batch, or why there is none."""
    sizes = {shapes[name][axis] for name, axis in axes.items()}
    best: ConflictError | None = None
    try:
        free = _free_already(model, axes, shapes, runs) if sizes == {None} else None
        if free is not None:
            return free
    except ConflictError as error:
        return error
    for batch in _batch_sizes(model, axes, shapes, sizes, runs):
        result = _at_size(model, axes, batch, runs, where)
        if isinstance(result, onnx.ModelProto):
            return result
        if best is None or result.reached > best.reached:
            best = result
    return best or ConflictError("its inputs do not fit each other at any batch size")


def _at_size(
    model: onnx.ModelProto, axes: dict[str, int], batch: int, runs: Runs, where: str
) -> onnx.ModelProto | ConflictError:
    """Return the freed graph for one place and size of the batch, or why there is none."""
    try:
        return _freed(model, axes, batch, runs, where)
    except ConflictError as error:
        return error


def _input_shapes(model: onnx.ModelProto, where: str) -> dict[str, Shape]:
    shapes = {}
    for value in model.graph.input:
        shape = shape_of_type(value.type)
        if shape is None:
            raise ModelError(f"{where}: input '{value.name}' has no shape; export it with one")
        if math.prod(d or 1 for d in shape) > _MAX_INPUT:
            raise ModelError(
                f"{where}: input '{value.name}' has more than {_MAX_INPUT} elements; export it "
                "with a smaller batch or fewer steps"
            )
        shapes[value.name] = shape
    return shapes


def _places(
    shapes: dict[str, Shape], given: dict[str, int] | None, where: str
) -> Iterator[dict[str, int]]:
    """Yield where the batch may be: the same axis in all inputs first, then any."""
    if given is not None:
        for name, axis in given.items():
            if name not in shapes or not -len(shapes[name]) <= axis < len(shapes[name]):
                raise ModelError(f"{where}: there is no axis {axis} of an input '{name}'")
        yield {name: axis % len(shapes[name]) for name, axis in given.items()}
        return
    names = [name for name, shape in shapes.items() if shape]
    ranges = [range(len(shapes[name])) for name in names]
    together = [(axis,) * len(names) for axis in range(max(map(len, ranges), default=0))]
    for axes in dict.fromkeys([*together, *itertools.islice(itertools.product(*ranges), 4096)]):
        chosen = dict(zip(names, axes, strict=True))
        fits = all(axis < len(shapes[name]) for name, axis in chosen.items())
        if names and fits and len({shapes[name][axis] for name, axis in chosen.items()}) == 1:
            yield chosen


def _batch_sizes(
    model: onnx.ModelProto,
    axes: dict[str, int],
    shapes: dict[str, Shape],
    sizes: set[int | None],
    runs: Runs,
) -> Iterator[int]:
    """Yield the batch size that a model holds for; where the inputs do not tell, what runs."""
    static = sizes - {None}
    if len(static) > 1:
        return
    if static:
        yield next(iter(static)) or 0
        return
    for batch in _numbers(model.graph):
        # A size may run that only broadcasts against the real one.
        if runs.accepts(axes, shapes, batch):
            yield batch


def _numbers(graph: onnx.GraphProto) -> list[int]:
    """Return the sizes that a graph mentions, the likely ones first and 1, which fits many, last.

    They are those of its outputs, those in short integer constants, and those of constants.
    """
    told = [d for value in graph.output for d in shape_of_type(value.type) or () if d]
    found: set[int] = set()
    for tensor in graph.initializer:
        found.update(tensor.dims[:2])
        if tensor.data_type == onnx.TensorProto.INT64 and sum(tensor.dims) <= 8:
            found.update(int(n) for n in np.reshape(numpy_helper.to_array(tensor), -1))
    likely = [n for n in dict.fromkeys([*told, *sorted(found)]) if 1 < n <= 1024]
    return [*likely[:16], 1]


def _free_already(
    model: onnx.ModelProto, axes: dict[str, int], shapes: dict[str, Shape], runs: Runs
) -> onnx.ModelProto | None:
    """Return the model with its batch named, if it runs at several batch sizes already."""
    for other in _OTHER_DIMENSIONS:
        whole = _whole(shapes, other)
        if not all(runs.accepts(axes, whole, batch) for batch in _TRIED):
            continue
        dims = runs.output_dims(axes, whole, _TRIED[:2])
        if dims is None:
            return None
        free = onnx.ModelProto()
        free.CopyFrom(model)
        inputs = {name: _with_batch(shape, axes.get(name)) for name, shape in whole.items()}
        prove(runs, Runs(free), inputs, dims, _TRIED[0])
        _declare(free, axes, {})
        return free
    return None


def _whole(shapes: dict[str, Shape], other: int) -> dict[str, tuple[int, ...]]:
    """Return shapes with a number for every dynamic dimension."""
    return {name: tuple(other if d is None else d for d in s) for name, s in shapes.items()}


def _with_batch(shape: tuple[int, ...], axis: int | None) -> Dims:
    dims = fixed(shape)
    return dims if axis is None else (*dims[:axis], (BATCH,), *dims[axis + 1 :])


def _freed(
    model: onnx.ModelProto, axes: dict[str, int], batch: int, runs: Runs, where: str
) -> onnx.ModelProto:
    """Return the freed and proved graph for one place of the batch.

    Raises:
        ConflictError: the batch cannot be there.
    """
    fixed_model = _at(model, axes, batch, where)
    settled = settle_sizes(fixed_model, where)
    known = KnownValues(fixed_model.graph, MAX_ELEMENTS)
    constants = {**constant_values(fixed_model, known), **settled}
    opset = standard_opset(model)
    choices: Choices | None = Choices({})
    best: ConflictError | None = None
    for _ in range(_MAX_READINGS):
        if choices is None:
            break
        trial = onnx.ModelProto()
        trial.CopyFrom(fixed_model)
        attempt = Propagation(trial.graph, Names(trial), batch, axes, choices, opset, constants)
        error = _follow(attempt, trial, axes, batch, runs)
        if error is None:
            infer_shapes(trial, where)
            return trial
        error.reached = attempt.done
        if best is None or attempt.done > best.reached:
            best = error
        choices = choices.next()
    raise best or ConflictError("no reading of it fits")


def _follow(
    attempt: Propagation, trial: onnx.ModelProto, axes: dict[str, int], batch: int, runs: Runs
) -> ConflictError | None:
    """Free a trial and prove it, or return why that fails."""
    try:
        attempt.run(RULES)
        inputs = {value.name: attempt.dims[value.name] for value in trial.graph.input}
        outputs = {value.name: attempt.output_dims(value.name) for value in trial.graph.output}
        _declare(trial, axes, outputs)
        prove(runs, Runs(trial), inputs, list(outputs.values()), batch)
    except ConflictError as error:
        return error
    return None


def _at(model: onnx.ModelProto, axes: dict[str, int], batch: int, where: str) -> onnx.ModelProto:
    """Return the model with the batch size in its inputs, and all shapes as it makes them."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        if value.name in axes:
            value.type.tensor_type.shape.dim[axes[value.name]].dim_value = batch
    del copy.graph.value_info[:]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    infer_shapes(copy, where)
    return copy


def _declare(model: onnx.ModelProto, axes: dict[str, int], outputs: dict[str, Dims]) -> None:
    """Write the dynamic batch into the shapes of inputs and outputs, in place."""
    for value in model.graph.input:
        if value.name in axes:
            value.type.tensor_type.shape.dim[axes[value.name]].dim_param = BATCH_NAME
    del model.graph.value_info[:]
    for value in model.graph.output:
        if value.name not in outputs:
            continue
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for dim in outputs[value.name]:
            declared = shape.dim.add()
            if dim == (BATCH,):
                declared.dim_param = BATCH_NAME
            elif BATCH not in dim:
                declared.dim_value = size(dim, 1)
