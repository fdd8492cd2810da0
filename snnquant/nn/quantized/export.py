"""Writes a quantized model as the integer ONNX graph, with the integers that its layers hold.

The float graph of the same model goes through the lowering that ``convert`` uses, with the scales
that were decided for the layers; what comes out is compared with the layers before it is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from torch import nn

from snnquant.convert_model import model_properties
from snnquant.data import Batch
from snnquant.errors import ModelError, SelfCheckError
from snnquant.lowering.decided import Decided
from snnquant.lowering.plan import InputScale
from snnquant.model_file import metadata
from snnquant.nn.quantized.link import q_modules
from snnquant.nn.quantized.mode import Mode
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.synapse import QSynapse
from snnquant.ops.attach import TIMESTEPS_KEY
from snnquant.ops.schema import DOMAIN, RECURRENT_WEIGHT
from snnquant.passes import canonicalise
from snnquant.passes.edit import SYNAPSES
from snnquant.quantize import fuse_result, quantize_model
from snnquant.self_check import check_fused
from snnquant.widths import prove_widths, shapes_for, with_proof

if TYPE_CHECKING:
    from snnquant.nn.quantized.model import QModel

Array = npt.NDArray[Any]
#: Returns the float graph, and the path of the module that each of its nodes comes from.
Export = Callable[[], tuple[onnx.ModelProto, dict[str, str]]]


def export_integers(
    model: QModel, export: Export, samples: Batch, *, fuse: bool = False
) -> onnx.ModelProto:
    """Return the integer graph of a quantized model.

    Args:
        model: in quantized mode.
        export: exports the model in float mode.
        samples: of which widths of states are proved for one, and fused ops compared on all.
        fuse: make one op of a synapse and its neurons.

    Raises:
        ModelError: forward does something between the layers that has another form in the graph.
        SelfCheckError: the graph would hold other integers than the layers, or the fused one
            computes others.
    """
    options = model.options
    if options is None:
        raise RuntimeError("a model in quantized mode has options")
    for module in q_modules(model).values():
        module.check_unchanged()
    with _in_floating_point(model):
        exported, sources = export()
    graph = canonicalise(exported)
    modules = q_modules(model)
    nodes = {node: _module_of(node, modules, sources) for node in graph.graph}
    rates = model.known().rates
    _check_found(modules, set(nodes.values()))
    result = quantize_model(
        graph,
        _scales(graph, nodes, model),
        options,
        model_properties(replace(options, fuse=fuse), metadata(exported).get(TIMESTEPS_KEY)),
        {n.name or "": rates[m.path] for n, m in nodes.items() if m and m.path in rates},
        decided=dict(_decided(nodes)),
        keep_float={n.name or "" for n, m in nodes.items() if m is None and _is_layer(n)},
        analog=False,
    )
    _check_inputs(result.layers, {node.name: module for node, module in nodes.items()})
    _check(result.model, nodes)
    shapes, any_length = shapes_for(graph, samples)
    result = with_proof(result, prove_widths(result.model, shapes, {}, any_length=any_length))
    if not fuse:
        return result.model
    fused = fuse_result(result)
    if fused.fusion is not None:
        check_fused(result.model, fused.fusion, samples)
    return fused.model


@contextmanager
def _in_floating_point(model: nn.Module) -> Iterator[None]:
    """Let the layers compute in floating point, without dropping their integers."""
    modes = [(module, module.mode) for module in q_modules(model).values()]
    try:
        for module, _ in modes:
            module.mode = Mode.FLOAT
        yield
    finally:
        for module, mode in modes:
            module.mode = mode


def _module_of(node: ir.Node, modules: Mapping[str, Any], sources: Mapping[str, str]) -> Any:
    """Return the quantizable layer that a synapse or neuron node stands for, if any."""
    module = modules.get(sources.get(node.name or "", ""))
    wanted = QNeuron if node.domain == DOMAIN else QSynapse
    return module if _is_layer(node) and isinstance(module, wanted) else None


def _is_layer(node: ir.Node) -> bool:
    """Whether a node is a synapse or a neuron; those of layers that stay float stay float."""
    return node.domain == DOMAIN or node.op_type in SYNAPSES


def _check_found(modules: Mapping[str, Any], found: set[Any]) -> None:
    """Raise where a layer that has integers is not in the graph."""
    for module in modules.values():
        if isinstance(module, (QSynapse, QNeuron)) and module.settings and module not in found:
            raise ModelError(
                f"{module.label}: is not in the exported graph; export the model with an input "
                "for which forward uses it, as it did when it was quantized"
            )


def _scales(graph: ir.Model, nodes: Mapping[ir.Node, Any], model: QModel) -> dict[str, InputScale]:
    """Return how every value that may enter the integers does, by its name in the graph."""
    scales = {}
    known = model.known()
    if known.first.spikes:
        scales[graph.graph.inputs[0].name or ""] = known.first
    for node, module in nodes.items():
        source = node.inputs[0] if node.inputs else None
        if isinstance(module, QSynapse) and module.settings is not None and source is not None:
            s = module.settings
            if s.enters:
                coherence = known.inputs[module.path].coherence
                scales[source.name or ""] = InputScale(
                    s.factor, s.low, s.high, coherence, spikes=not s.encoder
                )
    return scales


def _decided(nodes: Mapping[ir.Node, Any]) -> Iterator[tuple[str, Decided]]:
    """Yield the scales that the layers have, by node name."""
    for node, module in nodes.items():
        if isinstance(module, QSynapse) and module.settings is not None:
            s = module.settings
            yield node.name or "", Decided(s.scale, s.gain, s.current_shift)
        elif isinstance(module, QNeuron) and module.recurrent_weight is not None:
            for use in module.settings.values():
                yield node.name or "", Decided(use.scale.reshape(-1), use.gain, use.current_shift)


def _check_inputs(layers: Sequence[Mapping[str, Any]], modules: Mapping[Any, Any]) -> None:
    """Raise where the graph reads the input of a synapse on another scale than its layer."""
    for layer in layers:
        module = modules.get(layer["name"])
        if not isinstance(module, QSynapse) or module.settings is None:
            continue
        if float(layer["input_scale"]) != float(module.settings.factor):
            raise ModelError(
                f"{module.label}: the graph reads its input in steps of {layer['input_scale']:g}, "
                f"torch in steps of {module.settings.factor:g}; put a layer of snnquant.nn "
                "(QAvgPool2d, QMaxPool2d, ...) in the place of what forward does in front of it"
            )


def _check(model: onnx.ModelProto, nodes: Mapping[ir.Node, Any]) -> None:
    """Raise unless weights and constants of the graph are those of the layers."""
    held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    emitted = {node.name: node for node in model.graph.node}
    for node, module in nodes.items():
        if module is None:
            continue
        written = emitted.get(node.name or "")
        if isinstance(module, QSynapse):
            same = _same_weights(node, module, held)
        elif written is None or written.domain != DOMAIN or not written.op_type.startswith("Q"):
            raise ModelError(
                f"{module.label} does not become an integer neuron in the graph; between the "
                "layers, forward does something that has no integer form there"
            )
        else:
            same = any(_same_constants(node.name or "", module, s, held) for s in module.settings)
        if not same:
            raise SelfCheckError(
                f"{module.label} would have other integers in the graph than in torch; "
                "nothing was written, please report this"
            )


def _same_weights(node: ir.Node, module: QSynapse, held: Mapping[str, Array]) -> bool:
    """Whether the weights of a synapse in the graph are those that its layer holds."""
    weight = node.inputs[1]
    name = "" if weight is None else f"{weight.name}.q"
    if module.weight_integers is None or f"{name}1" in held or name not in held:
        # Weights that are split into digits, or that several steps share under one name.
        return module.weight_integers is not None
    own = module.weight_integers.cpu().numpy()
    return np.array_equal(held[name], own) or np.array_equal(held[name], own.T)


def _same_constants(name: str, module: QNeuron, group: str, held: Mapping[str, Array]) -> bool:
    """Whether all constants of a neuron in the graph are those that its layer holds."""
    own = {key: tensor.cpu().numpy() for key, tensor in module.held(group).items()}
    for parameter in module.model.parameters:
        stored = held.get(f"{name}.{parameter.constant_name}")
        if stored is None:
            continue
        spread = stored.reshape(stored.shape + (1,) * (own[parameter.name].ndim - stored.ndim))
        try:
            ours, theirs = np.broadcast_arrays(own[parameter.name], spread)
        except ValueError:
            return False
        if not np.array_equal(ours, theirs):
            return False
    weight = held.get(f"{name}.{RECURRENT_WEIGHT}.q")
    gain = module.settings[group].gain
    return weight is None or np.array_equal(weight.astype(np.int64) * gain, own[RECURRENT_WEIGHT])
