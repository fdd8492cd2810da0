"""Write the rolled-up graph: synapses once over ``[T*B, ...]``, neurons over ``[T, B, ...]``.

Every value exists in up to three forms: as it is where it belongs to no step, as a sequence
``[T, B, ...]``, and as that sequence with time folded into the batch. Each is made on demand.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chains
from snnquant.frontends.onnx.recognition.facts import Shape
from snnquant.frontends.onnx.recognition.polynomials import Coefficient, Poly
from snnquant.frontends.onnx.recognition.symbols import (
    STATIC,
    Atom,
    Bounded,
    Computed,
    Constant,
    Count,
    Operand,
    Pick,
    Source,
    Spike,
    Stack,
    State,
)
from snnquant.frontends.onnx.rolling.graph_builder import GraphBuilder
from snnquant.frontends.onnx.rolling.operations import fold_operation, plain_operation
from snnquant.frontends.onnx.rolling.shapes import Shapes

#: Gives the tensor ``[T, B, ...]`` of a state or of spikes.
Recurrent = Callable[[Atom], str]


class Rolled:
    """The rolled-up graph under construction.

    Args:
        chains: the interpreted graph.
        builder: where nodes go.
        steps: number of time steps.
        recurrent: gives the sequences of states and spikes: it writes the neurons.
        readable: tells silent states that have a sequence; others are written as sums of steps.
    """

    def __init__(
        self,
        chains: Chains,
        builder: GraphBuilder,
        steps: int,
        recurrent: Recurrent,
        readable: Callable[[State], bool] = lambda state: True,
    ) -> None:
        self.chains = chains
        self.builder = builder
        self.steps = steps
        self.shapes = Shapes(chains.values.facts)
        self._recurrent = recurrent
        self._readable = readable
        self._static: dict[Atom, str] = {}
        self._timed: dict[Atom, str] = {}
        self._merged: dict[Atom, str] = {}
        self._form: dict[str, str] = {}

    def static(self, poly: Poly) -> str:
        """Return a value that belongs to no step, or that is of one step only, as ``[B, ...]``."""
        poly = poly.replaced(self._as_sum)
        atom = poly.single
        if atom is not None:
            return self._static_atom(atom)
        return self._arithmetic(poly, self._static_atom)

    def _as_sum(self, atom: Atom) -> Poly | None:
        """Return what a state without a sequence of its own is at its step, in values that have."""
        if not isinstance(atom, State):
            return None
        if atom in self.chains.thresholds:
            return self.chains.opened(Poly.of(atom), thresholds=True)
        if self.chains.opens(atom) and not self._readable(atom):
            return self.chains.opened(Poly.of(atom))
        return None

    def timed(self, poly: Poly, time: int) -> str:
        """Return the sequence ``[T, B, ...]`` of what a polynomial is at a step.

        Args:
            poly: the value at step ``time``, of atoms of that step.
            time: the step.
        """
        atom = poly.single
        if atom is not None and atom.time != STATIC:
            return self._timed_atom(atom, time)
        if poly.time == STATIC:
            return self._repeated(self.static(poly), self.shapes.of(poly))
        return self._arithmetic(poly, lambda a: self._part(a, time))

    def merged(self, poly: Poly, time: int) -> str:
        """Return the same with time folded into the batch, ``[T*B, ...]``."""
        atom = poly.single
        if isinstance(atom, Computed) and atom.time == time:
            return self._merged_atom(atom, time)
        return self.fold(self.timed(poly, time), self.shapes.features(poly))

    def fold(self, sequence: str, features: Shape) -> str:
        """Fold time into the batch."""
        known = self._form.get(sequence)
        if known is None:
            known = self.builder.reshape(sequence, [-1, *features], f"{sequence}.folded")
            self._form[sequence] = known
        return known

    def unfold(self, folded: str, features: Shape) -> str:
        """Give time its axis back."""
        sequence = self.builder.reshape(folded, [self.steps, -1, *features], f"{folded}.unfolded")
        self._form[sequence] = folded
        return sequence

    def _part(self, atom: Atom, time: int) -> str:
        """Return an atom of a sequence's arithmetic; what belongs to no step broadcasts."""
        outside = atom.time == STATIC or (isinstance(atom, Source) and atom.time < 0)
        return self._static_atom(atom) if outside else self._timed_atom(atom, time)

    def _static_atom(self, atom: Atom) -> str:
        if atom not in self._static:
            self._static[atom] = self._new_static(atom)
        return self._static[atom]

    def _new_static(self, atom: Atom) -> str:
        if isinstance(atom, Source):
            return atom.name
        if isinstance(atom, Stack):
            return self._stacked(atom)
        if atom.time != STATIC and not self._is_of_no_step(atom):
            return self._step_of(atom)
        if isinstance(atom, Pick):
            index = self.builder.constant(np.asarray(atom.index, np.int64), "index")
            source = self.static(atom.of)
            return self.builder.add("Gather", [source, index], self._hint(atom), axis=atom.axis)
        if isinstance(atom, Computed):
            return plain_operation(self, atom, self._operand)
        raise ModelError(f"{type(atom).__name__} '{atom.value}' cannot stand outside of time")

    def _is_of_no_step(self, atom: Atom) -> bool:
        """Whether an operation takes values of several steps, or gives one without a batch."""
        if not isinstance(atom, Computed):
            return False
        shape = self.shapes.of_atom(atom)
        return _joins_steps(atom) or shape[:1] != (self.chains.values.facts.batch,)

    def _operand(self, operand: Operand, hint: str) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Constant):
            return self.builder.constant(operand, hint)
        return self.static(operand)

    def _step_of(self, atom: Atom) -> str:
        """Return one step of a sequence."""
        sequence = self._timed_atom(atom, atom.time)
        index = self.builder.constant(np.asarray(atom.time, np.int64), "step")
        return self.builder.add("Gather", [sequence, index], f"{sequence}.step", axis=0)

    def _timed_atom(self, atom: Atom, time: int) -> str:
        if atom.time == time - 1 and isinstance(atom, (State, Spike, Count)):
            return self._one_step_late(self._timed_atom(atom, atom.time))
        if atom.time != time:
            raise ModelError(
                f"'{atom.value or self._hint(atom)}' of step {atom.time} is used at step {time}; "
                "connections that look back are understood only from a layer to itself"
            )
        if atom not in self._timed:
            self._timed[atom] = self._new_timed(atom, time)
        return self._timed[atom]

    def _one_step_late(self, sequence: str) -> str:
        """Return a sequence that starts with zeros and ends before the last step."""
        bounds = [self.builder.integers([k], "bound") for k in (0, 1, -1)]
        first = self.builder.add("Slice", [sequence, bounds[0], bounds[1], bounds[0]], "first")
        zero = self.builder.constant(np.asarray(0.0, np.float32), "zero")
        start = self.builder.add("Mul", [first, zero], f"{sequence}.start")
        rest = self.builder.add(
            "Slice", [sequence, bounds[0], bounds[2], bounds[0]], f"{sequence}.before_last"
        )
        return self.builder.add("Concat", [start, rest], f"{sequence}.late", axis=0)

    def _new_timed(self, atom: Atom, time: int) -> str:
        if isinstance(atom, (State, Spike, Count)):
            return self._recurrent(atom)
        if isinstance(atom, Bounded):
            low = self.builder.constant(np.asarray(atom.low, np.float32), "lower_bound")
            return self.builder.add("Max", [self.timed(atom.of, time), low], self._hint(atom))
        if isinstance(atom, Pick) and atom.of.time == STATIC:
            return self._sequence_of(atom)
        if isinstance(atom, Source):
            axes = self.builder.integers([0], "time_axis")
            return self.builder.add("Unsqueeze", [atom.name, axes], f"{atom.name}.step")
        if isinstance(atom, (Pick, Computed)):
            return self.unfold(self._merged_atom(atom, time), self.shapes.features(Poly.of(atom)))
        raise ModelError(f"{type(atom).__name__} '{atom.value}' has no sequence")

    def _merged_atom(self, atom: Atom, time: int) -> str:
        if atom not in self._merged:
            if isinstance(atom, Computed):
                self._merged[atom] = fold_operation(self, atom, time)
            elif isinstance(atom, Pick) and atom.of.time == time:
                index = self.builder.constant(np.asarray(atom.index, np.int64), "index")
                source = self.merged(atom.of, time)
                self._merged[atom] = self.builder.add(
                    "Gather", [source, index], self._hint(atom), axis=atom.axis
                )
            else:
                self._merged[atom] = self.fold(
                    self._timed_atom(atom, time), self.shapes.features(Poly.of(atom))
                )
        return self._merged[atom]

    def _sequence_of(self, atom: Pick) -> str:
        """Return the value of which the graph picks the steps, time first."""
        value = self.static(atom.of)
        rank = len(self.shapes.of(atom.of))
        if atom.axis != 0:
            order = [atom.axis, *(k for k in range(rank) if k != atom.axis)]
            value = self.builder.add("Transpose", [value], f"{value}.time_first", perm=order)
        return value

    def _stacked(self, atom: Stack) -> str:
        """Return values of several steps along an axis."""
        entries = atom.entries
        template, time = entries[-1], entries[-1].time
        start = entries[0].time
        alike = all(
            (moved := self.chains.shift(template, k - len(entries) + 1)) is not None
            and self.chains.opened(moved).equals(self.chains.opened(entry), 1e-5)
            for k, entry in enumerate(entries[:-1])
        )
        if not alike:
            parts = [
                self.builder.add(
                    "Unsqueeze",
                    [self.static(entry), self.builder.integers([atom.axis], "axes")],
                    "step",
                )
                for entry in entries
            ]
            return self.builder.add("Concat", parts, "steps", axis=atom.axis)
        sequence = self.timed(template, time)
        if len(entries) != self.steps:
            bounds = [self.builder.integers([k], "bound") for k in (start, start + len(entries), 0)]
            sequence = self.builder.add("Slice", [sequence, *bounds], f"{sequence}.steps")
        if atom.axis == 0:
            return sequence
        rank = len(self.shapes.of(template)) + 1
        order = list(range(1, rank))
        order.insert(atom.axis, 0)
        return self.builder.add("Transpose", [sequence], f"{sequence}.batch_first", perm=order)

    def _repeated(self, value: str, shape: Shape) -> str:
        """Repeat a value at every step."""
        axes = self.builder.integers([0], "repeat.axes")
        new = self.builder.add("Unsqueeze", [value, axes], f"{value}.static")
        target = self.builder.integers([self.steps, *([1] * len(shape))], "repeat.shape")
        return self.builder.add("Expand", [new, target], f"{value}.repeated")

    def _arithmetic(self, poly: Poly, atom: Callable[[Atom], str]) -> str:
        """Write a polynomial as additions and multiplications."""
        total = ""
        for product, c in poly.terms.items():
            part = ""
            for factor in product:
                value = atom(factor)
                part = self.builder.add("Mul", [part, value], "product") if part else value
            if not part:
                continue
            if not (isinstance(c, float) and c == 1.0):
                part = self.builder.add("Mul", [part, self._coefficient(c)], f"{part}.scaled")
            total = self.builder.add("Add", [total, part], "sum") if total else part
        constant = poly.coefficient()
        if not total:
            raise ModelError("a value of the network is a constant, whatever the input")
        if np.any(np.asarray(constant)):
            total = self.builder.add("Add", [total, self._coefficient(constant)], f"{total}.biased")
        return total

    def _coefficient(self, c: Coefficient) -> str:
        return self.builder.constant(np.asarray(c, np.float32), "coefficient")

    def _hint(self, atom: Atom) -> str:
        node = self.chains.values.origin.get(atom)
        return str(node.name) if node is not None and node.name else type(atom).__name__.lower()


def _joins_steps(atom: Atom) -> bool:
    """Whether an operation takes values of several steps, such as the larger of two steps."""
    if not isinstance(atom, Computed):
        return False
    operands = [operand for operand in atom.operands if isinstance(operand, Poly)]
    return any(o.time not in (STATIC, atom.time) or _joins_steps_within(o) for o in operands)


def _joins_steps_within(poly: Poly) -> bool:
    atom = poly.single
    return atom is not None and _joins_steps(atom)
