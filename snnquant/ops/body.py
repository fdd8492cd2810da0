"""One structure of one op, traced: views of the inputs, a Scan over time, views of the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from snnquant.neurons import constants_of
from snnquant.neurons.arithmetic import FloatArithmetic, IntegerArithmetic
from snnquant.ops.schema import (
    CURRENT,
    CURRENT_SHIFT,
    LAST_SPIKES,
    LEAK_ROUNDING,
    LEAK_SHIFT,
    RECURRENT_WEIGHT,
    STATE_BITS,
    OpSchema,
)
from snnquant.ops.trace import OnnxBackend, Scope, Traced, refer, used_nodes

_I64 = np.int64
_TO_THE_END = 2**31 - 1
#: A step works on [B, C, S], whose sizes are known at run time only.
STEP_AXES = 3
_STEP_DIMS = [None] * STEP_AXES


def attribute_of(scope: Scope, name: str) -> Traced:
    """Return the value of a node's attribute as an int64 scalar."""
    out = scope.fresh(name)
    node = helper.make_node("Constant", [], [out])
    refer(node, "value_int", onnx.AttributeProto.INT, name)
    scope.nodes.append(node)
    return Traced(scope, out)


class BodyTracer:
    """Traces one structure of an op into a scope.

    The current is viewed as ``[T, B, C, S]`` (channel, and everything behind it), constants as
    ``[1, 1 or C, 1 or S]``, so that one body serves every rank, ``T`` and batch.

    Args:
        schema: the op.
        structure: values of its structural attributes, in the schema's order.
        top: scope of the function.
        steps: number of time steps, to be written out; None: as many as the current has, in a Scan.
    """

    def __init__(
        self, schema: OpSchema, structure: tuple[int, ...], top: Scope, steps: int | None = None
    ) -> None:
        self.schema = schema
        self.steps = steps
        self.top = top
        self.values = dict(zip(schema.structural_attributes, structure, strict=True))
        self.working = TensorProto.INT64 if schema.integer else TensorProto.FLOAT
        self.numeric = _numeric(schema, top)
        self.shape = top.emit("Shape", [CURRENT])
        self.flat = top.emit("Concat", [self._count(2, 3), self._count(3, _TO_THE_END)], axis=0)
        self.step_shape = top.emit("Concat", [self._dims(1, 2), self.flat], axis=0)

    def trace(self) -> list[str]:
        """Emit the body and return the names of the op's outputs."""
        schema, top = self.schema, self.top
        held = self._constants()
        initial = self._initial_states(held)
        if self.steps is None:
            timed_shape = top.emit("Concat", [self._dims(0, 2), self.flat], axis=0)
            timed = top.emit("Reshape", [CURRENT, timed_shape], allowzero=1)
            finals, series = self._scanned(held, initial, timed)
        else:
            finals, series = self._written_out(held, initial, self.steps)
        outputs = [top.emit("Reshape", [series[0], self.shape], allowzero=1)]
        if schema.stateful:
            state_shape = self._dims(1, _TO_THE_END)
            for name, final in zip(schema.state_names, finals, strict=True):
                elem_type = schema.state_port(name).elem_type
                narrow = top.emit("Cast", [final], to=elem_type) if schema.integer else final
                outputs.append(top.emit("Reshape", [narrow, state_shape], allowzero=1))
        if schema.with_membrane:
            outputs.append(top.emit("Reshape", [series[1], self.shape], allowzero=1))
        return outputs

    def _dims(self, start: int, stop: int) -> str:
        """Return some dimensions of the current."""
        bounds = [self.top.constant([start], _I64), self.top.constant([stop], _I64)]
        return self.top.emit("Slice", [self.shape, *bounds])

    def _count(self, start: int, stop: int) -> str:
        """Return the product of some dimensions, 1 where there are none."""
        one = self.top.constant([1], _I64)
        part = self.top.emit("Concat", [self._dims(start, stop), one], axis=0)
        return self.top.emit("ReduceProd", [part], keepdims=1)

    def _widened(self, name: str) -> str:
        """Return a value in the type in which the step computes."""
        return self.top.emit("Cast", [name], to=self.working) if self.schema.integer else name

    def _constants(self) -> dict[str, str]:
        """View the constants so that they broadcast along a step, by the name of the parameter."""
        schema, top = self.schema, self.top
        held = {}
        for parameter in schema.neuron.parameters:
            if schema.stateful and parameter.name in schema.neuron.initial_parameters:
                continue
            name = parameter.constant_name if schema.integer else parameter.name
            batched = top.emit("Unsqueeze", [name, top.constant([0], _I64)])
            flat = top.emit("Reshape", [batched, top.constant([0, 0, -1], _I64)], name)
            held[parameter.name] = self._widened(flat)
        return held

    def _initial_states(self, held: Mapping[str, str]) -> list[str]:
        """Return the states before the first step: inputs, initial constants, or 0."""
        schema, top = self.schema, self.top
        initial = []
        for name in schema.state_names:
            if schema.stateful:
                given = top.emit("Reshape", [name, self.step_shape], allowzero=1)
                initial.append(self._widened(given))
                continue
            source = next((s.initial for s in schema.neuron.states if s.name == name), "")
            value = held[source] if source else top.constant(np.zeros((1, 1, 1)))
            if self.steps is None or name == LAST_SPIKES:
                value = top.emit("Expand", [value, self.step_shape], f"{name}_initial")
            initial.append(value)
        return initial

    def _scanned(
        self, held: Mapping[str, str], initial: list[str], timed: str
    ) -> tuple[list[str], list[str]]:
        """Emit a Scan over time; return final states, and the outputs of all steps."""
        finals = [self.top.fresh(f"{name}_final") for name in self.schema.state_names]
        series = [self.top.fresh("series") for _ in range(1 + self.schema.with_membrane)]
        body = self._step_graph(held)
        self.top.nodes.append(
            helper.make_node(
                "Scan", [*initial, timed], [*finals, *series], body=body, num_scan_inputs=1
            )
        )
        return finals, series

    def _written_out(
        self, held: Mapping[str, str], initial: list[str], steps: int
    ) -> tuple[list[str], list[str]]:
        """Emit every step: ONNX Runtime runs few nodes faster than a Scan starts them."""
        top = self.top
        longer = top.emit("Unsqueeze", [CURRENT, top.constant([-2, -1], _I64)])
        timed = top.emit("Reshape", [longer, top.constant([0, 0, 0, -1], _I64)])
        parts = [timed] if steps == 1 else [top.fresh("current") for _ in range(steps)]
        if steps > 1:
            lengths = top.constant(np.ones(steps, _I64), _I64)
            top.nodes.append(helper.make_node("Split", [timed, lengths], parts, axis=0))
        states = dict(zip(self.schema.state_names, initial, strict=True))
        seen: list[list[str]] = [[] for _ in range(1 + self.schema.with_membrane)]
        for part in parts:
            states, results = self._step(top, held, states, part)
            for place, result in zip(seen, results, strict=True):
                place.append(result)
        series = [top.emit("Concat", names, "series", axis=0) for names in seen]
        return [states[name] for name in self.schema.state_names], series

    def _step(
        self, scope: Scope, held: Mapping[str, str], incoming: Mapping[str, str], current: str
    ) -> tuple[dict[str, str], list[str]]:
        """Trace one step; return the states after it, and the outputs that have a time axis."""
        schema = self.schema
        seen = Traced(scope, current)
        if schema.integer:
            seen = seen.apply("Cast", seen, to=self.working)
        if schema.recurrent:
            seen = seen + self._feedback(Traced(scope, incoming[LAST_SPIKES]))
        constants = constants_of(
            schema.neuron,
            {
                p.constant_name: Traced(scope, held[p.name])
                for p in schema.neuron.parameters
                if p.name in held
            },
            self.values,
        )
        states = {s.name: Traced(scope, incoming[s.name]) for s in schema.neuron.states}
        ops = _arithmetic(schema, self.values, OnnxBackend(scope), self.numeric)
        output, after, membrane = schema.neuron.step(ops, states, seen, constants)
        after = {**after, LAST_SPIKES: output}
        results = [(output, schema.outputs[0].elem_type)]
        if schema.with_membrane:
            results.append((membrane, schema.value_type))
        return (
            {name: after[name].name for name in schema.state_names},
            [_own_type(scope, value, kind, schema.integer) for value, kind in results],
        )

    def _step_graph(self, held: Mapping[str, str]) -> onnx.GraphProto:
        """Trace the neuron's step as the body of the Scan."""
        schema = self.schema
        body = Scope(self.top.dtype, self.top, prefix=self.top.fresh("step") + "_")
        current = body.fresh("current")
        incoming = {name: body.fresh(name) for name in schema.state_names}
        after, scanned = self._step(body, held, incoming, current)
        outgoing = [
            body.emit("Identity", [after[name]], f"{name}_next") for name in schema.state_names
        ]
        kinds = [port.elem_type for port in schema.outputs if port.timed]
        info = helper.make_tensor_value_info
        return helper.make_graph(
            used_nodes(body.nodes, [*outgoing, *scanned]),
            "step",
            [info(incoming[name], self.working, _STEP_DIMS) for name in schema.state_names]
            + [info(current, schema.value_type, _STEP_DIMS)],
            [info(name, self.working, _STEP_DIMS) for name in outgoing]
            + [info(name, kind, _STEP_DIMS) for name, kind in zip(scanned, kinds, strict=True)],
        )

    def _feedback(self, last: Traced) -> Traced:
        """Return what the last spikes add to the current, through the recurrent weights."""
        top = self.top
        neurons = top.emit("ReduceProd", [self.flat], keepdims=1)
        rows = Traced(top, top.emit("Concat", [self._dims(1, 2), neurons], axis=0))
        weight = Traced(top, self._widened(RECURRENT_WEIGHT))
        back = last.apply("MatMul", last.apply("Reshape", last, rows, allowzero=1), weight)
        return last.apply("Reshape", back, Traced(top, self.step_shape), allowzero=1)


def _own_type(scope: Scope, value: Any, elem_type: int, integer: bool) -> str:
    """Return the name of a scan output in the op's own type."""
    if integer:
        return scope.emit("Cast", [value.name], to=elem_type)
    return scope.emit("Identity", [value.name])


def _numeric(schema: OpSchema, scope: Scope) -> dict[str, Any]:
    """Return the arithmetic's numbers that attributes of the node give."""
    if not schema.integer:
        return {}
    backend = OnnxBackend(scope)
    high = backend.power_of_two(attribute_of(scope, STATE_BITS.name) - 1) - 1
    shift = attribute_of(scope, LEAK_SHIFT.name)
    return {"leak_shift": shift, "low": -1 - high, "high": high}


def _arithmetic(
    schema: OpSchema, values: Mapping[str, int], backend: OnnxBackend, numeric: dict[str, Any]
) -> FloatArithmetic | IntegerArithmetic:
    """Return the arithmetic in which the body computes."""
    if not schema.integer:
        return FloatArithmetic(backend)
    return IntegerArithmetic(
        backend,
        leak_rounding=values[LEAK_ROUNDING.name],
        current_shift=values[CURRENT_SHIFT.name],
        **numeric,
    )
