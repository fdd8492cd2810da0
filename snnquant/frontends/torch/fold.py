"""Makes one neuron over time of every run of calls, and runs what lies between once over T x B.

Torch exports a loop over time step by step. Read backwards from the outputs, ``T`` values that the
same operations compute from the same constants, one per step, are one value with time folded into
the batch; the spikes of ``T`` calls that go on from one another are one neuron's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from snnquant.errors import ModelError
from snnquant.frontends.torch.batchwise import batched_inputs
from snnquant.frontends.torch.calls import Calls, key_of
from snnquant.frontends.torch.graph import FLOAT, Source, Written, attributes_of
from snnquant.frontends.torch.merged import emit_neuron
from snnquant.frontends.torch.picked import picked_steps
from snnquant.frontends.torch.readout import accumulated, stacked
from snnquant.frontends.torch.trace import CALL_DOMAIN, MEMBRANE, SPIKES, Neuron

Names = tuple[str, ...]


class NotFoldedError(Exception):
    """The steps do not compute one value with time folded into the batch."""


class FeedbackError(ModelError):
    """A neuron's current depends on its own spikes by operations outside of the neuron."""


def fold_calls(model: onnx.ModelProto, neurons: Sequence[Neuron]) -> None:
    """Replace the calls in an exported model by neurons of domain ``snnquant``, in place.

    Args:
        model: as torch exported it, calls as nodes.
        neurons: how each was called.

    Raises:
        FeedbackError: there is a recurrence outside of the neurons.
        ModelError: something reads a synaptic current, or calls are not those that were seen.
    """
    folding = _Folding(model, neurons)
    folding.run()


class _Folding:
    def __init__(self, model: onnx.ModelProto, neurons: Sequence[Neuron]) -> None:
        self.model = model
        self.neurons = neurons
        self.source = Source(model)
        self.written = Written(self.source)
        self.calls = Calls(self.source, neurons)
        self.emitted: dict[str, str] = {}
        self.timed_of: dict[Names, str] = {}
        self.flat_of: dict[Names, str] = {}
        self.merged: dict[tuple[int, int], list[str]] = {}
        self.open: set[tuple[int, int]] = set()
        self.batch = str((self.source.shape(self.source.inputs[0]) or ("batch",))[0])

    def run(self) -> None:
        """Write the outputs, and all that they need, into the model."""
        try:
            names = [self.emit(value.name) for value in self.model.graph.output]
        except RecursionError as error:
            raise ModelError(
                "the steps of the network cannot be folded: its operations between outputs and "
                "neurons are too deep; return spikes or membranes of all steps instead"
            ) from error
        self.written.put_into(self.model, names, without_domain=CALL_DOMAIN)

    # One value ---------------------------------------------------------------------------------

    def emit(self, name: str) -> str:
        """Return the written value that equals one value of the source."""
        if name in self.emitted:
            return self.emitted[name]
        node = self.source.producer.get(name)
        if node is None:
            self.emitted[name] = name
            return name
        if node.domain == CALL_DOMAIN:
            return self._emit_call(node, name)
        folded = self._emit_over_time(node)
        if folded is None:
            outputs = self.written.copy(node, [self.emit(n) if n else "" for n in node.input])
        else:
            outputs = [folded]
        for old, new in zip(node.output, outputs, strict=True):
            if old:
                self.emitted[old] = new
                self._describe_like(old, new)
        return self.emitted[name]

    def _emit_call(self, node: onnx.NodeProto, name: str) -> str:
        """Return one call's output: the neuron's, or one step of it."""
        key = key_of(node)
        place = list(node.output).index(name)
        timed = self._neuron(key)[place]
        if self.neurons[key[0]].described.layout is not None:
            result = timed
        else:
            step = self.written.constant(np.array(self.calls.run_of[key].index(key[1])), "step")
            result = self.written.node("Gather", [timed, step], node, attributes={"axis": 0})[0]
            self._describe_like(name, result)
        self.emitted[name] = result
        return result

    def _emit_over_time(self, node: onnx.NodeProto) -> str | None:
        """Return a node over all steps as one over a folded value, if it is one."""
        steps = stacked(node, self.source)
        if steps is not None:
            return self._emit_stack(node, *steps)
        sums = accumulated(node, self.source)
        if sums is None:
            return None
        names, reduction = sums
        try:
            timed = self.timed(names)
        except NotFoldedError:
            return None
        axes = self.written.constant(np.array([0], np.int64), "axes")
        return self.written.node(reduction, [timed, axes], node, attributes={"keepdims": 0})[0]

    def _emit_stack(self, node: onnx.NodeProto, names: Names, axis: int | None) -> str | None:
        try:
            if axis is None:
                return self.flat(names)
            timed = self.timed(names)
        except NotFoldedError:
            return None
        rank = len(self.source.shape(names[0]) or ()) + 1
        axis %= rank
        if axis == 0:
            return timed
        perm = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        return self.written.node("Transpose", [timed], node, attributes={"perm": perm})[0]

    def _describe_like(self, old: str, new: str) -> None:
        shape = self.source.shape(old)
        if shape is not None and old in self.source.types:
            self.written.describe(new, self.source.types[old], shape)

    # T values as one ---------------------------------------------------------------------------

    def timed(self, names: Names) -> str:
        """Return one value per step as one, ``[T, B, ...]``, or raise NotFoldedError."""
        if names not in self.timed_of:
            self.timed_of[names] = self._timed(names)
        return self.timed_of[names]

    def _timed(self, names: Names) -> str:
        features, steps = self._features(names[0]), len(names)
        if len(set(names)) == 1:
            return self._repeated(names[0], steps)
        calls = [self.source.producer.get(name) for name in names]
        keys = [key_of(n) if n is not None and n.domain == CALL_DOMAIN else None for n in calls]
        if keys[0] is not None and calls[0] is not None:
            index = keys[0][0]
            place = list(calls[0].output).index(names[0])
            wanted = [(index, number) for number in self.calls.run_of[keys[0]]]
            outputs = [n.output[place] for n in calls if n is not None]
            if keys != wanted or outputs != list(names):
                raise NotFoldedError
            return self._neuron(keys[0])[place]
        picked = picked_steps(names, self.source)
        if picked is not None:
            return self._picked(*picked, names)
        if len(set(names)) < steps or calls[0] is None:
            raise NotFoldedError
        shape = self.written.constant(np.array([steps, -1, *features], np.int64), "shape")
        out = self.written.node("Reshape", [self.flat(names), shape], calls[0])[0]
        return self.written.describe(
            out, self.source.elem_type(names[0]), [steps, self.batch, *features]
        )

    def flat(self, names: Names) -> str:
        """Return one value per step as one, ``[T*B, ...]``, or raise NotFoldedError."""
        if names not in self.flat_of:
            self.flat_of[names] = self._flat(names)
        return self.flat_of[names]

    def _flat(self, names: Names) -> str:
        nodes = [self.source.producer.get(name) for name in names]
        first = nodes[0]
        folds = (
            len(set(names)) == len(names)
            and first is not None
            and first.domain != CALL_DOMAIN
            and picked_steps(names, self.source) is None
        )
        if folds and first is not None:
            return self._operation(names, [n for n in nodes if n is not None])
        features = self._features(names[0])
        shape = self.written.constant(np.array([-1, *features], np.int64), "shape")
        out = self.written.node("Reshape", [self.timed(names), shape], first)[0]
        return self._describe_flat(out, names)

    def _describe_flat(self, out: str, names: Names) -> str:
        axes: list[int | str] = [f"{len(names)}*{self.batch}", *self._features(names[0])]
        return self.written.describe(out, self.source.elem_type(names[0]), axes)

    def _operation(self, names: Names, nodes: Sequence[onnx.NodeProto]) -> str:
        """Write one operation per step as one over the folded batch."""
        first = nodes[0]
        place = list(first.output).index(names[0])
        alike = len(nodes) == len(names) and all(
            n.op_type == first.op_type
            and n.domain == first.domain
            and len(n.input) == len(first.input)
            and list(n.output).index(name) == place
            and attributes_of(n) == attributes_of(first)
            for n, name in zip(nodes, names, strict=False)
        )
        if not alike:
            raise NotFoldedError
        carried = batched_inputs(first, self.source)
        if carried is None:
            raise NotFoldedError
        inputs = []
        for index, name in enumerate(first.input):
            column = tuple(n.input[index] for n in nodes)
            if first.op_type == "Reshape" and index == 1:
                target = np.array([-1, *self._features(names[0])], np.int64)
                inputs.append(self.written.constant(target, "shape"))
            elif index in carried:
                inputs.append(self.flat(column))
            elif len(set(column)) == 1 or self._equal_constants(column):
                inputs.append(self.emit(name) if name else "")
            else:
                raise NotFoldedError
        out = self.written.copy(first, inputs)[place]
        for attribute in list(self.written.nodes[-1].attribute):
            if first.op_type == "Reshape" and attribute.name == "allowzero":
                self.written.nodes[-1].attribute.remove(attribute)
        return self._describe_flat(out, names)

    def _equal_constants(self, names: Names) -> bool:
        held = [self.source.constants.get(name) for name in names]
        if any(tensor is None for tensor in held):
            return False
        return len({(tuple(t.dims), t.data_type, t.raw_data) for t in held if t is not None}) == 1

    def _repeated(self, name: str, steps: int) -> str:
        """Give every step the same value."""
        features = self._features(name)
        axes = self.written.constant(np.array([0], np.int64), "axes")
        like = self.source.producer.get(name)
        one = self.written.node("Unsqueeze", [self.emit(name), axes], like)[0]
        self.written.describe(one, self.source.elem_type(name), [1, self.batch, *features])
        sizes = np.array([steps, 1, *(1 for _ in features)], np.int64)
        out = self.written.node("Expand", [one, self.written.constant(sizes, "shape")], like)[0]
        return self.written.describe(
            out, self.source.elem_type(name), [steps, self.batch, *features]
        )

    def _picked(self, value: str, axis: int, places: Sequence[int], names: Names) -> str:
        """Write values that are picked one by one along an axis as the whole, time first."""
        shape = self.source.shape(value) or ()
        result = self.emit(value)
        like = self.source.producer[names[0]]
        if list(places) != list(range(len(names))) or shape[axis] != len(names):
            index = self.written.constant(np.array(places, np.int64), "steps")
            result = self.written.node("Gather", [result, index], like, attributes={"axis": axis})[
                0
            ]
        features = self._features(names[0])
        if axis:
            perm = [axis, *(k for k in range(len(shape)) if k != axis)]
            result = self.written.node("Transpose", [result], like, attributes={"perm": perm})[0]
            self.written.describe(
                result, self.source.elem_type(names[0]), [len(names), self.batch, *features]
            )
        return result

    def _features(self, name: str) -> tuple[int, ...]:
        features = self.source.features(name)
        if features is None:
            raise NotFoldedError
        return features

    # Neurons -----------------------------------------------------------------------------------

    def _neuron(self, key: tuple[int, int]) -> list[str]:
        """Return spikes and membrane ``[T, B, ...]`` of the run that a call belongs to."""
        index, run = key[0], self.calls.run_of[key]
        start = (index, run[0])
        if start in self.merged:
            return self.merged[start]
        neuron = self.neurons[index]
        if start in self.open:
            raise FeedbackError(
                f"module '{neuron.layer.path}': its spikes come back to its own current by "
                "operations outside of the neuron"
            )
        present = self.calls.nodes_of(key)
        self.open.add(start)
        try:
            current = self._current(neuron, present)
        except NotFoldedError:
            current = self._joined(present)
        self.open.remove(start)
        reads = [any(n.output[k] in self.calls.read for n in present) for k in range(2)]
        self.merged[start] = emit_neuron(
            self.written,
            neuron,
            current,
            present[0],
            spikes_read=reads[SPIKES],
            membrane_read=reads[MEMBRANE],
        )
        for out in self.merged[start]:
            steps = sum(neuron.calls[number].steps for number in run[: len(present)])
            self.written.describe(out, FLOAT, [steps, self.batch, *neuron.features])
        return self.merged[start]

    def _current(self, neuron: Neuron, nodes: Sequence[onnx.NodeProto]) -> str:
        names = tuple(node.input[0] for node in nodes)
        if neuron.described.layout is not None:
            if len(names) > 1:
                raise ModelError(
                    f"module '{neuron.layer.path}' is called {len(names)} times with several steps "
                    "each; give it all steps at once"
                )
            return self.emit(names[0])
        if len(names) == 1:
            return self._repeated(names[0], 1)
        return self.timed(names)

    def _joined(self, nodes: Sequence[onnx.NodeProto]) -> str:
        """Stack currents that have nothing in common, such as those of unlike steps."""
        axes = self.written.constant(np.array([0], np.int64), "axes")
        parts = []
        for node in nodes:
            step = self.emit(node.input[0])
            parts.append(self.written.node("Unsqueeze", [step, axes], node)[0])
        return self.written.node("Concat", parts, nodes[0], attributes={"axis": 0})[0]


__all__ = ["FeedbackError", "fold_calls"]
