"""The op set of domain ``snnquant``, derived from the neurons.

Each neuron gives a float op (``LIF``) and an integer op (``QLIF``), each in variants that are names
of their own, because a kernel must know its inputs and outputs from its name:

* ``Recurrent``: the spikes of the last step come back through ``recurrent_weight``.
* ``State``: the states are inputs and outputs instead of starting at their initial values.
* ``Membrane``: the membrane of each step, after integration, is one more output.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from onnx import TensorProto

from snnquant.neurons import NEURONS, Choice, NeuronModel

DOMAIN = "snnquant"
OPSET_VERSION = 1

LEAK_SHIFT = Choice("leak_shift", 15, 0, 16, "m of the multipliers k / 2**m")
LEAK_ROUNDING = Choice("leak_rounding", 0, 0, 3, "0 nearest, 1 floor, 2 toward zero, 3 ceil")
CURRENT_SHIFT = Choice(
    "current_shift", 0, -31, 24, "left shift of the current; negative: right, to nearest"
)
STATE_BITS = Choice("state_bits", 32, 2, 32, "width at which states saturate")
ARITHMETIC_CHOICES = (LEAK_SHIFT, LEAK_ROUNDING, CURRENT_SHIFT, STATE_BITS)
#: Attributes that enter a function body as numbers; all others shape the body.
NUMERIC_ATTRIBUTES = frozenset({LEAK_SHIFT.name, STATE_BITS.name})

CURRENT = "current"
RECURRENT_WEIGHT = "recurrent_weight"
SPIKES = "spikes"
MEMBRANE = "membrane"
#: State of the recurrent variants: the spikes of the last step.
LAST_SPIKES = "s"


@dataclass(frozen=True)
class Port:
    """One input or output: its name, ONNX element type, and whether it has a time axis."""

    name: str
    elem_type: int
    timed: bool = False


@dataclass(frozen=True)
class OpSchema:
    """One op of the domain.

    Attributes:
        name: op type.
        neuron: the definition behind it.
        integer: integer op (name starts with ``Q``), else float.
        recurrent, stateful, with_membrane: the variant.
    """

    name: str
    neuron: NeuronModel
    integer: bool
    recurrent: bool
    stateful: bool
    with_membrane: bool

    @property
    def value_type(self) -> int:
        """Element type of currents, constants and membranes."""
        return TensorProto.INT32 if self.integer else TensorProto.FLOAT

    @property
    def spike_type(self) -> int:
        """Element type of spikes."""
        return TensorProto.UINT8 if self.integer else TensorProto.FLOAT

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Inputs that hold constants, in order: real names for float ops, integer names else."""
        held = [
            p
            for p in self.neuron.parameters
            if not (self.stateful and p.name in self.neuron.initial_parameters)
        ]
        return tuple(p.constant_name if self.integer else p.name for p in held)

    @property
    def state_names(self) -> tuple[str, ...]:
        """States that the op keeps, in order."""
        own = tuple(state.name for state in self.neuron.states)
        return (*own, LAST_SPIKES) if self.recurrent else own

    def state_port(self, name: str) -> Port:
        """Return the port of one state."""
        return Port(name, self.spike_type if name == LAST_SPIKES else self.value_type)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """All inputs, in order; none is optional."""
        ports = [Port(CURRENT, self.value_type, timed=True)]
        if self.recurrent:
            ports.append(Port(RECURRENT_WEIGHT, self.value_type))
        ports += [Port(name, self.value_type) for name in self.parameter_names]
        if self.stateful:
            ports += [self.state_port(name) for name in self.state_names]
        return tuple(ports)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """All outputs, in order."""
        first = (
            Port(SPIKES, self.spike_type, timed=True)
            if self.neuron.spiking
            else Port(MEMBRANE, self.value_type, timed=True)
        )
        ports = [first]
        if self.stateful:
            ports += [self.state_port(name) for name in self.state_names]
        if self.with_membrane:
            ports.append(Port(MEMBRANE, self.value_type, timed=True))
        return tuple(ports)

    @property
    def attributes(self) -> tuple[Choice, ...]:
        """All attributes, each an integer and required on every node."""
        if not self.integer:
            return self.neuron.choices
        return (*self.neuron.integer_choices(), *ARITHMETIC_CHOICES)

    @property
    def structural_attributes(self) -> tuple[str, ...]:
        """Attributes whose values shape the function body."""
        return tuple(a.name for a in self.attributes if a.name not in NUMERIC_ATTRIBUTES)


def op_name(
    neuron: NeuronModel,
    *,
    integer: bool,
    recurrent: bool = False,
    stateful: bool = False,
    with_membrane: bool = False,
) -> str:
    """Return the op type of a neuron's variant, such as ``QLIFState``."""
    return "".join(
        part
        for part, wanted in (
            ("Q", integer),
            (neuron.name, True),
            ("Recurrent", recurrent),
            ("State", stateful),
            ("Membrane", with_membrane),
        )
        if wanted
    )


@cache
def schemas() -> dict[str, OpSchema]:
    """Return every op of the domain by name."""
    found: dict[str, OpSchema] = {}
    for neuron in NEURONS:
        for bits in range(16):
            integer, recurrent, stateful, with_membrane = (bool(bits >> k & 1) for k in range(4))
            if not neuron.spiking and (recurrent or with_membrane):
                continue
            name = op_name(
                neuron,
                integer=integer,
                recurrent=recurrent,
                stateful=stateful,
                with_membrane=with_membrane,
            )
            found[name] = OpSchema(name, neuron, integer, recurrent, stateful, with_membrane)
    return found
