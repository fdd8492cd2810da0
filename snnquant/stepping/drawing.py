"""The step graph under construction: shapes of a step, new nodes, states, names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from snnquant.names import take_name
from snnquant.passes.edit import new_initializer
from snnquant.stepping.interface import StepState
from snnquant.stepping.places import Shape, one_step
from snnquant.stepping.probe import Probe
from snnquant.stepping.timeline import Timeline

Array = npt.NDArray[Any]
#: The shape of one value at both batch sizes of the probe.
Shapes = tuple[Shape, Shape]


class Drawing:
    """A graph that is being cut to one step.

    Args:
        graph: the sequence's, edited in place.
        probe: its shapes.
        timeline: where time is in it.

    Attributes:
        states: by name of the input.
        origins: what each new state is of, as ``<node>.<state>``, by name of the input.
    """

    def __init__(self, graph: ir.Graph, probe: Probe, timeline: Timeline) -> None:
        self.graph = graph
        self.probe = probe
        self.timeline = timeline
        self.states: dict[str, StepState] = {}
        self.origins: dict[str, str] = {}
        self._new: dict[ir.Value, Shapes] = {}
        self._inputs: list[ir.Value] = []
        named = [*graph.inputs, *graph.initializers.values()]
        named += [value for node in graph for value in node.outputs]
        self._names = {value.name or "" for value in named}
        self._batch = _batch_name(graph, probe)

    # -- shapes --------------------------------------------------------------------------------

    def step_shapes(self, value: ir.Value) -> Shapes:
        """Return the shape of one step of a value at both batch sizes."""
        if value in self._new:
            return self._new[value]
        place, steps = self.timeline.places.get(value), self.timeline.steps
        name = value.name or ""
        first, second = self.probe.shapes[name], self.probe.others[name]
        return one_step(first, place, steps), one_step(second, place, steps)

    def set_shapes(self, value: ir.Value, shapes: Shapes) -> None:
        """Declare the shape of a value."""
        self._new[value] = shapes
        value.shape = self.declared(shapes)

    def declared(self, shapes: Shapes) -> ir.Shape:
        """Return a shape as the model declares it: the batch has its name."""
        batch = self.probe.batches[0]
        dims: list[int | str | None] = [
            a if a == b else self._batch if a == batch else None
            for a, b in zip(*shapes, strict=True)
        ]
        return ir.Shape(dims)

    def template(self, shapes: Shapes) -> list[int] | None:
        """Return the target of a Reshape: -1 where the batch is; None: it is in several places."""
        found = [a if a == b else -1 for a, b in zip(*shapes, strict=True)]
        return found if found.count(-1) <= 1 else None

    # -- nodes ---------------------------------------------------------------------------------

    def name_of(self, hint: str) -> str:
        """Return a value name that is free."""
        return take_name(hint, self._names)

    def constant(self, array: Array, hint: str) -> ir.Value:
        """Add an initializer."""
        return new_initializer(self.graph, self.name_of(hint), array)

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value],
        hint: str,
        shapes: Shapes,
        anchor: ir.Node | None,
        attributes: dict[str, Any] | None = None,
        dtype: ir.DataType | None = None,
    ) -> ir.Value:
        """Add a node with one output, in front of ``anchor`` or at the end."""
        name = self.name_of(hint)
        node = ir.node(op_type, list(inputs), attributes=attributes or {}, name=name)
        (value,) = node.outputs
        value.name = name
        value.type = inputs[0].type if dtype is None else ir.TensorType(dtype)
        self.set_shapes(value, shapes)
        if anchor is None:
            self.graph.append(node)
        else:
            anchor.prepend(node)
        return value

    def cast(self, value: ir.Value, dtype: ir.DataType, anchor: ir.Node | None) -> ir.Value:
        """Return a value in another type."""
        if value.dtype == dtype:
            return value
        hint = f"{value.name}.{dtype.name.lower()}"
        shapes = self.step_shapes(value)
        return self.op("Cast", [value], hint, shapes, anchor, {"to": dtype}, dtype)

    def reshape(
        self, value: ir.Value, shapes: Shapes, hint: str, anchor: ir.Node | None
    ) -> ir.Value | None:
        """Return a value in another shape; None: the batch is in several places of it."""
        target = self.template(shapes)
        if target is None:
            return None
        to = self.constant(np.array(target, np.int64), f"{hint}.shape")
        # A size of 0 would copy one of the input's, and no step has features of size 0 by it.
        attributes = {"allowzero": 1} if 0 in target else {}
        return self.op("Reshape", [value, to], hint, shapes, anchor, attributes)

    def succeed(self, old: ir.Value, new: ir.Value) -> None:
        """Let a new value take the place, the name and the shape of an old one."""
        shapes, place = self.step_shapes(old), self.timeline.places.get(old)
        name, old.name = old.name, self.name_of(f"{old.name}.before")
        new.name = name
        self.set_shapes(new, shapes)
        if place is not None:
            self.timeline.places[new] = place
        new.type = new.type or old.type
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)

    def bypass(self, node: ir.Node, value: ir.Value) -> None:
        """Let users of a node's only output use a value that is the same."""
        (old,) = node.outputs
        if old.is_graph_output():
            same = self.op("Identity", [value], f"{old.name}.same", self.step_shapes(old), node)
            self.succeed(old, same)
        else:
            ir.convenience.replace_all_uses_with(old, value)
        self.graph.remove(node, safe=True)

    # -- states --------------------------------------------------------------------------------

    def new_state(
        self, origin: str, dtype: ir.DataType, shapes: Shapes, initial: Array, label: str = ""
    ) -> ir.Value:
        """Add a state input; its output, called ``<name>.next``, is still to be given.

        Args:
            origin: what it is of, as ``<node>.<state>``.
            dtype: its type.
            shapes: its shapes.
            initial: value before the first step.
            label: wanted name; default: the origin.
        """
        name = self.name_of(label or origin)
        self.origins[name] = origin
        value = ir.Value(name=name, type=ir.TensorType(dtype))
        self.set_shapes(value, shapes)
        self._inputs.append(value)
        self.keep_state(name, self.name_of(f"{name}.next"), shapes, initial)
        return value

    def keep_state(self, name: str, later: str, shapes: Shapes, initial: Array) -> None:
        """Record a state."""
        first, batch = shapes[0], self.probe.batches[0]
        along = tuple(k for k, (a, b) in enumerate(zip(*shapes, strict=True)) if a != b)
        sizes = tuple(n // batch if k in along else n for k, n in enumerate(first))
        plain = (
            initial.reshape(-1)[0]
            if initial.size and (initial == initial.flat[0]).all()
            else initial
        )
        self.states[name] = StepState(later, sizes, along, plain.tolist())

    def give(self, name: str, value: ir.Value) -> None:
        """Make a value the next one of a state, in the type of the state."""
        state = next(v for v in self._inputs if v.name == name)
        self.output(self.states[name].next, value, state.dtype, self.step_shapes(value))

    def output(self, name: str, value: ir.Value, dtype: ir.DataType | None, shapes: Shapes) -> str:
        """Add an output under a name that is taken for it."""
        if dtype is None or value.dtype == dtype:
            if value.is_graph_output():
                final = self.op("Identity", [value], f"{name}.final", shapes, None)
            else:
                self.set_shapes(value, shapes)
                final = value
        else:
            final = self.op("Cast", [value], f"{name}.final", shapes, None, {"to": dtype}, dtype)
        final.name = name
        self.graph.outputs.append(final)
        return name

    def declare_inputs(self) -> None:
        """Declare the states that are new as inputs, behind the data."""
        self.graph.inputs.extend(self._inputs)

    def declare_shapes(self) -> None:
        """Declare the shapes of all values."""
        for node in self.graph:
            for value in node.outputs:
                value.shape = self.declared(self.step_shapes(value))


def _batch_name(graph: ir.Graph, probe: Probe) -> str:
    """Return what an input calls the batch."""
    declared = {value.name: value.shape for value in graph.inputs}
    for entry in probe.layout.inputs:
        shape = declared.get(entry.name)
        if shape is not None and entry.batch_axis is not None:
            dim = shape[entry.batch_axis]
            if isinstance(dim, ir.SymbolicDim) and dim.value:
                return dim.value
    return "batch"
