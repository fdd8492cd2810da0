"""Fused ops: a synapse and the neurons behind it as one op, and maps of spikes, channels last.

Every neuron op without ``Membrane`` gives fused ones: ``QLinearLIF`` and ``QConvLIF`` are ``QLIF``
behind a linear or convolutional synapse of uint8 spikes. Prefix ``Static``: the input has no time
axis, and the synapse is computed once for all steps. ``Residual``: one more current is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from snnquant.neurons import Choice
from snnquant.ops.schema import CURRENT, DOMAIN, SPIKES, OpSchema, Port, schemas

INPUT = "input"
WEIGHT = "weight"
BIAS = "bias"
RESIDUAL = "residual"
#: The second map of a sum of two, and a sum over time.
OTHER, SUM = "other", "sum"

GAIN_SHIFT = Choice("gain_shift", 0, 0, 24, "sums are multiplied by 2**gain_shift")
ZERO_POINT = Choice("zero_point", 0, 0, 255, "the input that counts as 0")
WEIGHT_BITS = Choice("weight_bits", 8, 2, 8, "width of a stored weight: 8, 4 or 2")
FAN_IN = Choice("fan_in", 1, 1, 2**31 - 1, "weights per output channel")
GROUP = Choice("group", 1, 1, 2**31 - 1, "groups of channels")
TIMESTEPS = Choice("timesteps", 1, 1, 2**31 - 1, "steps that see the static input")

#: Not part of any model: how fast the machine is at most.
PEAK_OP = "QMachinePeak"
#: What :data:`PEAK_OP` measures: dot products, or weights added up for events.
PEAK_KIND = Choice("kind", 0, 0, 1, "0 dot products, 1 events")
PEAK_ROUNDS, PEAK_OPERATIONS, PEAK_RESULT = "rounds", "operations", "result"


@dataclass(frozen=True)
class ListChoice:
    """An attribute that is a list of integers.

    Attributes:
        name: of the attribute.
        low: smallest value of an entry.
        per_axis: entries per spatial axis.
        doc: one line.
    """

    name: str
    low: int
    per_axis: int
    doc: str


KERNEL_SHAPE = ListChoice("kernel_shape", 1, 1, "size of the kernel along each axis")
STRIDES = ListChoice("strides", 1, 1, "step of the kernel along each axis")
DILATIONS = ListChoice("dilations", 1, 1, "distance of neighbouring weights along each axis")
PADS = ListChoice("pads", 0, 2, "zeros in front along each axis, then behind")
WINDOW = (KERNEL_SHAPE, STRIDES, DILATIONS, PADS)
#: Most spatial axes.
MAX_AXES = 2


class Synapse(Enum):
    """Kind of synapse of a fused op."""

    NONE = ""
    LINEAR = "Linear"
    CONV = "Conv"


class Family(Enum):
    """What an integer op is to its kernel."""

    NEURON = "neuron"
    FUSED = "fused"
    SYNAPSE = "synapse"
    SPIKE_MAX_POOL = "spike_max_pool"
    SPIKE_SUM_POOL = "spike_sum_pool"
    SPIKE_ADD = "spike_add"
    TIME_SUM = "time_sum"
    MACHINE_PEAK = "machine_peak"


@dataclass(frozen=True)
class FusedSchema:
    """One fused op.

    Attributes:
        name: op type.
        family: what it computes.
        synapse: kind of synapse.
        neuron_op: the unfused op that takes the current; None: there are no neurons.
        static: the input has no time axis.
        residual: one more current is added.
    """

    name: str
    family: Family
    synapse: Synapse = Synapse.NONE
    neuron_op: OpSchema | None = None
    static: bool = False
    residual: bool = False

    @property
    def inputs(self) -> tuple[Port, ...]:
        """All inputs, in order; none is optional."""
        timed = not self.static
        ports = [Port(INPUT, TensorProto.UINT8, timed=timed)]
        if self.family is Family.MACHINE_PEAK:
            return (Port(PEAK_ROUNDS, TensorProto.INT32),)
        if self.family is Family.SPIKE_ADD:
            ports.append(Port(OTHER, TensorProto.UINT8, timed=True))
        if self.synapse is Synapse.NONE:
            return tuple(ports)
        ports += [Port(WEIGHT, TensorProto.INT8), Port(BIAS, TensorProto.INT32)]
        if self.residual:
            ports.append(Port(RESIDUAL, TensorProto.INT32, timed=True))
        # The neuron's own inputs follow, all but the current.
        return (*ports, *(self.neuron_op.inputs[1:] if self.neuron_op else ()))

    @property
    def outputs(self) -> tuple[Port, ...]:
        """All outputs, in order."""
        if self.neuron_op is not None:
            return self.neuron_op.outputs
        if self.family is Family.SYNAPSE:
            return (Port(CURRENT, TensorProto.INT32, timed=True),)
        if self.family is Family.MACHINE_PEAK:
            return (Port(PEAK_OPERATIONS, TensorProto.INT32), Port(PEAK_RESULT, TensorProto.INT32))
        if self.family is Family.TIME_SUM:
            return (Port(SUM, TensorProto.INT32),)
        return (Port(SPIKES, TensorProto.UINT8, timed=True),)

    @property
    def attributes(self) -> tuple[Choice, ...]:
        """All integer attributes, each required on every node."""
        found = self.neuron_op.attributes if self.neuron_op else ()
        if self.synapse is not Synapse.NONE:
            found += (GAIN_SHIFT, ZERO_POINT, WEIGHT_BITS, FAN_IN)
        if self.synapse is Synapse.CONV:
            found += (GROUP,)
        if self.family is Family.MACHINE_PEAK:
            found = (PEAK_KIND,)
        return (*found, TIMESTEPS) if self.static else found

    @property
    def list_attributes(self) -> tuple[ListChoice, ...]:
        """All attributes that are lists, each required on every node."""
        pools = self.family in (Family.SPIKE_MAX_POOL, Family.SPIKE_SUM_POOL)
        return WINDOW if pools or self.synapse is Synapse.CONV else ()


def fused_name(
    neuron_op: OpSchema | None, synapse: Synapse, *, static: bool = False, residual: bool = False
) -> str:
    """Return the op type of a neuron op behind a synapse, such as ``QStaticConvLIFState``."""
    if neuron_op is None:
        return f"Q{synapse.value}"
    variant = neuron_op.name[len("Q") + len(neuron_op.neuron.name) :]
    return "".join(
        (
            "Q",
            "Static" if static else "",
            synapse.value,
            neuron_op.neuron.name,
            "Residual" if residual else "",
            variant,
        )
    )


#: The op that measures the machine.
PEAK_SCHEMA = FusedSchema(PEAK_OP, Family.MACHINE_PEAK)


@cache
def fused_schemas() -> dict[str, FusedSchema]:
    """Return every fused op by name."""
    found = [
        FusedSchema("QSpikeMaxPool", Family.SPIKE_MAX_POOL),
        FusedSchema("QSpikeSumPool", Family.SPIKE_SUM_POOL),
        FusedSchema("QSpikeAdd", Family.SPIKE_ADD),
        FusedSchema("QTimeSum", Family.TIME_SUM),
    ]
    synapses = (Synapse.LINEAR, Synapse.CONV)
    found += [FusedSchema(fused_name(None, s), Family.SYNAPSE, s) for s in synapses]
    for neuron_op in schemas().values():
        if not neuron_op.integer or neuron_op.with_membrane:
            continue
        for synapse in synapses:
            if neuron_op.recurrent and synapse is Synapse.CONV:
                continue
            for static, residual in ((False, False), (True, False), (False, True)):
                if residual and neuron_op.recurrent:
                    continue
                name = fused_name(neuron_op, synapse, static=static, residual=residual)
                found.append(FusedSchema(name, Family.FUSED, synapse, neuron_op, static, residual))
    return {schema.name: schema for schema in found}


def op_schema(op_type: str) -> OpSchema | FusedSchema | None:
    """Return an op of the domain, fused or not; None: there is no such op."""
    return schemas().get(op_type) or fused_schemas().get(op_type)


def neuron_schema(op_type: str) -> OpSchema | None:
    """Return the neuron op that an op is or holds, None if it has no neurons."""
    found = op_schema(op_type)
    return found.neuron_op if isinstance(found, FusedSchema) else found


def channels_last(domain: str, op_type: str) -> bool:
    """Whether the outputs of a node have their channels last; else these are the third axis."""
    return domain == DOMAIN and op_type in fused_schemas()


def named_inputs(node: onnx.NodeProto, schema: OpSchema | FusedSchema) -> dict[str, str]:
    """Return the names of the values that a node takes, by port."""
    return dict(zip((port.name for port in schema.inputs), node.input, strict=True))


def channels_third(values: npt.NDArray[Any], node: onnx.NodeProto) -> npt.NDArray[Any]:
    """Return what a node gives at every step as ``[T, B, channels, ...]``, fused or not."""
    return np.moveaxis(values, -1, 2) if channels_last(node.domain, node.op_type) else values
