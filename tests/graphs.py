"""Float SNN graphs for tests: one builder, and what runs them in every way there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from snnquant.calibrate import calibration_points
from snnquant.calibration import SPIKES
from snnquant.instrument import with_outputs
from snnquant.lowering.plan import InputScale
from snnquant.numerics import IntRange
from snnquant.ops import DOMAIN, attach_functions, schemas
from snnquant.passes import canonicalise
from snnquant.quantize import QuantizedModel, quantize_model
from snnquant.quantize_options import QuantizeOptions
from snnquant.reference import Reference
from snnquant.runtime import load_session
from snnquant.self_check import integer_values
from snnquant.target import Target, load_target

Array = Any

#: A value that no layer needs; parameters that a test leaves out get it.
DEFAULTS = {
    "alpha": 1.0,
    "alpha_syn": 0.5,
    "leak_bias": 0.0,
    "v_threshold": 1.0,
    "dv": 1.0,
    "v_reset": 0.0,
    "v_init": 0.0,
    "v_min": -8.0,
    "threshold_decay": 0.5,
    "threshold_bias": 0.0,
    "threshold_increment": 0.25,
    "refractory_steps": 2.0,
}


class Graph:
    """A graph under construction. Values are names; every op has one output."""

    def __init__(self, opset: int = 17) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, value: str, rank: int) -> str:
        shape = [None] * rank
        self.outputs.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, shape))
        return value

    def const(self, array: Any, dtype: Any = np.float32, name: str = "") -> str:
        self._count += 1
        name = name or f"c{self._count}"
        self.tensors.append(numpy_helper.from_array(np.array(array, dtype), name))
        return name

    def op(self, op_type: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        self._count += 1
        name = name or f"{op_type}{self._count}"
        self.nodes.append(helper.make_node(op_type, inputs, [f"{name}.y"], name=name, **attributes))
        return f"{name}.y"

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.op("Reshape", value, self.const(shape, np.int64))

    def neuron(
        self,
        current: str,
        op_type: str = "LIF",
        *,
        name: str = "",
        weight: Any = None,
        choices: Mapping[str, int] | None = None,
        states: Sequence[str] = (),
        **parameters: Any,
    ) -> list[str]:
        """Add a float neuron with all parameters and choices; return its outputs."""
        self._count += 1
        name = name or f"{op_type.lower()}{self._count}"
        schema = schemas()[op_type]
        inputs = [current]
        if schema.recurrent:
            inputs.append(self.const(weight))
        unknown = set(parameters) - set(schema.parameter_names)
        assert not unknown, unknown
        for key in schema.parameter_names:
            value = np.asarray(parameters.get(key, DEFAULTS[key]), np.float32)
            inputs.append(self.const(value.reshape(-1) if value.ndim == 0 else value))
        inputs += states
        assert len(inputs) == len(schema.inputs)
        given = {c.name: c.default for c in schema.attributes} | dict(choices or {})
        outputs = [f"{name}.{port.name}" for port in schema.outputs]
        self.nodes.append(
            helper.make_node(op_type, inputs, outputs, name=name, domain=DOMAIN, **given)
        )
        return outputs

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "net", self.inputs, self.outputs, self.tensors)
        imports = [helper.make_opsetid("", self.opset), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=9)


def run_float(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """Run a float model in ONNX Runtime by its function bodies."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    attach_functions(copy)
    return load_session(copy.SerializeToString(), custom_ops=False, threads=1).run(
        None, dict(feeds)
    )


def op_types(model: ir.Model | onnx.ModelProto) -> list[str]:
    """Return the op types of the main graph, in order."""
    nodes = model.graph.node if isinstance(model, onnx.ModelProto) else list(model.graph)
    return [node.op_type for node in nodes]


def options_of(
    target: str | Target = "generic",
    weight_bits: int | None = None,
    input_bits: int | None = None,
    per_channel: bool | None = None,
    readout_as: str = "float",
    rounding: str = "nearest",
) -> QuantizeOptions:
    profile = load_target(target) if isinstance(target, str) else target
    return QuantizeOptions(
        profile,
        weight_bits or profile.weight_bits,
        input_bits or profile.input_bits,
        profile.per_channel if per_channel is None else per_channel,
        readout_as,
        rounding=rounding,
    )


def quantize(
    model: onnx.ModelProto | ir.Model,
    options: QuantizeOptions | None = None,
    scales: Mapping[str, float] | None = None,
    spikes: Sequence[str] = (),
) -> QuantizedModel:
    """Quantize with given scales: 1/32 for what is analog, 1 for the named spikes."""
    options = options or options_of()
    canonical, entries = calibrated(model, options, scales, spikes)
    return quantize_model(canonical, entries, options)


def calibrated(
    model: onnx.ModelProto | ir.Model,
    options: QuantizeOptions,
    scales: Mapping[str, float] | None = None,
    spikes: Sequence[str] = (),
) -> tuple[ir.Model, dict[str, InputScale]]:
    """Return the canonical graph of a model, and given scales for all that needs one."""
    canonical = canonicalise(model) if isinstance(model, onnx.ModelProto) else model
    limits = IntRange.signed(options.input_bits)
    entries = {
        name: SPIKES
        if name in spikes
        else InputScale((scales or {}).get(name, 2.0**-5), limits.low, limits.high)
        for name in calibration_points(canonical, options.target)
    }
    return canonical, entries


def all_values(model: onnx.ModelProto) -> list[str]:
    """Return the names of all computed values of the main graph."""
    return [name for node in model.graph.node for name in node.output if name]


def run_everywhere(
    model: onnx.ModelProto, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], int]:
    """Run an integer model with library, without, and in the reference; all integers are equal.

    Returns:
        All values by name, and how many integers of neurons were compared.
    """
    onnx.checker.check_model(model, full_check=True)
    names = all_values(model)
    wide = with_outputs(model, names).SerializeToString()
    native = dict(zip(names, load_session(wide, threads=1).run(names, dict(feeds)), strict=True))
    bodies = dict(
        zip(
            names,
            load_session(wide, custom_ops=False, threads=1).run(names, dict(feeds)),
            strict=True,
        )
    )
    reference = Reference(model, names).run(feeds)
    compared = 0
    inside = set(integer_values(model))
    for name in names:
        integer = native[name].dtype.kind in "iu"
        if integer or name in inside:
            np.testing.assert_array_equal(native[name], reference[name], err_msg=name)
            assert native[name].dtype == reference[name].dtype, name
            compared += native[name].size * (name in inside)
        np.testing.assert_array_equal(native[name], bodies[name], err_msg=name)
    plain = load_session(model.SerializeToString(), threads=1).run(None, dict(feeds))
    for value, result in zip(model.graph.output, plain, strict=True):
        np.testing.assert_array_equal(result, native[value.name], err_msg=value.name)
    assert compared > 0
    return native, compared


def stored(model: onnx.ModelProto, name: str) -> Array:
    """Return an initializer by name."""
    return next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)


def assert_canonical_equals(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> ir.Model:
    """Return the canonical graph of a model after comparing all float outputs before and after."""
    canonical = canonicalise(model)
    before = run_float(model, feeds)
    after = run_float(ir.to_proto(canonical), feeds)
    assert [v.name for v in canonical.graph.outputs] == [v.name for v in model.graph.output]
    for value, old, new in zip(model.graph.output, before, after, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5, err_msg=value.name)
    return canonical
