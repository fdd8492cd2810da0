"""The atoms of which values of an unrolled graph are made.

Two atoms are the same atom if and only if they are the same object; the interpreter makes each only
once. ``time`` is the step to which an atom belongs: ``STATIC`` where the value is the same at every
step, -1 for states that come from outside.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from snnquant.frontends.onnx.recognition.polynomials import Coefficient, Poly

#: Time of a value that does not depend on the step.
STATIC = -(2**31)
_numbers = itertools.count()


@dataclass(eq=False)
class Atom:
    """One symbol; ``value`` is the name of a value in the source graph that holds it.

    Attributes:
        time: step to which it belongs.
        value: name of a value of the source that it stands for ("" if there is none).
        number: order of creation, for a canonical order of products.
    """

    time: int
    value: str
    number: int = field(default_factory=lambda: next(_numbers), init=False)

    #: The atom is 0 or 1, so that its square is itself.
    binary = False
    #: Atoms that are 1 wherever this one is: the product with them is this one.
    implied: frozenset[Atom] = field(default=frozenset(), init=False)


@dataclass(frozen=True)
class Constant:
    """A constant input of an operation, known by its content: names are no identity."""

    array: npt.NDArray[Any]
    digest: str

    @staticmethod
    def of(value: Any) -> Constant:
        """Return an array with the digest of its type, shape and content."""
        array = np.asarray(value)
        head = f"{array.dtype.str}{array.shape}".encode()
        content = np.ascontiguousarray(array).tobytes()
        return Constant(array, hashlib.sha256(head + content).hexdigest())


@dataclass(eq=False)
class Source(Atom):
    """A graph input, or one step of it in a graph that was written out from single steps."""

    name: str = ""


@dataclass(eq=False)
class Pick(Atom):
    """One place of a value along an axis, which the graph picks step by step: ``of[k]``."""

    of: Any = None
    axis: int = 0
    index: int = 0


@dataclass(eq=False)
class Computed(Atom):
    """What an operation gives that is not elementwise arithmetic: a synapse, a pooling, a view.

    Attributes:
        node: the operation, whose attributes count.
        operands: its inputs: polynomials, constants, or None where left out.
        output: which output of the node.
    """

    node: Any = None
    operands: tuple[Operand, ...] = ()
    output: int = 0


@dataclass(eq=False)
class Stack(Atom):
    """Values of several steps along a new axis."""

    axis: int = 0
    entries: tuple[Poly, ...] = ()


@dataclass(eq=False)
class State(Atom):
    """A value that goes on to a later step, or that is compared with a threshold.

    Attributes:
        definition: what it is, in atoms of its own and of the step before.
        spikes: the comparisons of it.
        follows: the same state one step before, once it is known.
        later: the same state one step later, once it is known.
    """

    definition: Any = None
    spikes: list[Spike] = field(default_factory=list)
    follows: State | None = None
    later: State | None = None


@dataclass(eq=False)
class Spike(Atom):
    """1 where a state is above its threshold, else 0.

    Attributes:
        state: the membrane.
        threshold: constant, or a polynomial of states.
        on_equal: 1 at the threshold too.
    """

    state: Any = None
    threshold: Any = None
    on_equal: bool = False

    binary = True


@dataclass(eq=False)
class Count(Atom):
    """How often a state holds ``divisor``: ``clip(floor((state + offset) / divisor), 0, most)``.

    ``most`` is 0 where there is no limit.
    """

    state: Any = None
    divisor: float = 1.0
    offset: float = 0.0
    most: int = 0


@dataclass(eq=False)
class Shaped(Atom):
    """A state on its way to a count of spikes.

    Attributes:
        state: the membrane.
        factor: number by which it was multiplied.
        shape: ``abs``, ``floor``, ``ceil``, ``floor_abs`` (also for values cut off toward 0), or
            ``clipped`` to ``0..most``.
        most: upper bound of what is clipped.
    """

    state: Any = None
    factor: float = 1.0
    shape: str = "abs"
    most: int = 0


@dataclass(eq=False)
class Bounded(Atom):
    """``max(of, low)`` of a polynomial of states."""

    of: Any = None
    low: Coefficient = 0.0


#: Input of an operation: a polynomial, a constant, or None where it is left out.
Operand = Any
