"""Why something is no neuron here, in the words of people who export networks."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from snnquant.frontends.onnx.recognition.chains import Chain, Chains, is_steady, made_of
from snnquant.frontends.onnx.recognition.comparing import comparison_of
from snnquant.frontends.onnx.recognition.interpreter import Interpreter
from snnquant.frontends.onnx.recognition.polynomials import Poly, Product
from snnquant.frontends.onnx.recognition.symbols import Atom, Computed, Count, Spike, State

#: Operations that add up or scale, by which a state of an earlier run enters.
_MIXES = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Where"})

#: What cells with gates make of their states; surrogate gradients leave nothing of it.
_GATES = frozenset({"Sigmoid", "Tanh", "LSTM", "GRU"})


def why_alone(state: State, chains: Chains) -> str:
    """Return why a compared membrane does not go on from the step before."""
    for other in sorted(chains.fires, key=lambda s: s.number):
        for atom in _all_atoms(chains.equation(other)):
            if isinstance(atom, Computed) and state in _held(atom, chains, membranes=True):
                return _through(atom)
    return (
        "its membrane does not go on from step to step; export the loop over time with states that "
        "are created inside forward"
    )


def why_twice(chain: Chain, chains: Chains) -> str | None:
    """Return that a membrane is compared again after its reset, if it is."""
    for state in chain.states:
        if state.follows is None:
            continue
        parts = [getattr(a, "state", a) for a in chains.equation(state).atoms()]
        if any(isinstance(a, State) and is_steady(a) for a in parts):
            continue  # the first membrane is a current too
        if all(isinstance(a, State) and chains.of.get(a) is chain for a in parts):
            return (
                f"its membrane is compared again after the reset ('{state.value}'), as snnTorch "
                "does with reset_delay=False; export with reset_delay=True"
            )
    return None


def why_through(seen: Poly, chain: Chain, chains: Chains) -> str | None:
    """Return that an operation changes a membrane from step to step, if one does."""
    for atom in sorted(seen.atoms(), key=lambda a: a.number):
        held = _held(atom, chains, membranes=True) if isinstance(atom, Computed) else set()
        if isinstance(atom, Computed) and any(chains.of.get(s) is chain for s in held):
            return _through(atom)
    return None


def why_multiplied(product: Product, before: State) -> str:
    """Return why a membrane times something is no neuron."""
    others = list(product)
    others.remove(before)
    if before in others:
        return "its membrane is multiplied by itself, as in quadratic neurons"
    names = ", ".join(f"'{a.value}'" for a in others if a.value) or "a value"
    if all(isinstance(a, (Spike, Count)) for a in others):
        return (
            f"what stays of its membrane depends on spikes ({names}) in a way that is no reset "
            "(two comparisons in a step, as with reset_delay=False, or spikes of other layers)"
        )
    return f"its membrane is multiplied by {names}, which depends on the input, as gates do"


def why_late(atom: Atom, time: int, chain: Chain, chains: Chains) -> str:
    """Return why a neuron cannot see a value of an earlier step.

    Args:
        atom: what it sees.
        time: the step at which it sees it.
        chain: the neuron.
        chains: all neurons.
    """
    where = f"'{atom.value}'" if atom.value else "a value"
    late = f"{where} of step {atom.time} at step {time}"
    states = _held(atom, chains)
    own = [state for state in states if chains.of.get(state) is chain]
    if own and isinstance(atom, Computed):
        if _held(atom, chains, membranes=True) & set(own):
            return _through(atom)
        return (
            f"its own spikes come back through {atom.node.op_type} {where}; recurrent synapses "
            "are understood where they are one matrix on the last spikes"
        )
    if own:
        return f"it sees its own spikes of step {atom.time} at step {time}"
    for state in states:
        if any(chains.of.get(s) is chain for s in _reached(state, chains)):
            return (
                f"a later layer feeds back into it ({late}); feedback between layers cannot be "
                "expressed, only from a layer to itself"
            )
    return f"it sees {late}: delays and connections that look back cannot be expressed"


def why_changed(current: Poly, steps: int, chains: Chains) -> str:
    """Return why a current has no equal some steps later (or earlier)."""
    for atom in sorted(current.atoms(), key=lambda a: a.number):
        if chains.shift(Poly.of(atom), steps) is not None:
            continue
        if not isinstance(atom, Computed):
            break
        operands = [o for o in atom.operands if isinstance(o, Poly)]
        moved = [chains.shift(operand, steps) for operand in operands]
        for operand, other in zip(operands, moved, strict=True):
            if other is None:
                return why_changed(operand, steps, chains)
        for other_atom in chains.values.all_atoms(Computed):
            same_data = [o for o in other_atom.operands if isinstance(o, Poly)]
            if other_atom.node.op_type == atom.node.op_type and len(same_data) == len(moved):
                pairs = zip(same_data, moved, strict=True)
                if all(b is not None and a.equals(b) for a, b in pairs):
                    return (
                        f"the weights of node '{other_atom.node.name}' ({atom.node.op_type}) "
                        f"differ from those of '{atom.node.name}', which is {abs(steps)} steps "
                        "away; every step must use the same module, exported after model.eval()"
                    )
        return f"what node '{atom.node.name}' ({atom.node.op_type}) does is not done at every step"
    return f"its current is built differently {abs(steps)} steps away"


def why_silent(values: Interpreter) -> str:
    """Return why a graph has no neuron that goes on from step to step."""
    model, facts = values.facts.model, values.facts
    gate = next(
        (n for n in model.graph.node if n.op_type in _GATES and n.output[0] in facts.data), None
    )
    if gate is not None:
        return (
            f"its states go through {gate.op_type} ('{gate.name}'), as in LSTM cells; no neuron "
            "here has gates"
        )
    stale = _stale_state(model, values)
    if stale is not None:
        return (
            f"node '{stale.name}' ({stale.op_type}) uses a constant that differs from neuron to "
            "neuron where a state of zeros is expected: the export holds the state of an earlier "
            "run, and one step only; reset the network and export the loop over time, with states "
            "that are created inside forward"
        )
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        found = comparison_of(node, facts, producers)
        if found is not None and found.value in facts.data:
            return (
                f"node '{node.name}' ({node.op_type}) compares with a threshold, but nothing goes "
                "on from step to step: either only one step was exported (export the loop over "
                "time, with states that are created inside forward), or its neurons have no memory"
            )
    return (
        "no neuron goes on from step to step: nothing is compared with a threshold, and nothing "
        "is integrated over time"
    )


def _stale_state(model: onnx.ModelProto, values: Interpreter) -> onnx.NodeProto | None:
    """Return a node that mixes data with a constant of the shape of a state, not all the same."""
    facts = values.facts
    for node in model.graph.node:
        if node.op_type not in _MIXES or node.output[0] not in facts.data:
            continue
        shape = facts.shapes.get(node.output[0], ())
        for name in node.input:
            held = facts.constants.get(name) if name not in facts.data else None
            if held is None or held.ndim < 2 or held.shape[1:] != shape[1:]:
                continue
            if held.dtype.kind == "f" and float(held.min()) < float(held.max()):
                found: onnx.NodeProto = node
                return found
    return None


def _through(atom: Computed) -> str:
    return (
        f"its membrane goes through {atom.node.op_type} ('{atom.node.name or atom.value}'), which "
        "no neuron here has (as in exponential, bounded, normalised or quantized neurons)"
    )


def _all_atoms(poly: Poly) -> Iterable[Atom]:
    """Return atoms of a polynomial and, below bounds and operations, those that they hold."""
    pending, seen = list(poly.atoms()), set(poly.atoms())
    while pending:
        atom = pending.pop()
        yield atom
        if isinstance(atom, (State, Spike, Count)):
            continue
        for inner in made_of(atom):
            new = inner.atoms() - seen
            seen |= new
            pending.extend(new)


def _held(atom: Atom, chains: Chains, *, membranes: bool = False) -> set[State]:
    """Return the compared states that an atom holds, itself or by their spikes."""
    found: set[State] = set()
    pending, seen = [atom], {atom}
    while pending:
        current = pending.pop()
        if isinstance(current, (Spike, Count)):
            if not membranes:
                found.add(current.state)
            continue
        if isinstance(current, State) and current in chains.fires:
            found.add(current)
            continue
        for inner in made_of(current):
            new = inner.atoms() - seen
            seen |= new
            pending.extend(new)
    return found


def _reached(state: State, chains: Chains) -> set[State]:
    """Return all compared states that a state was made of, through all earlier steps."""
    found: set[State] = set()
    pending: list[Atom] = [state]
    seen: set[Atom] = {state}
    while pending:
        current = pending.pop()
        if isinstance(current, State) and current in chains.fires:
            found.add(current)
        for inner in made_of(current):
            new = inner.atoms() - seen
            seen |= new
            pending.extend(new)
    return found
