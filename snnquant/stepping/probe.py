"""Shapes of all values of a model, found by running it at two batch sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from snnquant import runtime
from snnquant.errors import ModelError, last_line
from snnquant.instrument import ModelLayout, Runner, with_outputs
from snnquant.stepping.places import Shape

#: Batch sizes, which no shape has by chance at both, and steps of a sequence of any length.
_BATCHES = (2, 3)
_STEPS = 5
#: Size of other dynamic dimensions, such as those of maps.
_OTHER = 8


@dataclass(frozen=True)
class Probe:
    """What runs of a model tell.

    Attributes:
        layout: axes of inputs and outputs.
        batches: the two batch sizes; equal where the model fixes it.
        shapes: of every value at the first of them, by name.
        others: at the second.
    """

    layout: ModelLayout
    batches: tuple[int, int]
    shapes: dict[str, Shape]
    others: dict[str, Shape]


def probe(model: onnx.ModelProto) -> Probe:
    """Run a model on zeros and return the shapes of its values.

    Raises:
        ModelError: it does not run.
    """
    layout = Runner(model, custom_ops=False).layout
    fixed = layout.fixed_batch
    batches = (fixed, fixed) if fixed else _BATCHES
    first, second = (_shapes(model, layout, batch) for batch in batches)
    return Probe(layout, batches, first, second)


def _shapes(model: onnx.ModelProto, layout: ModelLayout, batch: int) -> dict[str, Shape]:
    feeds = {}
    for entry in layout.inputs:
        shape = [
            size or (batch if k == entry.batch_axis else _STEPS if k == entry.time_axis else _OTHER)
            for k, size in enumerate(entry.shape)
        ]
        feeds[entry.name] = np.zeros(shape, entry.dtype)
    names = [name for node in model.graph.node for name in node.output if name]
    found = {name: feed.shape for name, feed in feeds.items()}
    found |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    session = runtime.load_session(
        with_outputs(model, names).SerializeToString(), custom_ops=True, optimized=False
    )
    try:
        results = session.run(names, feeds)
    except Exception as error:  # ONNX Runtime raises types of its own
        raise ModelError(f"the model cannot be run: {last_line(error)}; convert again") from error
    return found | {name: np.shape(value) for name, value in zip(names, results, strict=True)}
