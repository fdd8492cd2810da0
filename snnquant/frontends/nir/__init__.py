"""NIR files: continuous neurons, made discrete in the way of the framework that wrote them."""

from __future__ import annotations

from pathlib import Path

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.nir.build import Layout, build
from snnquant.frontends.nir.convention import convention_of
from snnquant.frontends.nir.file import read_tree
from snnquant.frontends.nir.graph import NEURONS, Graph, flatten, ordered
from snnquant.frontends.nir.loops import cut_loops
from snnquant.frontends.nir.neurons import fitted
from snnquant.frontends.nir.shapes import Shape, step_shapes
from snnquant.frontends.reading import Reading, SourceOptions
from snnquant.model_file import check_weights


def read(path: Path, options: SourceOptions) -> Reading:
    """Read a NIR file.

    The input is a sequence ``[T, B, ...]``; ``options.time_axis = 1`` makes it ``[B, T, ...]``,
    and an ``options.input_shape`` of batch and features alone a static input that is repeated
    ``options.timesteps`` times.

    Raises:
        ModelError: the file is no NIR graph, or holds what no neuron expresses.
        NumericalError: NaN or infinite numbers.
        UsageError: an option does not fit, or h5py is not installed.
    """
    graph = flatten(read_tree(path))
    graph, loops = cut_loops(graph)
    order = ordered(graph, {path for loop in loops.values() for path in loop.inside})
    if not any(node.kind in NEURONS for node in order):
        raise ModelError(f"{path} has no neuron that leads to an output; export the whole network")
    shapes = step_shapes(graph, order)
    graph = fitted(graph, shapes)
    convention = convention_of(graph, options)
    layout = _layout(graph, shapes, options)
    graph.notes.append(
        "Where a step multiplies its input by a factor, threshold, reset and leak bias of the "
        "neuron are divided by it instead."
    )
    model, origins = build(graph, order, shapes, loops, convention, layout)
    check_weights(model, str(path))
    return Reading(model, origins, graph.notes)


def _layout(graph: Graph, shapes: dict[str, Shape], options: SourceOptions) -> Layout:
    """Return how the input holds time, and note what is assumed."""
    steps = options.timesteps
    given = options.input_shape
    features = next(shapes[node.path] for node in graph.of_kind(["Input"]) if node.path in shapes)
    if given is not None and given[1:] == features:
        if steps is None:
            raise UsageError(
                f"--input-shape {','.join(map(str, given))} has no time axis; give --timesteps too"
            )
        graph.notes.append(f"The input is static and repeated for {steps} steps.")
        return Layout(None, steps)
    if given is not None and given[2:] != features:
        raise UsageError(
            f"--input-shape {','.join(map(str, given))} does not fit: one step has the shape "
            f"{list(features)}; give batch and these sizes"
        )
    axis = options.time_axis or 0
    order = "[T, B, ...]" if axis == 0 else "[B, T, ...]"
    graph.notes.append(f"The input is a sequence {order}, one value of the input per step.")
    return Layout(axis, steps)
