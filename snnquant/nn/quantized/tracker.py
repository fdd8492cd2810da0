"""Follows values through a model's forward: which are spikes, which are currents of which synapse.

While a tracker is active as a torch function mode, every torch function reports to it. What the
functions do to factors, bounds and groups is the lowering's own inference, which the ONNX rules use
too; here stands only how torch says it (:mod:`snnquant.nn.quantized.functions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from snnquant.errors import UsageError
from snnquant.lowering import inference
from snnquant.lowering.flow import FLOAT, Flow, Group, Kind, StaysFloat
from snnquant.lowering.plan import Plan
from snnquant.nn.quantized.carried import States
from snnquant.nn.quantized.follower import Follower, NeuronCall
from snnquant.nn.quantized.wire import Wire, stand_in

if TYPE_CHECKING:
    from snnquant.nn.quantized.functions import Call
    from snnquant.nn.quantized.neuron import QNeuron
    from snnquant.nn.quantized.synapse import QSynapse


@dataclass(eq=False)
class Token:
    """A value or a layer of the model that is followed, known by identity."""

    name: str | None = None


@dataclass
class SynapseUse:
    """How a synapse was found in use: what flows in, and the current that flows out."""

    source: Flow
    current: Flow
    enters: bool


@dataclass
class NeuronUse:
    """One current on which a neuron was found in use."""

    current: Flow
    membrane: Flow
    rank: int


@dataclass
class Found:
    """What following a model found."""

    synapses: dict[QSynapse, SynapseUse] = field(default_factory=dict)
    neurons: dict[QNeuron, list[NeuronUse]] = field(default_factory=dict)


class Tracker(Follower):
    """The flows of all values during one forward.

    Args:
        plan: collects groups, with target, input scales and firing rates.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.found = Found()
        self._tokens: dict[int, tuple[Any, Token]] = {}
        self._keys: dict[Any, Token] = {}
        self._broken: dict[int, tuple[Any, tuple[str, str]]] = {}
        self._states = States()
        self._promised: list[tuple[QNeuron, str, Flow]] = []
        self._read: list[tuple[QSynapse, Flow]] = []

    def called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Note what a function of torch made of its arguments."""
        from snnquant.nn.quantized.functions import RULES, Call

        if name == "__setitem__":
            # Whatever is put into it, or into what, is one value in floating point from then on.
            result = args[0]
        call = Call(self, name, args, kwargs, result)
        self._states.called(call, values_of)
        rule = RULES.get(call.name)
        flow = FLOAT
        if rule is not None and any(f.kind is not Kind.FLOAT for f in call.flows()):
            try:
                flow = rule(call)
            except StaysFloat:
                flow = FLOAT
        broken = self._broken_by(call) if flow.kind is Kind.FLOAT else None
        for index, value in enumerate(values_of(result)):
            if flow.kind is Kind.FLOAT or (index and call.name == "max"):
                # Of what was changed in place nothing is known any more; indices are no values.
                self._forget(value, broken)
            else:
                self.assign(value, flow)

    def _broken_by(self, call: Call) -> tuple[str, str] | None:
        """Return which function took a current out of the integers, and which current."""
        for value in call.values():
            if id(value) in self._broken:
                return self._broken[id(value)][1]
            flow = self.flow(value)
            if flow.kind is Kind.CURRENT and flow.group is not None:
                return call.name, flow.group.root().name
        return None

    def _forget(self, value: Any, broken: tuple[str, str] | None) -> None:
        self._tokens.pop(id(value), None)
        if broken is not None:
            self._broken[id(value)] = (value, broken)

    def token(self, value: Any, name: str | None = None) -> Token:
        """Return the token of a value; one that comes from outside gets its name here."""
        # The value is kept, so that its identity is not given to another.
        return self._tokens.setdefault(id(value), (value, Token(name)))[1]

    def flow(self, value: Any) -> Flow:
        """Return what is known of a value."""
        held = self._tokens.get(id(value))
        return FLOAT if held is None else self.plan.flow(held[1])

    def assign(self, value: Any, flow: Flow) -> None:
        """Say what is known of a value."""
        token = Token()
        self._broken.pop(id(value), None)
        self._tokens[id(value)] = (value, token)
        self.plan.flows[token] = flow

    def key(self, module: Any, name: str) -> Token:
        """Return the token of a layer."""
        return self._keys.setdefault(module, Token(name))

    # -- layers --------------------------------------------------------------------------------

    def synapse(self, module: QSynapse, x: Any) -> Any:
        """Follow a synapse; returns what takes the place of its current."""
        self._states.refuse(x, f"{module.label}: reads")
        result = stand_in(self, module, x)
        key = self.key(module, module.path)
        token = self._source_token(module, x)
        enters = self.plan.flow(token).kind is not Kind.INTEGER or token in self.plan.points
        source = self.plan.integer(token)
        self._read.append((module, self.plan.flow(token)))
        known = self.found.synapses.get(module)
        if known is None:
            weight, bias = module.real_weights()
            current = inference.synapse(
                self.plan, key, source, weight, bias, module.channel_axis, module.spatial
            )
            self.found.synapses[module] = SynapseUse(source, current, enters)
        else:
            if known.source.factor != source.factor:
                raise UsageError(
                    f"{module.label}: is used on inputs of two scales, {known.source.factor:g} and "
                    f"{source.factor:g}; give each use a layer of its own"
                )
            if source.reach > known.source.reach:
                known.source = source
                self.plan.terms[key].reach = source.reach
            current = known.current
        self.assign(result, current)
        return result

    def _source_token(self, module: QSynapse, x: Any) -> Token:
        """Return the token of a synapse's input; a declared encoder reads it as analog."""
        token = self.token(x, module.path)
        if not module.is_encoder or self.plan.flow(token).kind is not Kind.INTEGER:
            return token
        if token not in self.plan.points:
            raise UsageError(
                f"{module.label}: is_encoder=True, but its input is spikes of the network; "
                "leave is_encoder out"
            )
        return Token(module.path)

    def neuron(self, module: QNeuron, x: Any, call: NeuronCall) -> None:
        """Follow a neuron."""
        flow = self._current_of(module, x)
        if call.q_param is not None and call.q_param.synapse:
            self._promised.append((module, call.q_param.synapse, flow))
        membrane = self._membrane(module, x, flow, call.rank)
        self._states.take(module, call.given, membrane)
        self._states.give(module, call.states, membrane)
        self.assign(
            call.output,
            self.plan.spikes(module.path, module.max_spikes) if module.model.spiking else membrane,
        )

    def _current_of(self, module: QNeuron, x: Any) -> Flow:
        """Return the flow of a neuron's current, which must be one."""
        flow = self.flow(x)
        if flow.kind is Kind.CURRENT and (flow.membrane or flow.factor != 1.0):
            what = "a membrane" if flow.membrane else "an averaged current"
            raise UsageError(
                f"{module.label}: its current is {what}, which has no integer form; put a synapse "
                "in between"
            )
        if flow.kind is not Kind.CURRENT or flow.group is None:
            raise UsageError(
                f"{module.label}: its current does not come from a quantizable synapse in a form "
                f"that stays an integer{self._why(x)}; between the two only moving values, adding "
                "currents and max pooling are possible (fuse batch normalization with fuse_conv_bn)"
            )
        return flow

    def _membrane(self, module: QNeuron, x: Any, flow: Flow, rank: int | None) -> Flow:
        """Return the flow of a neuron's membrane; its constants join the current's group."""
        parameters = module.real_parameters()
        if rank is None:
            known = 1 if flow.channels is None else flow.channels.ndim
            rank = max([known, *(value.ndim for value in parameters.values())])
        layer = inference.Neuron(
            key=self.key(module, module.path),
            model=module.model,
            parameters=parameters,
            choices=module.choices,
            rank=rank,
            recurrent_weight=module.real_recurrent_weight(),
        )
        uses = self.found.neurons.setdefault(module, [])
        for use in uses:
            if root_of(use.current) is root_of(flow):
                return use.membrane
        try:
            _, membrane = inference.neuron(self.plan, layer, self.token(x), flow)
        except StaysFloat as verdict:
            raise UsageError(f"{module.label}: {verdict}") from None
        uses.append(NeuronUse(flow, membrane, rank))
        return membrane

    def _why(self, x: Any) -> str:
        """Return what broke a current, for the message; "" where it was none."""
        if id(x) not in self._broken:
            return ""
        function, synapse = self._broken[id(x)][1]
        return f": '{function}' of the current of '{synapse}' has no integer form"

    def finish(self, outputs: Any) -> None:
        """Check what forward promised, and what the model returns.

        Raises:
            UsageError: a neuron was given another synapse's ``q_param``, or a synapse reads, or
                the model returns, integers that are no real values.
        """
        current_of = {m.path: use.current for m, use in self.found.synapses.items()}
        for neuron, promised, flow in self._promised:
            if promised in current_of and root_of(current_of[promised]) is not root_of(flow):
                raise UsageError(
                    f"{neuron.label}: its q_param comes from '{promised}', its current from "
                    f"'{root_of(flow).name}'; pass the q_param that came with the current"
                )
        fed = {id(group) for group in self.groups_with_neurons()}
        for synapse, flow in self._read:
            if flow.kind is Kind.CURRENT and not flow.membrane and id(root_of(flow)) in fed:
                raise UsageError(
                    f"{synapse.label}: reads the current of '{root_of(flow).name}', which also "
                    "goes to a neuron and so is in integers; give each of them a synapse of its own"
                )
        for value in values_of(outputs):
            carried = self._states.of(value)
            if carried is not None and carried.touched:
                self._states.refuse(value, "the model returns")
            flow = self.flow(value)
            if flow.kind is not Kind.CURRENT:
                continue
            if id(root_of(flow)) in fed and not flow.membrane:
                raise UsageError(
                    f"the model returns the current of '{root_of(flow).name}', which also goes to "
                    "a neuron and so is in integers; return q_param.dequantize(current)"
                )
            root_of(flow).per_tensor = True

    def groups_with_neurons(self) -> list[Group]:
        """Return the groups whose currents reach a neuron."""
        return [root_of(use.current) for uses in self.found.neurons.values() for use in uses]


def root_of(flow: Flow) -> Group:
    """Return the group of a current."""
    if flow.group is None:
        raise RuntimeError("a current has no group")
    return flow.group.root()


def values_of(result: Any) -> Iterator[Any]:
    """Yield the tensors of a result."""
    if isinstance(result, (Tensor, Wire)):
        yield result
    elif isinstance(result, (tuple, list)):
        for entry in result:
            yield from values_of(entry)
    elif isinstance(result, dict):
        for entry in result.values():
            yield from values_of(entry)
