"""Shapes of polynomials over atoms."""

from __future__ import annotations

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.facts import Facts, Shape
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.symbols import Atom, Bounded, Pick, Spike, State


class Shapes:
    """Shapes of values at one step, for the batch size of the facts.

    Args:
        facts: shapes of the source's values.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def of(self, poly: Poly) -> Shape:
        """Return the shape of a polynomial: of its atoms and coefficients, broadcast.

        Raises:
            ModelError: an atom's shape is unknown.
        """
        parts: list[Shape] = [self.of_atom(atom) for atom in poly.atoms()]
        parts += [np.shape(c) for c in poly.terms.values()]
        try:
            return np.broadcast_shapes(*parts)
        except ValueError as error:
            raise ModelError("values of different shapes are added up") from error

    def features(self, poly: Poly) -> Shape:
        """Return the shape of a value ``[B, ...]`` without its batch axis.

        Raises:
            ModelError: the first axis is not the batch, or another depends on it.
        """
        shape = self.of(poly)
        if not shape or shape[0] != self._facts.batch:
            raise ModelError(
                f"a value of one step has shape {list(shape)} where [batch, ...] was expected; "
                "keep the batch in front"
            )
        return shape[1:]

    def of_atom(self, atom: Atom) -> Shape:
        """Return the shape of an atom."""
        known = self._facts.shapes.get(atom.value)
        if known is not None and atom.value:
            return known
        if isinstance(atom, Pick):
            shape = self.of(atom.of)
            return shape[: atom.axis] + shape[atom.axis + 1 :]
        if isinstance(atom, State):
            return self.of(atom.definition)
        if isinstance(atom, Bounded):
            return self.of(atom.of)
        if isinstance(atom, Spike) or hasattr(atom, "state"):
            return self.of_atom(atom.state)
        raise ModelError(f"the shape of {type(atom).__name__} '{atom.value}' is unknown")
