"""Writes a neuron with its parameters as one node of domain ``snnquant``."""

from __future__ import annotations

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.torch.graph import Written
from snnquant.frontends.torch.trace import Neuron
from snnquant.neurons import CUBALIF, LI, LIF, NeuronModel, Reset
from snnquant.neurons.li import SYNAPTIC
from snnquant.ops import DOMAIN, op_name, schemas
from snnquant.ops.schema import RECURRENT_WEIGHT


def emit_neuron(
    written: Written,
    neuron: Neuron,
    current: str,
    like: onnx.NodeProto,
    *,
    spikes_read: bool,
    membrane_read: bool,
) -> list[str]:
    """Write a neuron over ``current [T, B, ...]`` and return its spikes and its membrane.

    Where only the membrane of a neuron without a reset is read, it is a read-out.
    """
    translation = neuron.described.translation
    choices = translation.all_choices()
    model: NeuronModel = translation.model
    plain = model in (LIF, CUBALIF) and neuron.weight is None
    without_reset = plain and choices["reset"] == Reset.NONE
    if without_reset and membrane_read and not spikes_read:
        choices = {SYNAPTIC.name: int(model is CUBALIF)}
        model = LI
    if translation.never_fires and spikes_read:
        raise ModelError(
            f"module '{neuron.layer.path}': its spikes are read, but its threshold is infinite"
        )
    with_membrane = model.spiking and membrane_read
    recurrent = neuron.weight is not None
    name = op_name(model, integer=False, recurrent=recurrent, with_membrane=with_membrane)
    constants = translation.constants(neuron.features, model)
    inputs = [current]
    for port in schemas()[name].inputs[1:]:
        array = neuron.weight if port.name == RECURRENT_WEIGHT else constants.get(port.name)
        if array is None:
            raise ModelError(f"module '{neuron.layer.path}': no value for {port.name}")
        inputs.append(written.constant(array, port.name))
    count = 2 if with_membrane else 1
    outputs = written.node(name, inputs, like, count=count, domain=DOMAIN, attributes=choices)
    return [outputs[0], outputs[-1]]
