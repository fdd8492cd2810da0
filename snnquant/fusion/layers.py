"""Writes fused layers: a neuron with its synapses, a synapse alone, a sum over time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from snnquant.fusion.currents import Currents
from snnquant.fusion.emit import repeated, summed, synapse_attributes, synapse_inputs
from snnquant.fusion.spikes import Spikes, out_dims
from snnquant.fusion.view import Current, Dim, NotFusedError, Pending, View
from snnquant.fusion.writer import Writer, shape
from snnquant.ops.fused import (
    TIMESTEPS,
    Synapse,
    fused_name,
    fused_schemas,
)
from snnquant.ops.schema import RECURRENT_WEIGHT, OpSchema, schemas
from snnquant.passes.edit import constant, expanded_constant, int_attribute


@dataclass
class Made:
    """What was written in place of a node.

    Attributes:
        outputs: in the layout of the integer graph, one per output of the node.
        view: the spikes of a neuron.
        layers: fused op by the name of each synapse and neuron.
    """

    outputs: list[ir.Value]
    view: View | None = None
    layers: dict[str, str] = field(default_factory=dict)


def fuse_neuron(node: ir.Node, currents: Currents) -> Made:
    """Write a neuron and the synapses in front of it as one fused op, and further currents.

    Raises:
        NotFusedError: no fused op computes that.
    """
    schema = schemas()[node.op_type]
    if schema.with_membrane:
        raise NotFusedError("it gives its membrane out")
    current = currents.current(node.inputs[0], 2)
    ports = {p.name: v for p, v in zip(schema.inputs, node.inputs, strict=True) if v is not None}
    for name in schema.parameter_names:
        held = constant(ports[name])
        if held is None or held.ndim != 1 or held.size not in (1, current.channels):
            raise NotFusedError("its constants differ from neuron to neuron")
    main = _main(schema, current)
    out = currents.writer
    layers: dict[str, str] = {}
    rest = replace(current, synapses=tuple(s for s in current.synapses if s is not main))
    static, residual = not main.view.lead.timed, bool(rest.synapses or rest.extras)
    op = fused_schemas()[fused_name(schema, main.kind, static=static, residual=residual)]
    lead = current.lead
    full: tuple[Dim, ...] = (lead.steps or 1, lead.batch, *current.space, current.channels)
    inputs = synapse_inputs(main, out)
    if residual:
        inputs.append(repeated(summed(rest, out, layers), rest, out))
    if schema.recurrent:
        inputs.append(ports[RECURRENT_WEIGHT])
    inputs += [ports[name] for name in schema.parameter_names]
    if schema.stateful:
        inputs += [_start(ports[name], main, current, out) for name in schema.state_names]
    attributes = {c.name: int_attribute(node, c.name, c.default) for c in schema.attributes}
    attributes |= synapse_attributes(main)
    if static:
        attributes[TIMESTEPS.name] = int(lead.steps or 1)
    hints = [f"{old.name}.last" if current.space else old.name or "" for old in node.outputs]
    results = [
        (hint, port.elem_type, full if port.timed else full[1:])
        for hint, port in zip(hints, op.outputs, strict=True)
    ]
    doc = f"{main.note}\n{node.doc_string or ''}"
    made = out.node(op.name, inputs, results, attributes, name=node.name, doc=doc)
    out.synapses[node.name or ""] = main.name
    outputs = []
    for port, old, new in zip(op.outputs, node.outputs, made, strict=True):
        kept = 2 if port.timed else 1
        out.remember(new, old, replace(lead, timed=port.timed, steps=lead.steps, axes=kept))
        outputs.append(out.channels_first(new, kept))
    layers |= {main.name: op.name, node.name or "": op.name}
    if not schema.neuron.spiking:
        return Made(outputs, None, layers)
    most = attributes.get("max_spikes", 1)
    timed = replace(lead, timed=True, axes=2)
    view = View(made[0], timed, current.space, current.channels, most, native=True)
    return Made(outputs, view, layers)


def _main(schema: OpSchema, current: Current) -> Pending:
    """Return the synapse that is fused with the neuron: the largest, of those with time if any."""
    if not current.synapses and current.written:
        raise NotFusedError("its current goes to several layers")
    if not current.synapses:
        raise NotFusedError("its current does not come from a synapse")
    timed = [s for s in current.synapses if s.view.lead.timed]
    terms = len(current.synapses) + len(current.extras)
    if terms > 1 and (schema.recurrent or not timed):
        kind = "recurrent neuron" if schema.recurrent else "neuron of a static input"
        raise NotFusedError(f"a {kind} takes the current of one synapse only")
    main = max(timed or current.synapses, key=lambda synapse: synapse.weight.size)
    if schema.recurrent and (main.kind is not Synapse.LINEAR or current.space):
        raise NotFusedError("recurrent neurons are fused behind linear synapses only")
    return main


def _start(state: ir.Value, main: Pending, current: Current, out: Writer) -> ir.Value:
    """Return the state that a neuron starts from, channels last."""
    held = expanded_constant(state)
    if held is None:
        return out.channels_last(state, 1)
    rank = len(current.features)
    held = held.reshape(held.shape[1:]) if held.ndim > rank and held.shape[0] == 1 else held
    if held.ndim > rank:
        raise NotFusedError("its states start from one value per sample")
    last = np.moveaxis(held.reshape((1,) * (rank - held.ndim) + held.shape), 0, -1)
    initial = out.constant(last.astype(held.dtype), f"{state.name}.initial")
    view = main.view
    dims = out_dims(view)
    at = view.lead.rank - 1
    batch = out.standard(
        "Shape",
        [view.value],
        f"{view.value.name}.batch",
        [1],
        ir.DataType.INT64,
        start=at,
        end=at + 1,
    )
    features = (*current.space, current.channels)
    rest = out.constant(np.array(features, np.int64), "fused.features")
    wanted = out.standard(
        "Concat", [batch, rest], f"{view.value.name}.state_shape", [1 + rank], axis=0
    )
    return out.standard("Expand", [initial, wanted], f"{state.name}.last", (dims[at], *features))


def plain_current(current: Current, old: ir.Value, out: Writer) -> Made:
    """Write a current without neuron in place of a value of the integer graph.

    Args:
        current: what the value is.
        old: the value.
        out: where to.
    """
    layers: dict[str, str] = {}
    total = summed(current, out, layers)
    if not current.lead.timed and current.lead.steps is not None:
        total = repeated(total, current, out)
        current = replace(current, lead=replace(current.lead, timed=True))
    out.remember(total, old, current.lead)
    plain = out.plain(total, current)
    if old.dtype is not None:
        plain = out.cast(plain, old.dtype)
    return Made([plain], None, layers)


def fuse_time_sum(node: ir.Node, spikes: Spikes) -> ir.Value | None:
    """Write the sum of spikes over time on bytes; None where it is another sum."""
    result, source = node.outputs[0], node.inputs[0]
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if axes is None or axes.tolist() != [0] or result.dtype != ir.DataType.INT32:
        return None
    try:
        view = spikes.view(source, 2)
    except NotFusedError:
        return None
    if view.flat or view.zero or not view.lead.timed or (view.space and not view.native):
        return None
    out = spikes.writer
    dims = out_dims(view)[1:]
    hint = f"{result.name}.sum"
    made = out.node("QTimeSum", [view.value], [(hint, int(ir.DataType.INT32), dims)])[0]
    if int_attribute(node, "keepdims", 1):
        first = out.constant(np.array([0], np.int64), "fused.first_axis")
        plain = out.channels_first(made, 1)
        return out.standard("Unsqueeze", [plain, first], f"{hint}.kept", (1, *shape(plain)))
    out.remember(made, result, replace(view.lead, timed=False, steps=None))
    return out.channels_first(made, 1)
