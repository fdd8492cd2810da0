"""Write a single-step graph: neurons with their states as inputs and outputs.

What the source holds as a state is often the membrane before its reset. Then a first node, of the
same neuron and without any current, says whether it fired and resets it; the second node is the
step itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.proof.whole_model import ComparedLayer, layers_of
from snnquant.frontends.onnx.recognition.chains import Chain, Chains
from snnquant.frontends.onnx.recognition.equations import FoundNeuron, read_spiking
from snnquant.frontends.onnx.recognition.places import module_name
from snnquant.frontends.onnx.recognition.polynomials import Poly, is_zero, reduced
from snnquant.frontends.onnx.recognition.recognise import interpret
from snnquant.frontends.onnx.recognition.symbols import Atom, Count, Source, Spike, State
from snnquant.frontends.onnx.rolling.graph_builder import GraphBuilder
from snnquant.frontends.onnx.rolling.neuron_writer import WrittenNeuron, complete
from snnquant.frontends.onnx.rolling.rolled import Rolled
from snnquant.frontends.onnx.rolling.shapes import Shapes
from snnquant.frontends.onnx.rolling.single_step import STEPS, StatePairs, write_out
from snnquant.neurons import LIF, NeuronModel
from snnquant.neurons.dynamics import I_STATE, V_STATE
from snnquant.ops.schema import op_name, schemas


class StepWriter:
    """Reads the chains of a graph that was written out, and writes its first step.

    Args:
        chains: the interpreted graph.
        builder: where nodes go.
        pairs: the states.
    """

    def __init__(self, chains: Chains, builder: GraphBuilder, pairs: StatePairs) -> None:
        self.chains = chains
        self.builder = builder
        self.pairs = pairs
        self.rolled = Rolled(chains, builder, 1, self._sequence)
        self.written: dict[Chain, WrittenNeuron] = {}

    def write(self, chain: Chain) -> onnx.NodeProto:
        """Write a chain's step, once."""
        if chain not in self.written:
            name = module_name(self.chains.values, chain)
            try:
                self.written[chain] = self._write(chain, self.builder.fresh(name))
            except ModelError as error:
                raise ModelError(f"neuron '{name}' is not understood: {error}") from error
        return self.written[chain].node

    def _write(self, chain: Chain, name: str) -> WrittenNeuron:
        found = read_spiking(chain, self.chains)
        if found.adaptive:
            raise ModelError(
                "single steps with an adaptive threshold are not understood; export the loop over "
                "all steps"
            )
        current = self.chains.shift(found.current, -found.time)
        first = next(state for state in chain.states if state.time == 0)
        if current is None:
            raise ModelError("its current is built differently at the first step")
        equation = self.chains.equation(first)
        # With states that come from outside, what every step adds is a part of its current.
        found.parameters["leak_bias"] = 0.0
        current = current.without(()) + Poly.constant(equation.coefficient())
        features = self.rolled.shapes.features(Poly.of(first))
        sequence = self.rolled.timed(current, 0)
        parameters = complete(found.model, found.parameters, features)
        carried = equation - current
        like = self.rolled.static(Poly.of(_state_source(carried)))
        zeros = self._zeros(like, f"{name}.zeros")
        states = {state.name: zeros for state in found.model.states}
        if chain.start < 0:
            before = self.rolled.static(chain.states[0].definition)
            states |= self._carry(name, found, before, zeros)
            carried = carried.only(lambda p: all(isinstance(a, Source) for a in p))
        synaptic = self._synaptic(carried, found)
        if synaptic is not None:
            carried = carried.without((synaptic,))
            alpha = found.parameters["alpha_syn"]
            share = np.divide(equation.coefficient(synaptic), alpha)
            states[I_STATE.name] = self.rolled.static(Poly.of(synaptic).scaled(reduced(share)))
        if chain.start >= 0 and carried.terms:
            states[V_STATE.name] = self.rolled.static(carried)
        node = self._node(name, found.model, parameters, found.choices, sequence, states)
        return WrittenNeuron(name, found, node, current, None, parameters)

    def _carry(self, name: str, found: FoundNeuron, membrane: str, zeros: str) -> dict[str, str]:
        """Return the states after the reset of a membrane from outside."""
        axes = self.builder.integers([0], "time_axis")
        silence = self.builder.add("Unsqueeze", [zeros, axes], f"{name}.no_current")
        features = self.rolled.shapes.features(Poly.of(found.chain.last))
        # A synaptic current has no part in a reset.
        model = LIF if I_STATE in found.model.states else found.model
        parameters = complete(model, found.parameters, features)
        states = {state.name: zeros for state in model.states} | {V_STATE.name: membrane}
        carry = self.builder.fresh(f"{name}.before")
        node = self._node(carry, model, parameters, found.choices, silence, states)
        later = schemas()[node.op_type].state_names
        return dict(zip(later, node.output[1:], strict=False))

    def _synaptic(self, carried: Poly, found: FoundNeuron) -> Source | None:
        """Return the input that holds the synaptic current."""
        if "alpha_syn" not in found.parameters:
            return None
        sources = sorted(
            (a for a in carried.atoms() if isinstance(a, Source)), key=lambda a: a.number
        )
        alone = [a for a in sources if self._goes_on_alone(a)]
        if len(alone) != 1 or is_zero(found.parameters["alpha_syn"]):
            raise ModelError("which of its states is the synaptic current cannot be told")
        return alone[0]

    def _goes_on_alone(self, source: Source) -> bool:
        """Whether a state goes on from itself and from currents only."""
        later = self.pairs.later[source.name]
        poly = self.chains.values.poly(later)
        poly = self.chains.opened(poly)
        states = [a for a in poly.atoms() if isinstance(a, (State, Spike, Count))]
        others = [a for a in poly.atoms() if isinstance(a, Source) and a.time < 0]
        return not states and others == [source]

    def _zeros(self, like: str, hint: str) -> str:
        shape = self.builder.add("Shape", [like], f"{hint}.shape")
        return self.builder.add("ConstantOfShape", [shape], hint)

    def _node(
        self,
        name: str,
        model: NeuronModel,
        parameters: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
        choices: dict[str, int],
        current: str,
        states: dict[str, str],
    ) -> onnx.NodeProto:
        op = op_name(model, integer=False, stateful=True, with_membrane=True)
        schema = schemas()[op]
        inputs = [current] + [
            self.builder.own_constant(parameters[key], f"{name}.{key}")
            for key in schema.parameter_names
        ]
        inputs += [states[state] for state in schema.state_names]
        attributes = {c.name: choices.get(c.name, c.default) for c in model.choices}
        outputs = [self.builder.fresh(f"{name}.{port.name}") for port in schema.outputs]
        node = self.builder.neuron(op, inputs, name, outputs[0], attributes)
        node.output[:] = outputs
        return node

    def _sequence(self, atom: Atom) -> str:
        if isinstance(atom, (Spike, Count)):
            return str(self.write(self.chains.of[atom.state]).output[0])
        if isinstance(atom, State) and atom in self.chains.of:
            return str(self.write(self.chains.of[atom]).output[-1])
        if isinstance(atom, State):
            return self.rolled.timed(atom.definition, 0)
        raise ModelError(f"'{atom.value}' has no sequence")

    def layers(self) -> list[ComparedLayer]:
        """Return the layers of the first step, to be compared with the source."""
        facts = self.chains.values.facts
        found = []
        for chain, written in self.written.items():
            first = next(state for state in chain.states if state.time == 0)
            alone = replace(written, found=replace(written.found, chain=Chain([first])))
            found += layers_of([alone], facts)
        return found


def _state_source(carried: Poly) -> Atom:
    """Return an input that holds a state of this layer."""
    for atom in sorted(carried.atoms(), key=lambda a: a.number):
        if isinstance(atom, Source):
            return atom
        state = atom if isinstance(atom, State) else getattr(atom, "state", None)
        if isinstance(state, State) and isinstance(state.definition.single, Source):
            return state.definition.single
    raise ModelError("its membrane does not come from an input")


def is_single_step(model: onnx.ModelProto, pairs: StatePairs) -> bool:
    """Whether no membrane of a graph goes on within it: its states come from outside."""
    values = interpret(model, {name: (name, -1) for name in pairs.later})
    chains = Chains(values)
    return all(sum(state.time >= 0 for state in c.states) < 2 for c in chains.spiking)


def recognise_step(model: onnx.ModelProto, pairs: StatePairs) -> tuple[onnx.ModelProto, StepWriter]:
    """Read a prepared single-step graph.

    Last spikes that are a state enter a step as any other data does, unless they reset a membrane.

    Raises:
        ModelError: something is not understood.
    """
    try:
        return _recognise(model, _without_spikes(model, pairs))
    except ModelError:
        return _recognise(model, pairs)


def _recognise(model: onnx.ModelProto, pairs: StatePairs) -> tuple[onnx.ModelProto, StepWriter]:
    if not pairs.later:
        raise ModelError("none of its states is a membrane")
    written, sources = write_out(model, pairs, STEPS)
    values = interpret(written, sources)
    chains = Chains(values)
    if not chains.spiking:
        raise ModelError("no state of it is compared with a threshold")
    facts = values.facts
    if not facts.dynamic:
        facts.batch = Shapes(facts).of_atom(chains.spiking[0].last)[0]
    builder = GraphBuilder.like(model)
    writer = StepWriter(chains, builder, pairs)
    for chain in chains.spiking:
        writer.write(chain)
    results = [writer.rolled.static(values.poly(output.name)) for output in model.graph.output]
    return builder.finish(results, {}), writer


def _without_spikes(model: onnx.ModelProto, pairs: StatePairs) -> StatePairs:
    """Return the pairs without last spikes, which enter a step as any other data does."""
    values = interpret(model, {name: (name, -1) for name in pairs.later})
    later = {
        state: after
        for state, after in pairs.later.items()
        if not isinstance(values.poly(after).single, (Spike, Count))
    }
    data = (*pairs.data, *(name for name in pairs.later if name not in later))
    return StatePairs(later, data)
