"""Elementwise arithmetic, read as polynomials."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from snnquant.frontends.onnx.recognition.interpreter import Handler, Interpreter
from snnquant.frontends.onnx.recognition.mixtures import is_recurrent, state_of
from snnquant.frontends.onnx.recognition.polynomials import Poly, reduced
from snnquant.frontends.onnx.recognition.symbols import (
    Bounded,
    Computed,
    Count,
    Pick,
    Shaped,
    Source,
    Spike,
    State,
)

_FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
)
#: Operations that give integers, of which a cast makes something else.
_WHOLE_OPS = frozenset({"ArgMax", "ArgMin", "NonZero", "Shape", "Size"})
#: Atoms that can hold another type than float32.
_FROM_OUTSIDE = (Computed, Pick, Source)
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
    same = _signed_size(first, second) or _signed_size(second, first)
    if same is not None:
        return same
    product = counted(of, first * second)
    return None if product.too_large else product


def _signed_size(sign: Poly, size: Poly) -> Poly | None:
    """Return ``x`` for ``sign(x) * relu(abs(x))``, which is how a sum pooling is exported."""
    signed, atom = sign.single, None
    if len(size.terms) == 1 and isinstance(signed, Computed) and signed.node.op_type == "Sign":
        ((product, factor),) = size.terms.items()
        atom = product[0] if len(product) == 1 else None
        while isinstance(atom, Computed) and atom.node.op_type in ("Relu", "Abs"):
            inner = atom.operands[0]
            if inner.equals(signed.operands[0]) and atom.node.op_type == "Abs":
                return Poly(dict(inner.terms)).scaled(factor)
            atom = inner.single
    return None


def _power(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    exponent = of.poly(node.input[1])
    return of.poly(node.input[0]) if exponent.equals(Poly.constant(1.0)) else None


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
    if any(isinstance(a, Computed) and a.node.op_type in _WHOLE_OPS for a in poly.atoms()):
        return None
    kind = of.facts.kinds.get(node.input[0], TensorProto.FLOAT)
    if kind != TensorProto.FLOAT and any(isinstance(a, _FROM_OUTSIDE) for a in poly.atoms()):
        return None  # whole numbers, or an input in float64: what follows needs the cast
    if target in _FLOATS or is_logical(poly) or isinstance(poly.single, Count):
        return poly
    found = state_of(poly)
    if found is None or target == TensorProto.BOOL or found[1] <= 0 or found[2] != 0:
        return None
    return shaped(of, found[0], found[1], "floor_abs")


def _cast_like(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    kinds = {of.facts.kinds.get(name, TensorProto.FLOAT) for name in node.input}
    return of.poly(node.input[0]) if kinds <= {TensorProto.FLOAT} else None


def shaped(of: Interpreter, state: State, factor: float, shape: str, most: int = 0) -> Poly:
    """Return a state on its way to a count."""
    key = ("shaped", state.number, f"{factor:.7g}", shape, most)
    return Poly.of(of.atom(key, lambda: Shaped(state.time, "", state, factor, shape, most)))


def count(
    of: Interpreter, state: State, divisor: float, offset: float = 0.0, most: int = 0
) -> Poly:
    """Return how often a state holds a divisor; 0 for ``most`` means without limit."""
    key = ("count", state.number, f"{divisor:.7g}", f"{offset:.7g}", most)
    return Poly.of(of.atom(key, lambda: Count(state.time, "", state, divisor, offset, most)))


def counted(of: Interpreter, poly: Poly) -> Poly:
    """Return a polynomial in which whole parts of positive states are counts."""
    result = poly
    for product, c in poly.terms.items():
        positive = {
            atom.state: atom
            for atom in product
            if isinstance(atom, Spike) and not atom.threshold.terms and not atom.on_equal
        }
        for part in product:
            if not isinstance(part, (Shaped, Count)) or part.state not in positive:
                continue
            if isinstance(part, Shaped) and part.shape == "floor_abs":
                whole = count(of, part.state, 1.0 / part.factor)
            elif isinstance(part, Count) and part.divisor > part.offset:
                whole = Poly.of(part)  # a positive count tells that the state is positive
            else:
                continue
            rest = tuple(a for a in product if a not in (part, positive[part.state]))
            result = result.without(product) + Poly({rest: c}) * whole
            break
    return result


def _absolute(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    found = state_of(of.poly(node.input[0]))
    if found is None or found[2] != 0:
        return None
    return shaped(of, found[0], abs(found[1]), "abs")


def _floor(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    poly = of.poly(node.input[0])
    atom, found = poly.single, state_of(poly)
    if isinstance(atom, Shaped) and atom.shape == "abs":
        return shaped(of, atom.state, atom.factor, "floor_abs")
    if isinstance(atom, Shaped) and atom.shape == "clipped":
        return count(of, atom.state, 1.0 / atom.factor, 0.0, atom.most)
    if isinstance(atom, Bounded) and not np.any(np.asarray(atom.low)):
        whole = state_of(atom.of)
        if whole is not None and whole[1] > 0 and whole[2] == 0:
            return count(of, whole[0], 1.0 / whole[1])
    if found is not None and found[1] > 0:
        return shaped(of, found[0], found[1], "floor", 0) if found[2] == 0 else None
    return None


def _ceil(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    found = state_of(of.poly(node.input[0]))
    if found is None or found[1] <= 0 or found[2] != 0:
        return None
    return shaped(of, found[0], found[1], "ceil")


def _round(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    atom = of.poly(node.input[0]).single
    if isinstance(atom, Shaped) and atom.shape == "clipped":
        # Rounding up from the half: at the half itself ONNX rounds to even.
        return count(of, atom.state, 1.0 / atom.factor, 0.5 / atom.factor, atom.most)
    return None


def _equal(of: Interpreter, node: onnx.NodeProto) -> Poly | None:
    poly, other = of.poly(node.input[0]), of.poly(node.input[1])
    if not other.is_constant:
        poly, other = other, poly
    if not other.is_constant:
        return None
    value, atom = other.coefficient(), poly.single
    if isinstance(atom, Count) and value == 0.0:
        threshold = Poly.constant(atom.divisor - atom.offset)
        return Poly.constant(1.0) - of.spike(atom.state, threshold, on_equal=True)
    state = state_of(poly)
    if state is not None and isinstance(value, float) and state[1] > 0:
        # At the threshold is what reaches it and is not above it.
        threshold = Poly.constant((value - state[2]) / state[1])
        above = of.spike(state[0], threshold, on_equal=False)
        return of.spike(state[0], threshold, on_equal=True) - above
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
    most = None if high is None else high.coefficient()
    if isinstance(most, float) and most.is_integer() and most > 0:
        return _limited(of, poly, low, int(most))
    atom = poly.single
    if is_logical(poly) and isinstance(atom, Spike):
        return poly
    from_zero = high is None and low is not None and not low.terms
    if from_zero and isinstance(atom, Shaped) and atom.shape == "floor":
        return count(of, atom.state, 1.0 / atom.factor)
    if high is not None or low is None or not low.is_constant or not is_recurrent(poly):
        return None
    # A bound on `v + c` is a bound on v.
    constant = poly.coefficient()
    membrane = of.settled(poly.without(()))
    smallest = reduced(np.subtract(low.coefficient(), constant))
    if float(np.max(smallest)) <= -_NO_BOUND:
        return poly
    key = ("bounded", membrane.products(), tuple(np.ravel(smallest)))
    for known in of.candidates(key):
        if known.of.equals(membrane):
            return Poly.of(known) + Poly.constant(constant)
    made = Bounded(membrane.time, "", membrane, smallest)
    of.candidates(key).append(made)
    return Poly.of(made) + Poly.constant(constant)


def _limited(of: Interpreter, poly: Poly, low: Poly | None, most: int) -> Poly | None:
    """Return a count that is limited, or a membrane that is clipped to become one."""
    atom, found = poly.single, state_of(poly)
    from_zero = low is not None and not low.terms
    if isinstance(atom, Count) and (low is None or from_zero):
        return count(of, atom.state, atom.divisor, atom.offset, most)
    if isinstance(atom, Spike):
        return poly
    if isinstance(atom, Shaped) and atom.shape == "floor" and from_zero:
        return count(of, atom.state, 1.0 / atom.factor, 0.0, most)
    if isinstance(atom, Shaped) and atom.shape == "ceil" and from_zero and most == 1:
        return of.spike(atom.state, Poly.constant(0.0), on_equal=False)
    if found is not None and from_zero and found[1] > 0 and found[2] == 0:
        return shaped(of, found[0], found[1], "clipped", most)
    return None


HANDLERS: dict[str, Handler] = {
    "Add": _add,
    "Sum": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Pow": _power,
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
    "Ceil": _ceil,
    "Round": _round,
    "Abs": _absolute,
    "Equal": _equal,
    "Relu": _bound,
    "Clip": _bound,
    "Max": _bound,
    "Min": _bound,
}
