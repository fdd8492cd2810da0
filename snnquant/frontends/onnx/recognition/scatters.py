"""Values that are written to places: ``out[t] = step`` of a sequence, ``v[fired] = value``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.frontends.onnx.recognition.arithmetic import is_logical
from snnquant.frontends.onnx.recognition.interpreter import Handler, Interpreter
from snnquant.frontends.onnx.recognition.polynomials import Poly, reduced
from snnquant.frontends.onnx.recognition.symbols import Computed, Constant
from snnquant.frontends.onnx.recognition.views import added_axis, attribute, stack

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

#: Elements of a sequence up to which the place that is written is looked for.
_MAX_ELEMENTS = 2**24


def _numbered(node: onnx.NodeProto, shape: Shape, indices: Array, count: Shape) -> Array | None:
    """Return which element of the update each place gets, from 1; 0 where it is not written."""
    written = np.zeros(shape, np.int64)
    numbers = np.arange(1, int(np.prod(count)) + 1).reshape(count)
    try:
        if node.op_type == "ScatterElements":
            np.put_along_axis(written, indices, numbers, attribute(node, "axis", 0))
        else:
            written[tuple(np.moveaxis(indices, -1, 0))] = numbers
    except (IndexError, ValueError):
        return None
    return written


def written_place(node: onnx.NodeProto, shape: Shape, indices: Array, count: Shape) -> Any:
    """Return (axis, index) where an update writes exactly one place of an axis, in order.

    Args:
        node: ScatterElements or ScatterND.
        shape: of what is written to.
        indices: the places.
        count: shape of the update.
    """
    if int(np.prod(shape)) > _MAX_ELEMENTS:
        return None
    written = _numbered(node, shape, indices, count)
    if written is None:
        return None
    for axis, size in enumerate(shape):
        others = tuple(k for k in range(len(shape)) if k != axis)
        places = np.flatnonzero((written != 0).any(axis=others))
        if size < 2 or len(places) != 1:
            continue
        slab = written.take(places[0], axis=axis).reshape(-1)
        if (slab == np.arange(1, len(slab) + 1)).all():
            return axis, int(places[0])
    return None


def _scatter(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    base, indices, update = node.input[:3]
    if any(a.name == "reduction" and a.s not in (b"", b"none") for a in node.attribute):
        return None
    if not of.is_constant(indices) and not of.is_constant(base):
        return _where_set(of, base, indices, update)
    if not of.is_constant(indices) or of.is_constant(update):
        return None
    filled = of.filled.get(base)
    if filled is None and not of.is_constant(base):
        return None
    shape = of.shape(base)
    place = written_place(node, shape, of.constant(indices), of.shape(update))
    if place is None or (filled is not None and filled[0] != place[0]):
        return None
    axis, index = place
    value = of.settled(of.values[update])
    added = added_axis(value.single)
    inner = value if added is None else added[1]
    if shape[:axis] + shape[axis + 1 :] != _shape_of(of, update, added):
        return None
    held = {**(filled[1] if filled is not None else {}), index: inner}
    of.filled[node.output[0]] = axis, held
    if len(held) < shape[axis]:
        return None
    return stack(of, [held[k] for k in range(shape[axis])], axis, node.output[0])


def _where_set(of: Interpreter, base: str, indices: str, update: str) -> Poly | None:
    """Read ``v[fired] = value``: the places come from NonZero, the value is one number."""
    value = _one_number(of, update)
    places = of.values[indices].single
    while isinstance(places, Computed) and places.node.op_type in ("Transpose", "Cast"):
        places = places.operands[0].single
    if value is None or not isinstance(places, Computed) or places.node.op_type != "NonZero":
        return None
    fired: Poly = places.operands[0]
    if of.shape(places.node.input[0]) != of.shape(base) or not is_logical(fired):
        return None
    poly = of.values[base]
    return fired.scaled(value) + poly - fired * poly


def _one_number(of: Interpreter, name: str) -> float | None:
    """Return the number that a constant holds, repeated as often as data says."""
    if of.is_constant(name):
        held = reduced(of.constant(name))
        return held if isinstance(held, float) else None
    atom = of.values[name].single
    if not isinstance(atom, Computed) or atom.node.op_type not in ("Expand", "Reshape"):
        return None
    inner = atom.operands[0]
    if isinstance(inner, Constant):
        held = reduced(inner.array)
        return held if isinstance(held, float) else None
    return _one_number(of, atom.node.input[0])


def _shape_of(of: Interpreter, update: str, added: tuple[int, Poly] | None) -> Shape:
    """Return the shape of what is written, without an axis that was added to it."""
    shape = of.shape(update)
    if added is None:
        return shape
    axis = added[0] % len(shape)
    return shape[:axis] + shape[axis + 1 :]


HANDLERS: dict[str, Handler] = dict.fromkeys(("ScatterElements", "ScatterND"), _scatter)
