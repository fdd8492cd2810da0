"""Elementwise arithmetic, read as polynomials."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from snnquant.frontends.onnx.interpreter import Handler, Interpreter, is_recurrent
from snnquant.frontends.onnx.polynomials import Poly, reduced
from snnquant.frontends.onnx.symbols import Bounded, Count, Spike, State

_FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
)
#: The larger of two operands, where it stands for "no bound".
_NO_BOUND = 3e38


def _add(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    total = of.poly(node.input[0])
    for name in node.input[1:]:
        first, second = of.combine(total, of.poly(name))
        total = first + second
    return None if total.too_large else total


def _subtract(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    first, second = of.combine(of.poly(node.input[0]), of.poly(node.input[1]))
    return first - second


def _multiply(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    first, second = of.combine(of.poly(node.input[0]), of.poly(node.input[1]))
    product = first * second
    return None if product.too_large else product


def _divide(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    divisor = of.poly(node.input[1])
    if not divisor.is_constant or not divisor.terms:
        return None
    with np.errstate(divide="ignore"):
        inverse = np.divide(1.0, divisor.coefficient())
    if not np.isfinite(inverse).all():
        return None
    return of.poly(node.input[0]).scaled(reduced(inverse))


def _negate(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    return of.poly(node.input[0]).scaled(-1.0)


def _same(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    return of.poly(node.input[0])


def _not(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    return Poly.constant(1.0) - of.poly(node.input[0])


def is_logical(poly: Poly) -> bool:
    """Whether a polynomial is 0 or 1 as far as its form tells: spikes with whole coefficients."""
    return all(
        isinstance(c, float) and c.is_integer() and all(atom.binary for atom in product)
        for product, c in poly.terms.items()
    )


def _and(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    first, second = (of.poly(name) for name in node.input)
    return first * second


def _or(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    first, second = (of.poly(name) for name in node.input)
    return first + second - first * second


def _xor(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    first, second = (of.poly(name) for name in node.input)
    return first + second - (first * second).scaled(2.0)


def _where(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    condition, yes, no = (of.poly(name) for name in node.input)
    if not is_logical(condition):
        return None
    if condition.time < no.time:
        condition = of.settled(condition)
    result = condition * yes + (Poly.constant(1.0) - condition) * no
    return None if result.too_large else result


def _cast(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    target = next(a.i for a in node.attribute if a.name == "to")
    poly = of.poly(node.input[0])
    whole = is_logical(poly) or _counts(poly) is not None
    if target in _FLOATS or whole:
        return poly
    found = scaled_state(poly)
    if found is None or target == TensorProto.BOOL:
        return None
    state, factor = found
    return count(of, state, 1.0 / factor)


def _cast_like(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    return of.poly(node.input[0])


def scaled_state(poly: Poly) -> tuple[State, float] | None:
    """Return the state of which a polynomial is a positive multiple."""
    if len(poly.terms) != 1:
        return None
    ((product, c),) = poly.terms.items()
    if len(product) != 1 or not isinstance(product[0], State) or not isinstance(c, float):
        return None
    return (product[0], c) if c > 0 else None


def count(of: Interpreter, state: State, divisor: float, most: int = 0) -> Poly:
    """Return how often a state holds a divisor; 0 for ``most`` means without limit."""
    key = ("count", state.number, f"{divisor:.7g}", most)
    return Poly.of(of.atom(key, lambda: Count(state.time, "", state, divisor, most)))


def _counts(poly: Poly) -> Count | None:
    atom = poly.single
    return atom if isinstance(atom, Count) else None


def _floor(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    found = scaled_state(of.poly(node.input[0]))
    return None if found is None else count(of, found[0], 1.0 / found[1])


def _equal(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    poly, other = of.poly(node.input[0]), of.poly(node.input[1])
    if not other.is_constant:
        poly, other = other, poly
    if not other.is_constant:
        return None
    value, atom = other.coefficient(), poly.single
    if isinstance(atom, Count) and value == 0.0:
        threshold = Poly.constant(atom.divisor)
        return Poly.constant(1.0) - of.spike(atom.state, threshold, on_equal=True)
    if not (len(poly.terms) == 1 and is_logical(poly)):
        return None
    if value == 0.0:
        return Poly.constant(1.0) - poly
    return poly if value == 1.0 else None


def bounds_of(of: Interpreter, node: onnx.NodeProto) -> tuple[str, Poly | None, Poly | None]:
    """Return the bounded value's name and its bounds (lower, upper)."""
    if node.op_type == "Relu":
        return node.input[0], Poly.constant(0.0), None
    if node.op_type == "Clip":
        low, high = (
            of.poly(node.input[k]) if len(node.input) > k and node.input[k] else None
            for k in (1, 2)
        )
        return node.input[0], low, high
    names = sorted(node.input, key=of.is_constant)
    bound = of.poly(names[1]) if len(names) == 2 else None
    if bound is None or not bound.is_constant:
        return "", None, None
    return (names[0], bound, None) if node.op_type == "Max" else (names[0], None, bound)


def _bound(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    name, low, high = bounds_of(of, node)
    if not name or of.is_constant(name):
        return None
    poly = of.poly(name)
    if high is not None and float(np.min(high.coefficient())) >= _NO_BOUND:
        high = None
    counted = _counts(poly)
    if counted is not None and high is not None:
        most = high.coefficient()
        fits = isinstance(most, float) and (low is None or low.coefficient() == 0.0)
        return count(of, counted.state, counted.divisor, int(most)) if fits else None
    if is_logical(poly) and len(poly.terms) == 1 and isinstance(poly.single, Spike):
        return poly
    if high is not None or low is None or not low.is_constant or not is_recurrent(poly):
        return None
    smallest = low.coefficient()
    if float(np.max(smallest)) <= -_NO_BOUND:
        return poly
    key = ("bounded", poly.products(), tuple(np.ravel(smallest)))
    for known in of.candidates(key):
        if known.of.equals(poly):
            return Poly.of(known)
    made = Bounded(poly.time, node.output[0], poly, smallest)
    of.candidates(key).append(made)
    return Poly.of(made)


HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "Sum": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Neg": _negate,
    "Identity": _same,
    "Not": _not,
    "And": _and,
    "Or": _or,
    "Xor": _xor,
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Floor": _floor,
    "Equal": _equal,
    "Relu": _bound,
    "Clip": _bound,
    "Max": _bound,
    "Min": _bound,
}
