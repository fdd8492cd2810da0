"""Where the time of an integer model goes, layer by layer, beside what the work must take."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant import runtime
from snnquant.bench.peak import MachinePeak
from snnquant.instrument import with_outputs
from snnquant.model_file import neuron_nodes
from snnquant.ops.fused import (
    FAN_IN,
    INPUT,
    ZERO_POINT,
    Synapse,
    fused_schemas,
)
from snnquant.ops.schema import DOMAIN
from snnquant.passes.edit import SYNAPSES

Array = npt.NDArray[Any]
_PROFILED_RUNS = 30


@dataclass(frozen=True)
class LayerCost:
    """Time and work of one layer in one call.

    Attributes:
        name: of the layer: the neuron's, or of the op where there is none.
        op: what runs; of a layer that is not fused, the ops from its synapse to its neuron.
        seconds: median of its time.
        share: of the time of all layers.
        density: share of its inputs that are not 0, None where it has no synapse.
        firing_rate: spikes per neuron and step, None where it has no spiking neuron.
        macs: multiplications if every input were computed; None where it has no fused synapse.
        peak_share: of what the machine can do at most: dot products for dense layers, added
            weights for layers whose inputs are sparse, whichever needs less time.
    """

    name: str
    op: str
    seconds: float
    share: float
    density: float | None
    firing_rate: float | None
    macs: int | None
    peak_share: float | None


def layer_costs(
    model: onnx.ModelProto, feeds: Mapping[str, Array], peak: MachinePeak
) -> tuple[LayerCost, ...]:
    """Profile a model on one call's inputs, with one thread.

    Args:
        model: integer model.
        feeds: inputs by name.
        peak: of this machine.
    """
    times = _node_times(model.SerializeToString(), feeds)
    groups = _layers_of(model)
    named = {node.name: node for node in model.graph.node}
    looked = [named[name] for names in groups.values() for name in names if name in named]
    values = _values(model, looked, feeds)
    seconds = {
        layer: sum(statistics.median(times[n]) for n in names if n in times)
        for layer, names in groups.items()
    }
    total = sum(seconds.values()) or 1.0
    return tuple(
        _cost(layer, [named[n] for n in names if n in named], seconds[layer], total, values, peak)
        for layer, names in groups.items()
    )


def _node_times(model: bytes, feeds: Mapping[str, Array]) -> dict[str, list[float]]:
    """Return the seconds of every node, run by run, by the node's name."""
    with tempfile.TemporaryDirectory(prefix="snnquant-bench-") as folder:
        session = runtime.load_session(model, threads=1, profile=str(Path(folder) / "profile"))
        for _ in range(_PROFILED_RUNS):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[str, list[float]] = {}
    for event in events:
        name, suffix, _ = event.get("name", "").rpartition("_kernel_time")
        if suffix and event.get("cat") == "Node":
            found.setdefault(name, []).append(event["dur"] / 1e6)
    return found


def _layers_of(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Return the names of the nodes of every layer, by its name, in order.

    What stands between two neurons belongs to the second one; what stands behind the last is a
    layer called ``read-out``.
    """
    neurons = {node.name for node in neuron_nodes(model)}
    layers: dict[str, list[str]] = {}
    pending: list[str] = []
    for node in model.graph.node:
        pending.append(node.name)
        fused = node.domain == DOMAIN and node.op_type in fused_schemas()
        if node.name in neurons or fused:
            # A fused op is a layer of its own, with what rearranges its input in front of it.
            layers[node.name] = pending
            pending = []
    if pending:
        layers["read-out"] = pending
    return layers


def _values(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the first inputs and outputs of nodes that are computed."""
    computed = {name for node in model.graph.node for name in node.output}
    wanted = {n for node in nodes for n in (*node.input[:1], *node.output[:1]) if n in computed}
    names = sorted(wanted)
    session = runtime.load_session(with_outputs(model, names).SerializeToString(), threads=1)
    results = session.run(names, dict(feeds)) if names else []
    return dict(zip(names, results, strict=True)) | dict(feeds)


def _cost(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    seconds: float,
    total: float,
    values: Mapping[str, Array],
    peak: MachinePeak,
) -> LayerCost:
    last = nodes[-1]
    schema = fused_schemas().get(last.op_type) if last.domain == DOMAIN else None
    spikes = values.get(last.output[0])
    spiking = last.domain == DOMAIN and spikes is not None and spikes.dtype == np.uint8
    macs = density = None
    zero = 0
    synapse = next((n for n in nodes if n.op_type in SYNAPSES), None)
    if schema is not None and schema.synapse is not Synapse.NONE:
        seen = values[last.input[[p.name for p in schema.inputs].index(INPUT)]]
        held = {a.name: a for a in last.attribute}
        zero = held[ZERO_POINT.name].i
        density = float((seen != zero).mean()) if seen.size else 0.0
        macs = _macs(schema.static, held, seen, spikes)
    elif schema is None and synapse is not None and synapse.input[0] in values:
        seen = values[synapse.input[0]]
        density = float((seen != 0).mean()) if seen.size else 0.0
    fastest = None
    if macs and density is not None:
        events = seen.min(initial=zero) >= zero and seen.max(initial=zero) <= zero + 1
        by_events = macs * density / peak.events if events else math.inf
        fastest = min(macs / peak.dense, by_events)
    fires = spiking and (schema is None or schema.neuron_op is not None)
    return LayerCost(
        name=name,
        op=last.op_type if schema is not None else " ".join(n.op_type for n in nodes),
        seconds=seconds,
        share=seconds / total,
        density=density,
        firing_rate=float(spikes.mean()) if fires and spikes is not None and spikes.size else None,
        macs=macs,
        peak_share=None if fastest is None or not seconds else fastest / seconds,
    )


def _macs(
    static: bool, held: Mapping[str, onnx.AttributeProto], seen: Array, out: Array | None
) -> int:
    """Return the multiplications of a synapse: the fan-in of every output that it computes."""
    if out is None:
        return 0
    outputs = out.size // max(len(out), 1) if static else out.size
    return int(outputs * held[FAN_IN.name].i)
