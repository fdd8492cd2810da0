"""Take silent states apart: what a value is in currents, spikes and compared membranes alone.

Exporters and frameworks name the inner values of a filter at any point of the loop, or not at all;
written in what goes in and what fires, all of them are the same sums.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from snnquant.frontends.onnx.recognition.polynomials import (
    Coefficient,
    Poly,
    Product,
    joined,
    product_of,
    sum_of,
)
from snnquant.frontends.onnx.recognition.symbols import State

#: Share of what was added up below which a sum is rounding of terms that cancelled.
CANCELLED = 4e-7


def flattened(poly: Poly, opens: Callable[[State], bool]) -> Poly:
    """Return a polynomial in which states are replaced by what they are, down to the first step.

    Each state is taken apart once, the latest first, so that this is linear in the size of all
    definitions together.

    Args:
        poly: any polynomial.
        opens: tells the states to take apart.
    """
    if not any(isinstance(a, State) and opens(a) for a in poly.atoms()):
        return poly
    terms: dict[Product, Coefficient] = {}
    mass: dict[Product, float] = defaultdict(float)
    holding: dict[State, set[Product]] = {}
    pending: list[tuple[int, State]] = []

    def add(product: Product, c: Coefficient) -> None:
        terms[product] = sum_of(terms[product], c) if product in terms else c
        mass[product] += abs(c) if isinstance(c, float) else float(np.abs(c).max())
        for atom in product:
            if isinstance(atom, State) and opens(atom):
                if atom not in holding:
                    holding[atom] = set()
                    heapq.heappush(pending, (-atom.number, atom))
                holding[atom].add(product)

    for product, c in poly.terms.items():
        add(product, c)
    while pending:
        _, state = heapq.heappop(pending)
        while products := holding.get(state):
            product = products.pop()
            if product not in terms:
                continue
            c = terms.pop(product)
            rest = list(product)
            rest.remove(state)
            for inner, factor in state.definition.terms.items():
                add(joined(rest, inner), product_of(c, factor))
        holding.pop(state, None)
    return Poly({p: c for p, c in terms.items() if not _rounding(c, mass[p])})


def _rounding(c: Coefficient, mass: float) -> bool:
    size = abs(c) if isinstance(c, float) else float(np.abs(c).max())
    return size <= CANCELLED * mass
