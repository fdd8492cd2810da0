"""Inputs that earlier spikes of a neuron block: its refractory time."""

from __future__ import annotations

from snnquant.frontends.onnx.recognition.chains import Chains
from snnquant.frontends.onnx.recognition.polynomials import Coefficient, Poly, Product
from snnquant.frontends.onnx.recognition.symbols import State


def unblocked(seen: Poly, state: State, chains: Chains) -> tuple[Poly, int]:
    """Return what a membrane sees if no spike before the last blocks it, and how many steps do.

    A neuron that is blocked for several steps sees ``x*(1 - s[t-2])*(1 - s[t-3])...`` where its
    last spike is not counted.

    Args:
        seen: currents and their constant.
        state: the membrane.
        chains: tells its earlier spikes.
    """
    steps = 0
    earlier = state.follows.follows if state.follows is not None else None
    while earlier is not None:
        there = {atom for product in seen.terms for atom in product}
        spikes = [spike for spike in chains.spikes_of(earlier) if spike in there]
        if len(spikes) != 1:
            break
        (spike,) = spikes
        blocked: dict[Product, Coefficient] = {
            tuple(a for a in product if a is not spike): c
            for product, c in seen.terms.items()
            if spike in product
        }
        free = Poly({product: c for product, c in seen.terms.items() if spike not in product})
        minus = free.scaled(-1.0)
        if not Poly(blocked).equals(minus) and not Poly(blocked).equals(minus.without(())):
            break
        seen, earlier, steps = free, earlier.follows, steps + 1
    return seen, steps
