"""Polynomials over atoms: what elementwise arithmetic makes of values, whatever its spelling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from snnquant.frontends.onnx.recognition.symbols import STATIC, Atom

Coefficient = float | npt.NDArray[np.float64]
Product = tuple[Atom, ...]

#: Relative difference up to which coefficients are the same number: float32 constants, rounded in
#: another order, differ by a few units in 2**-24.
TOLERANCE = 2e-6
#: Share of two terms below which their sum is rounding. A small constant is none by itself.
_CANCELLED = 1e-9
#: The same beside terms of float32 that cancelled.
_ROUNDING = 4e-7
#: A product of more atoms, or a sum of more products, is left as an operation.
MAX_DEGREE = 4
MAX_TERMS = 64


def reduced(value: Any) -> Coefficient:
    """Return a constant as a number, or as the smallest array that broadcasts to the same."""
    array = np.asarray(value, np.float64)
    if array.size and (array == array.flat[0]).all():
        return float(array.flat[0])
    for axis in range(array.ndim):
        first = array.take([0], axis=axis)
        if array.shape[axis] > 1 and (array == first).all():
            array = first
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return array


def same(a: Coefficient, b: Coefficient, tolerance: float = TOLERANCE) -> bool:
    """Whether two coefficients are equal to within float32 rounding."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= tolerance * max(abs(a), abs(b)) + 1e-9
    try:
        return bool(np.allclose(a, b, rtol=tolerance, atol=1e-9))
    except ValueError:
        return False


def is_zero(a: Coefficient) -> bool:
    """Whether a coefficient is 0 to within rounding."""
    return abs(a) < 1e-9 if isinstance(a, float) else bool((np.abs(a) < 1e-9).all())


class Poly:
    """A sum of products of atoms with constant coefficients; immutable."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Product, Coefficient]) -> None:
        self.terms = {product: c for product, c in terms.items() if np.any(c)}

    @staticmethod
    def constant(value: Any) -> Poly:
        """Return a constant."""
        return Poly({(): reduced(value)})

    @staticmethod
    def of(atom: Atom) -> Poly:
        """Return one atom."""
        return Poly({(atom,): 1.0})

    def __add__(self, other: Poly) -> Poly:
        terms = dict(self.terms)
        for product, c in other.terms.items():
            terms[product] = sum_of(terms[product], c) if product in terms else c
        return Poly(terms)

    def __sub__(self, other: Poly) -> Poly:
        return self + other.scaled(-1.0)

    def minus(self, other: Poly) -> Poly:
        """Return the difference, without what is only rounding of terms that cancelled."""
        terms = dict(self.terms)
        for product, c in other.terms.items():
            before = terms.get(product, 0.0)
            after = sum_of(before, product_of(c, -1.0))
            size = float(np.abs(np.asarray(c)).max())
            terms[product] = 0.0 if is_zero_beside(after, 0.0, 5 * size) else after
        return Poly(terms)

    def scaled(self, factor: Coefficient) -> Poly:
        """Return the polynomial times a constant."""
        return Poly({product: product_of(c, factor) for product, c in self.terms.items()})

    def __mul__(self, other: Poly) -> Poly:
        terms: dict[Product, Coefficient] = {}
        for first, a in self.terms.items():
            for second, b in other.terms.items():
                product, c = joined(first, second), product_of(a, b)
                terms[product] = sum_of(terms[product], c) if product in terms else c
        return Poly(terms)

    def coefficient(self, *atoms: Atom) -> Coefficient:
        """Return the coefficient of a product (of no atoms: the constant)."""
        return self.terms.get(joined(atoms, ()), 0.0)

    def without(self, *products: Product) -> Poly:
        """Return the polynomial without some products."""
        return Poly({p: c for p, c in self.terms.items() if p not in products})

    def only(self, keep: Callable[[Product], bool]) -> Poly:
        """Return the products for which ``keep`` is true."""
        return Poly({p: c for p, c in self.terms.items() if keep(p)})

    def replaced(self, replace: Callable[[Atom], Poly | None]) -> Poly:
        """Return the polynomial with atoms replaced by polynomials (None: kept)."""
        total = Poly({})
        kept: dict[Product, Coefficient] = {}
        for product, c in self.terms.items():
            new = [replace(atom) for atom in product]
            if all(n is None for n in new):
                kept[product] = c
                continue
            part = Poly({(): c})
            for atom, n in zip(product, new, strict=True):
                part = part * (Poly.of(atom) if n is None else n)
            total = total + part
        return Poly(kept) + total

    def atoms(self) -> set[Atom]:
        """Return all atoms."""
        return {atom for product in self.terms for atom in product}

    @property
    def is_constant(self) -> bool:
        """Whether there is no atom."""
        return all(not product for product in self.terms)

    @property
    def single(self) -> Atom | None:
        """The atom, if the polynomial is one atom and nothing else."""
        if len(self.terms) != 1:
            return None
        ((product, c),) = self.terms.items()
        return product[0] if len(product) == 1 and isinstance(c, float) and c == 1.0 else None

    @property
    def time(self) -> int:
        """The latest step of any atom."""
        return max((atom.time for atom in self.atoms()), default=STATIC)

    @property
    def too_large(self) -> bool:
        """Whether the polynomial is better left as an operation."""
        return len(self.terms) > MAX_TERMS or any(len(p) > MAX_DEGREE for p in self.terms)

    def products(self) -> frozenset[tuple[int, ...]]:
        """Return which products there are, as a key under which to look for equal polynomials."""
        return frozenset(tuple(a.number for a in product) for product in self.terms)

    def equals(self, other: Poly, tolerance: float = TOLERANCE) -> bool:
        """Whether two polynomials are equal to within rounding of their coefficients."""
        if len(self.terms) == len(other.terms) == 1:
            # Among thousands of multiples of one value this is what takes the time.
            ((first, c),), ((second, d),) = self.terms.items(), other.terms.items()
            if first == second and isinstance(c, float) and isinstance(d, float):
                return same(c, d, tolerance) or abs(c - d) <= _ROUNDING * abs(c)
        scale = max((float(np.abs(c).max()) for c in self.terms.values()), default=0.0)
        for product in self.terms.keys() | other.terms.keys():
            a, b = self.terms.get(product, 0.0), other.terms.get(product, 0.0)
            if not same(a, b, tolerance) and not is_zero_beside(a, b, scale):
                return False
        return True

    def __repr__(self) -> str:
        return " + ".join(
            f"{c if isinstance(c, float) else f'[{c.size}]'}"
            + "".join(f"*{type(a).__name__}{a.number}@{a.time}" for a in product)
            for product, c in self.terms.items()
        )


def total_of(polys: Iterable[Poly]) -> Poly:
    """Return the sum of many polynomials."""
    terms: dict[Product, Coefficient] = {}
    for poly in polys:
        for product, c in poly.terms.items():
            terms[product] = sum_of(terms[product], c) if product in terms else c
    return Poly(terms)


def is_zero_beside(a: Coefficient, b: Coefficient, scale: float) -> bool:
    """Whether two coefficients differ by rounding of terms of size ``scale`` that cancelled."""
    try:
        return bool((np.abs(np.asarray(a) - np.asarray(b)) <= _ROUNDING * scale).all())
    except ValueError:
        return False


def sum_of(a: Coefficient, b: Coefficient) -> Coefficient:
    """Return the sum of two coefficients; what is left where they cancel is 0."""
    if isinstance(a, float) and isinstance(b, float):
        total = a + b
        return 0.0 if abs(total) <= _CANCELLED * max(abs(a), abs(b)) else total
    sums = np.add(a, b)
    size = _CANCELLED * np.maximum(np.abs(a), np.abs(b))
    return reduced(np.where(np.abs(sums) <= size, 0.0, sums))


def product_of(a: Coefficient, b: Coefficient) -> Coefficient:
    """Return the product of two coefficients."""
    return a * b if isinstance(a, float) and isinstance(b, float) else reduced(np.multiply(a, b))


def quotient(a: Coefficient, b: Coefficient) -> Coefficient:
    """Return a quotient of coefficients, 0 where the divisor is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return reduced(np.where(np.asarray(b) == 0, 0.0, np.divide(a, b)))


def plus(a: Coefficient, b: Any) -> Coefficient:
    """Return the sum of a coefficient and any array."""
    return reduced(np.add(a, b))


def times(a: Coefficient, b: Any) -> Coefficient:
    """Return the product of a coefficient and any array."""
    return reduced(np.multiply(a, b))


def joined(first: Iterable[Atom], second: Iterable[Atom]) -> Product:
    """Return the product of two products, in canonical order; a 0-or-1 atom squared is itself."""
    atoms = [*first, *second]
    if len(atoms) < 2:
        return tuple(atoms)
    kept: list[Atom] = []
    for atom in atoms:
        if not (atom.binary and atom in kept):
            kept.append(atom)
    if any(atom.implied for atom in kept):
        kept = [atom for atom in kept if not any(atom in other.implied for other in kept)]
    return tuple(sorted(kept, key=lambda atom: atom.number))
