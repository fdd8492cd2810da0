"""Elementwise operations on spikes alone: any function of values that are 0 or 1 is a polynomial.

So a spike that is compared, cast, clipped or rounded once more is again made of spikes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from snnquant.frontends.onnx.recognition.polynomials import Poly, is_zero, joined, reduced, total_of
from snnquant.frontends.onnx.recognition.symbols import Atom

Array = npt.NDArray[Any]

#: Operations element by element; ``Cast`` too.
TABULATED: dict[str, Callable[..., Any]] = {
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
    "Sign": np.sign,
    "Relu": lambda x: np.maximum(x, 0),
    "Max": np.maximum,
    "Min": np.minimum,
    "Clip": lambda x, low=None, high=None: np.clip(
        x, -np.inf if low is None else low, np.inf if high is None else high
    ),
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.round,
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Not": lambda x: x == 0,
    "Or": lambda a, b: (a != 0) | (b != 0),
    "And": lambda a, b: (a != 0) & (b != 0),
    "Xor": lambda a, b: (a != 0) ^ (b != 0),
    "Cast": np.positive,
}
_WHOLE = frozenset({TensorProto.INT32, TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8})
#: More atoms than this are not tabulated.
MAX_ATOMS = 4


def is_binary(poly: Poly) -> bool:
    """Whether a polynomial is made of few spikes and plain numbers, and of at least one spike."""
    atoms = poly.atoms()
    return (
        0 < len(atoms) <= MAX_ATOMS
        and all(atom.binary for atom in atoms)
        and all(isinstance(c, float) for c in poly.terms.values())
    )


def of_spikes(node: onnx.NodeProto, operands: Sequence[Poly | None]) -> Poly | None:
    """Return an operation on polynomials of spikes and on numbers; None if it is not tabulated.

    Args:
        node: the operation.
        operands: its inputs; None where left out.
    """
    given = [o for o in operands if o is not None]
    if not all(o.is_constant or is_binary(o) for o in given):
        return None
    if not all(isinstance(o.coefficient(), float) for o in given):
        return None
    atoms = sorted({a for o in given for a in o.atoms()}, key=lambda a: a.number)
    if not 0 < len(atoms) <= MAX_ATOMS:
        return None
    table = np.array(list(itertools.product((0.0, 1.0), repeat=len(atoms))), np.float32)
    columns = [None if o is None else _tabulated(o, atoms, table) for o in operands]
    function = TABULATED.get(node.op_type) if node.op_type != "Cast" else _cast(node)
    if function is None:
        return None
    with np.errstate(all="ignore"):
        values = np.asarray(function(*columns))
    if values.shape != (len(table),) or not np.isfinite(values).all():
        return None
    return _from_table(np.asarray(values, np.float64), atoms)


def _cast(node: onnx.NodeProto) -> Callable[..., Any]:
    target = next(a.i for a in node.attribute if a.name == "to")
    if target == TensorProto.BOOL:
        return lambda x: x != 0
    return np.trunc if target in _WHOLE else np.positive


def _tabulated(poly: Poly, atoms: Sequence[Atom], table: Array) -> Array:
    total = np.zeros(len(table), np.float64)
    for product, c in poly.terms.items():
        part = np.full(len(table), c, np.float64)
        for atom in product:
            part = part * table[:, atoms.index(atom)]
        total = total + part
    return total.astype(np.float32)


def _from_table(values: Array, atoms: Sequence[Atom]) -> Poly:
    """Return the polynomial with given values at all combinations of 0 and 1."""
    cube = values.reshape((2,) * len(atoms))
    for axis in range(len(atoms)):
        low, high = np.take(cube, [0], axis), np.take(cube, [1], axis)
        cube = np.concatenate([low, high - low], axis)
    return total_of(
        Poly({joined([a for a, there in zip(atoms, index, strict=True) if there], ()): c})
        for index in itertools.product((0, 1), repeat=len(atoms))
        if not is_zero(c := reduced(cube[index]))
    )
