"""Walk an unrolled graph once and read every value as a polynomial over atoms.

What is elementwise arithmetic becomes polynomials, so that its spelling does not matter; synapses,
poolings and views become atoms; what is compared with a threshold, or carried to a later step,
becomes a state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.binary import TABULATED, is_binary, of_spikes
from snnquant.frontends.onnx.recognition.facts import Facts
from snnquant.frontends.onnx.recognition.mixtures import (
    RECURRENT,
    after_reset,
    in_spikes,
    is_mixed,
    is_stronger,
    leading,
    state_of,
    state_time,
)
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.symbols import (
    STATIC,
    Atom,
    Computed,
    Constant,
    Operand,
    Pick,
    Source,
    Spike,
    Stack,
    State,
)

#: ``handler(interpreter, node)`` returns a polynomial per output, or None: an atom of its own.
Handler = Callable[["Interpreter", onnx.NodeProto], "Poly | list[Poly] | None"]


class Interpreter:
    """The values of a graph as polynomials.

    Args:
        facts: constants and shapes.
        handlers: how operations are read, by op type; all others become atoms.
        compared: values that are compared with a threshold: they become states.
        thresholds: computed thresholds, which are of the step after what they are made of.
        steps: (value, axis) pairs of which the graph picks every place in turn.
        sources: what each input is and of which step, for graphs written out from single steps.
        spikes_stay: spikes that are compared once more stay spikes; else they are a membrane.
    """

    def __init__(
        self,
        facts: Facts,
        handlers: dict[str, Handler],
        compared: set[str],
        thresholds: set[str],
        steps: set[tuple[str, int]],
        sources: Mapping[str, tuple[str, int]] | None = None,
        *,
        spikes_stay: bool = True,
    ) -> None:
        self.facts = facts
        self.handlers = handlers
        self.compared = compared
        self.thresholds = thresholds
        self.steps = steps
        self.spikes_stay = spikes_stay
        #: Values that were compared and stayed spikes.
        self.compared_spikes: set[str] = set()
        self.values: dict[str, Poly] = {}
        self.states: list[State] = []
        self.spikes: list[Spike] = []
        self.origin: dict[Atom, onnx.NodeProto] = {}
        #: Sequences of which some steps are written: axis, and value per place.
        self.filled: dict[str, tuple[int, dict[int, Poly]]] = {}
        self._atoms: dict[Any, list[Any]] = {}
        self._named: dict[frozenset[tuple[int, ...]], list[State]] = {}
        self._sources = dict(sources or {})
        self._constants: dict[str, Constant] = {}
        self._node: onnx.NodeProto | None = None

    def run(self) -> None:
        """Read all values, in order."""
        graph = self.facts.model.graph
        for value in graph.input:
            if value.name in self.facts.data:
                base, time = self._sources.get(value.name, (value.name, STATIC))
                atom = self.atom(("source", base, time), partial(Source, time, value.name, base))
                self.set(value.name, Poly.of(atom))
        for node in graph.node:
            if any(name in self.facts.data for name in node.output):
                self._read(node)
        producers = {name: node for node in graph.node for name in node.output}
        for value in graph.output:
            self._node = producers.get(value.name)
            if value.name in self.values:
                self.values[value.name] = self.settled(self.values[value.name])

    def poly(self, name: str) -> Poly:
        """Return a value as a polynomial, constants included."""
        known = self.values.get(name)
        if known is not None:
            return known
        return Poly.constant(self.constant(name))

    def is_constant(self, name: str) -> bool:
        """Whether a value does not depend on data."""
        return name not in self.facts.data

    def constant(self, name: str) -> Any:
        """Return the array of a value that does not depend on data."""
        held = self.facts.constants.get(name)
        if held is None:
            raise ModelError(f"nothing computes '{name}'; export the model again")
        return held

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value, for the batch size of the facts."""
        found = self.facts.shapes.get(name)
        if found is None:
            raise ModelError(f"the shape of '{name}' cannot be inferred; export the model again")
        return found

    def set(self, name: str, poly: Poly) -> None:
        """Keep what a value is; what is compared becomes a state."""
        atom = poly.single
        if atom is not None and not atom.value:
            atom.value = name
        wanted = name in self.compared or name in self.thresholds
        if wanted and poly.atoms() and state_of(poly) is None and after_reset(poly) is None:
            if self.spikes_stay and is_binary(poly):
                self.compared_spikes.add(name)
            else:
                poly = self.name_state(poly, name)
        self.values[name] = poly

    def _read(self, node: onnx.NodeProto) -> None:
        self._node = node
        handler = self.handlers.get(node.op_type)
        result: Poly | list[Poly] | None = None
        if node.domain == "":
            result = self._of_spikes(node)
            if result is None and handler is not None:
                result = handler(self, node)
        if result is None:
            results = [self.computed(node, output=k) for k in range(len(node.output))]
        else:
            results = result if isinstance(result, list) else [result]
        for name, poly in zip(node.output, results, strict=True):
            if name:
                self.set(name, self.known(poly))
                for atom in poly.atoms():
                    self.origin.setdefault(atom, node)

    def _of_spikes(self, node: onnx.NodeProto) -> Poly | None:
        """Return an operation on spikes and numbers alone."""
        if node.op_type not in TABULATED:
            return None
        operands: list[Poly | None] = []
        for name in node.input:
            poly = self.values.get(name)
            if poly is not None:
                poly = in_spikes(poly)
                if poly is None:
                    return None
            operands.append(self.poly(name) if poly is None and name else poly)
        return of_spikes(node, operands)

    def atom(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the atom of a key, made only once."""
        found = self._atoms.setdefault(key, [])
        if not found:
            found.append(make())
        return found[0]

    def all_atoms(self, kind: type[Any]) -> list[Any]:
        """Return all atoms of a kind, those that stand for sums of several steps aside."""
        return [atom for found in self._atoms.values() for atom in found if type(atom) is kind]

    def source(self, name: str, time: int) -> Poly | None:
        """Return an input of the single-step graph at another step, if there is one."""
        found = self._atoms.get(("source", name, time))
        return Poly.of(found[0]) if found else None

    def known_pick(self, of: Poly, axis: int, index: int) -> Poly | None:
        """Return one place of a value along an axis, if the graph picks it."""
        source = of.single
        if isinstance(source, Stack) and source.axis == axis:
            return source.entries[index] if 0 <= index < len(source.entries) else None
        found = self._atoms.get(("pick", of.products(), axis, index))
        return Poly.of(found[0]) if found else None

    def known_operation(self, like: Computed, operands: tuple[Operand, ...]) -> Poly | None:
        """Return the operation of ``like`` on other operands, if the graph has it."""
        for known in self._atoms.get(operation_key(like.node, operands, like.output), ()):
            if _equal_operands(known.operands, operands):
                return Poly.of(known)
        return None

    def candidates(self, key: Any) -> list[Any]:
        """Return the atoms under a key, a list to add to."""
        found: list[Any] = self._atoms.setdefault(key, [])
        return found

    def computed(
        self,
        node: onnx.NodeProto,
        operands: tuple[Operand, ...] | None = None,
        output: int = 0,
    ) -> Poly:
        """Return the atom of an operation on its inputs; equal operations give the same atom."""
        if operands is None:
            operands = tuple(self.operand(name) for name in node.input)
        times = [o.time for o in operands if isinstance(o, Poly)]
        key = operation_key(node, operands, output)
        for known in self._atoms.setdefault(key, []):
            if _equal_operands(known.operands, operands):
                return Poly.of(known)
        value = node.output[output] if output < len(node.output) else ""
        made = Computed(max(times, default=STATIC), value, node, operands, output)
        self._atoms[key].append(made)
        return Poly.of(made)

    def operand(self, name: str) -> Operand:
        """Return an input of an operation: array, polynomial, or None where it is left out."""
        if not name:
            return None
        if self.is_constant(name):
            if name not in self._constants:
                self._constants[name] = Constant.of(self.constant(name))
            return self._constants[name]
        return self.settled(self.values[name])

    def settled(self, poly: Poly) -> Poly:
        """Return a polynomial that leaves arithmetic: a mixture of steps becomes a state."""
        return self.name_state(poly, "") if is_mixed(poly) else poly

    def pick(self, of: Poly, axis: int, index: int, timed: bool) -> Poly:
        """Return one place of a value along an axis."""
        source = of.single
        if isinstance(source, Stack) and source.axis == axis and index < len(source.entries):
            return source.entries[index]
        key = ("pick", of.products(), axis, index)
        time = index if timed and of.time == STATIC else of.time
        atom = self.atom(key, lambda: Pick(time, "", of, axis, index))
        return Poly.of(atom)

    def combine(self, first: Poly, second: Poly) -> tuple[Poly, Poly]:
        """Return two operands of arithmetic; one that an earlier step left becomes a state."""
        if first.time < second.time:
            return self.settled(first), second
        if second.time < first.time:
            return first, self.settled(second)
        return first, second

    def name_state(self, poly: Poly, name: str) -> Poly:
        """Return the polynomial as a state; proportional ones share it unless they have a name."""
        if not name:
            known = self.known(poly)
            if known is not poly:
                return known
        factor = 1.0 if name else leading(poly)
        definition = poly.scaled(1.0 / factor)
        time = state_time(definition)
        if name in self.thresholds:
            spikes = [a.time + 1 for a in definition.atoms() if isinstance(a, RECURRENT)]
            time = max(spikes, default=time)
        state = State(time, name, definition)
        self.states.append(state)
        if self._node is not None:
            self.origin[state] = self._node
        self._named.setdefault(definition.products(), []).append(state)
        return Poly.of(state).scaled(factor)

    def known(self, poly: Poly) -> Poly:
        """Return a mixture of steps as the state that it is, where there is one."""
        if not is_mixed(poly):
            return poly
        factor = leading(poly)
        for state in self._named.get(poly.products(), ()):
            scale = factor / leading(state.definition)
            if poly.equals(state.definition.scaled(scale)):
                return Poly.of(state).scaled(scale)
        return poly

    def spike(self, state: State, threshold: Any, on_equal: bool) -> Poly:
        """Return the comparison of a state with a threshold."""
        for known in state.spikes:
            alike = known.on_equal == on_equal and type(known.threshold) is type(threshold)
            if alike and known.threshold.equals(threshold):
                return Poly.of(known)
        made = Spike(state.time, "", state, threshold, on_equal)
        for known in state.spikes:
            if is_stronger(made, known):
                made.implied |= {known}
            elif is_stronger(known, made):
                known.implied |= {made}
        state.spikes.append(made)
        self.spikes.append(made)
        return Poly.of(made)


def operation_key(node: onnx.NodeProto, operands: tuple[Operand, ...], output: int) -> Any:
    """Return a key that equal operations share."""
    attributes = tuple(sorted(a.SerializeToString() for a in node.attribute))
    return node.domain, node.op_type, attributes, output, operands_key(operands)


def operands_key(operands: tuple[Operand, ...]) -> Any:
    """Return a key that equal operands share."""
    parts: list[Any] = []
    for operand in operands:
        if operand is None:
            parts.append(None)
        elif isinstance(operand, Poly):
            parts.append(operand.products())
        else:
            parts.append(operand.digest)
    return tuple(parts)


def _equal_operands(first: tuple[Operand, ...], second: tuple[Operand, ...]) -> bool:
    return all(not isinstance(a, Poly) or a.equals(b) for a, b in zip(first, second, strict=True))
