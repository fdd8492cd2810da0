"""Write the neurons that were read as nodes of the rolled-up graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chain, Chains
from snnquant.frontends.onnx.recognition.equations import FoundNeuron, read_spiking
from snnquant.frontends.onnx.recognition.facts import Shape
from snnquant.frontends.onnx.recognition.linear import Integrator, at_step, read_linear
from snnquant.frontends.onnx.recognition.mixtures import leading
from snnquant.frontends.onnx.recognition.places import module_name
from snnquant.frontends.onnx.recognition.polynomials import Coefficient, Poly, same
from snnquant.frontends.onnx.recognition.recurrence import without_recurrence
from snnquant.frontends.onnx.recognition.symbols import Atom, Count, Spike, State
from snnquant.frontends.onnx.rolling.graph_builder import GraphBuilder
from snnquant.frontends.onnx.rolling.rolled import Rolled
from snnquant.neurons import LI, NeuronModel, completed
from snnquant.neurons.simulate import along_channels, smallest_form
from snnquant.ops.attach import TIMESTEPS_KEY
from snnquant.ops.schema import MEMBRANE, SPIKES, op_name, schemas


@dataclass
class WrittenNeuron:
    """A neuron node, and what it was read from."""

    name: str
    found: FoundNeuron
    node: onnx.NodeProto
    current: Poly
    recurrent_weight: npt.NDArray[np.float64] | None
    parameters: dict[str, npt.NDArray[np.float32]]

    def threshold_along(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return the threshold, broadcastable to one step ``[B, ...]`` of membranes."""
        return along_channels(self.parameters["v_threshold"], shape[1:])


class NeuronWriter:
    """Reads chains on demand and writes a node for each.

    Args:
        chains: the interpreted graph.
        builder: where nodes go.
        steps: number of time steps.
    """

    def __init__(self, chains: Chains, builder: GraphBuilder, steps: int) -> None:
        self.chains = chains
        self.builder = builder
        self.rolled = Rolled(chains, builder, steps, self._sequence, self._is_read)
        self.written: dict[Chain, WrittenNeuron] = {}
        self._steps = steps
        self._writing: set[Chain] = set()
        self._integrators: list[tuple[Integrator, str]] = []
        #: Read-outs that were written, by name, with their states.
        self.read_outs: dict[str, Chain] = {}
        self._found: dict[State, Integrator] = {}
        chains.implicit = self._early

    def write(self, chain: Chain) -> WrittenNeuron:
        """Write a chain as a neuron node, once."""
        if chain not in self.written:
            name = module_name(self.chains.values, chain)
            if chain in self._writing:
                raise ModelError(
                    f"neuron '{name}' is not understood: it feeds back into itself through other "
                    "layers or operations, which cannot be expressed"
                )
            self._writing.add(chain)
            try:
                found, current, weight = self._understood(chain)
                features = self.rolled.shapes.features(Poly.of(chain.last))
            except ModelError as error:
                raise ModelError(f"neuron '{name}' is not understood: {error}") from error
            sequence = self._current(current, found.time, features)
            free = self.builder.fresh(name)
            extra = []
            if weight is not None:
                held = np.asarray(weight, np.float32)
                extra.append(self.builder.own_constant(held, f"{free}.recurrent_weight"))
            parameters = complete(found.model, found.parameters, features)
            node = self._node(free, found.model, parameters, found.choices, sequence, extra)
            self.written[chain] = WrittenNeuron(free, found, node, current, weight, parameters)
        return self.written[chain]

    def _understood(self, chain: Chain) -> tuple[FoundNeuron, Poly, npt.NDArray[np.float64] | None]:
        """Return a chain as a neuron, its current, and the weights of its recurrent synapse."""
        found = read_spiking(chain, self.chains)
        if len(chain.states) != self._steps or chain.start != 0:
            raise ModelError(
                f"it runs {len(chain.states)} steps from step {chain.start}, other layers "
                f"{self._steps}"
            )
        return found, *without_recurrence(found, self.chains)

    def _current(self, current: Poly, time: int, features: Shape) -> str:
        sequence = self.rolled.timed(current, time)
        own = self.rolled.shapes.features(current)
        if own != features:
            raise ModelError(f"its current has shape {list(own)}, its membrane {list(features)}")
        return sequence

    def _node(
        self,
        name: str,
        model: NeuronModel,
        parameters: Mapping[str, npt.NDArray[np.float32]],
        choices: Mapping[str, int],
        current: str,
        extra: list[str],
    ) -> onnx.NodeProto:
        inputs = [current, *extra] + [
            self.builder.own_constant(value, f"{name}.{key}") for key, value in parameters.items()
        ]
        output = self.builder.fresh(f"{name}.{SPIKES if model.spiking else MEMBRANE}")
        op = op_name(model, integer=False, recurrent=bool(extra))
        attributes = {c.name: choices.get(c.name, c.default) for c in model.choices}
        return self.builder.neuron(op, inputs, name, output, attributes)

    def _sequence(self, atom: Atom) -> str:
        """Return the sequence of spikes, or of a state."""
        if isinstance(atom, (Spike, Count)):
            written = self.write(self.chains.of[atom.state])
            return str(written.node.output[0])
        if not isinstance(atom, State):
            raise ModelError(f"{type(atom).__name__} has no sequence")
        if atom in self.chains.of:
            return self._membrane(self.write(self.chains.of[atom]), atom)
        return self._integrator(atom)

    def _membrane(self, written: WrittenNeuron, state: State) -> str:
        """Return the membranes of a neuron, which its node gives from now on."""
        node, found = written.node, written.found
        schema = schemas()[node.op_type]
        if not schema.with_membrane:
            node.op_type = op_name(
                schema.neuron, integer=False, recurrent=schema.recurrent, with_membrane=True
            )
            node.output.append(self.builder.fresh(f"{written.name}.{MEMBRANE}"))
        membrane = str(node.output[-1])
        if found.floor is not None:
            low = self.builder.constant(np.asarray(found.floor, np.float32), "lower_bound")
            membrane = self.builder.add("Max", [membrane, low], f"{membrane}.bounded")
        if state.spikes:
            return membrane
        # The last step may not be compared any more, and be known up to a factor only.
        expected = self.chains.shift(self.chains.equation(found.chain.model), 1)
        actual = self.chains.equation(state)
        factor = leading(expected) / leading(actual) if expected else 0.0
        synaptic = "alpha_syn" in found.parameters  # then a step holds the currents of all before
        if expected is None or not (synaptic or expected.equals(actual.scaled(factor), 1e-5)):
            raise ModelError(
                f"the last step of '{written.name}' is not as those before: what leaves the layer "
                "is no spike and no membrane (as in neurons with graded or analog outputs)"
            )
        if factor == 1.0:
            return membrane
        scale = self.builder.constant(np.asarray(1.0 / factor, np.float32), "scale")
        return self.builder.add("Mul", [membrane, scale], f"{membrane}.scaled")

    def _integrator(self, state: State) -> str:
        """Return the sequence of a silent state."""
        found = self._read(state)
        if found.is_momentary:
            return self.rolled.timed(found.current, found.time)
        for known, sequence in self._integrators:
            if self._alike(known, found):
                return sequence
        features = self.rolled.shapes.features(Poly.of(state))
        sequence = self._current(found.current, found.time, features)
        states = [state]
        while states[0].follows is not None:
            states.insert(0, states[0].follows)
        chain = Chain(states)
        name = self.builder.fresh(module_name(self.chains.values, chain))
        self.read_outs[name] = chain
        parameters: dict[str, Coefficient] = {
            "alpha": found.alpha,
            "leak_bias": found.leak_bias,
            "v_init": found.v_init,
        }
        choices = {}
        if found.alpha_syn is not None:
            parameters["alpha_syn"] = found.alpha_syn
            choices["synaptic"] = 1
        held = complete(LI, parameters, features)
        node = self._node(name, LI, held, choices, sequence, [])
        self._integrators.append((found, str(node.output[0])))
        return str(node.output[0])

    def _is_read(self, state: State) -> bool:
        """Whether a silent state is an integrator."""
        try:
            self._read(state)
        except ModelError:
            return False
        return True

    def _read(self, state: State) -> Integrator:
        if state not in self._found:
            self._found[state] = read_linear(state, self.chains)
        return self._found[state]

    def _alike(self, first: Integrator, second: Integrator) -> bool:
        """Whether two states are the same integrator, maybe at different steps."""
        if not same(first.alpha, second.alpha):
            return False
        pairs = (
            (first.alpha_syn or 0.0, second.alpha_syn or 0.0),
            (first.leak_bias, second.leak_bias),
            (first.v_init, second.v_init),
        )
        if not all(same(a, b) for a, b in pairs):
            return False
        moved = self.chains.shift(second.current, first.time - second.time)
        return moved is not None and moved.equals(first.current)

    def total(self, poly: Poly) -> str | None:
        """Return the sum over time that a running sum ends with, or None if it is none."""
        atom = next(iter(poly.atoms()), None)
        if len(poly.terms) != 1 or not isinstance(atom, State) or not self.chains.opens(atom):
            return None
        if not self._is_read(atom):
            return None
        found = self._read(atom)
        if not found.is_running_sum or found.time != self._steps - 1:
            return None
        current = found.current.scaled(poly.coefficient(atom))
        sequence = self.rolled.timed(current, found.time)
        axes = self.builder.integers([0], "time_axis")
        return self.builder.add("ReduceSum", [sequence, axes], f"{sequence}.sum", keepdims=0)

    def _early(self, state: State, steps: int) -> Poly | None:
        """Return what a silent state is at another step, whether the graph names it or not."""
        try:
            found = self._read(state)
        except ModelError:
            return None
        time = found.time + steps
        return at_step(found, time, self.chains) if 0 <= time < self._steps else None


def complete(
    model: NeuronModel, given: Mapping[str, Coefficient], features: Shape
) -> dict[str, npt.NDArray[np.float32]]:
    """Return all parameters of a neuron, in order, as its op takes them."""
    held = completed(model, given)
    return {name: along(value, features) for name, value in held.items()}


def along(value: Coefficient, features: Shape) -> npt.NDArray[np.float32]:
    """Return a parameter as a neuron op takes it: one value, per channel, or per neuron."""
    array = np.asarray(value, np.float32)
    if array.size == 1:
        return array.reshape(1)
    if array.ndim > len(features):
        raise ModelError(
            "a constant of it differs from sample to sample: the export holds the state of an "
            "earlier run; reset the network before export"
        )
    full = array.reshape((1,) * (len(features) - array.ndim) + array.shape)
    return smallest_form(np.broadcast_to(full, features))


def timesteps_metadata(steps: int) -> dict[str, str]:
    """Return the metadata of a graph with a fixed number of steps."""
    return {TIMESTEPS_KEY: str(steps)}
