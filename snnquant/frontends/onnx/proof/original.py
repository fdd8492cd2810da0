"""Prove the preparation: what is read must compute what the file computes in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx

from snnquant import runtime
from snnquant.errors import ModelError, first_line
from snnquant.frontends.onnx.proof.whole_model import random_inputs

_RELATIVE, _ABSOLUTE = 1e-4, 1e-5
_SEED = 7
#: Batch sizes at which a graph is tried that says its batch is dynamic.
_BATCHES = (1, 2, 3, 5)


def check_original(original: onnx.ModelProto, prepared: onnx.ModelProto) -> None:
    """Run a file as it is beside what was made of it.

    Values of other types than float32 are computed in float32, where spikes may differ; of such
    files only that ONNX Runtime takes them is checked.

    Args:
        original: the file.
        prepared: the same, prepared and without loops.

    Raises:
        ModelError: ONNX Runtime does not take the file, or an output differs.
    """
    try:
        first = runtime.load_session(
            original.SerializeToString(), custom_ops=False, optimized=False
        )
    except (ModelError, ValueError) as error:
        raise ModelError(
            f"ONNX Runtime does not take the file, so that no reading of it can be proved: "
            f"{first_line(error)}; export it again"
        ) from error
    if not _is_float32(original):
        return
    second = runtime.load_session(prepared.SerializeToString(), custom_ops=False, optimized=False)
    names = list(dict.fromkeys(value.name for value in prepared.graph.output))
    feeds = random_inputs(prepared, 1.0, np.random.default_rng(_SEED))
    try:
        before = first.run(names, feeds)
    except Exception:  # ONNX Runtime raises types of its own
        return  # a batch that is baked in; freeing it is proved by itself
    for name, a, b in zip(names, before, second.run(names, feeds), strict=True):
        if a.shape != b.shape or not np.allclose(a, b, _RELATIVE, _ABSOLUTE, equal_nan=True):
            raise ModelError(
                f"output '{name}' of the prepared graph differs from the file's; export it with "
                "another opset (17 to 20)"
            )


def check_batches(original: onnx.ModelProto, freed: onnx.ModelProto) -> None:
    """Run a graph at the batch sizes that it takes, beside the same freed from a baked batch.

    Args:
        original: says that its batch is dynamic.
        freed: what was made of it.

    Raises:
        ModelError: at some size both run and differ: more than shapes is baked in.
    """
    first, second = (
        runtime.load_session(m.SerializeToString(), custom_ops=False, optimized=False)
        for m in (original, freed)
    )
    names = list(dict.fromkeys(value.name for value in freed.graph.output))
    for size in _BATCHES:
        feeds = random_inputs(original, 1.0, np.random.default_rng(_SEED), size)
        try:
            before = first.run(names, feeds)
        except Exception:  # ONNX Runtime raises types of its own
            continue
        for name, a, b in zip(names, before, second.run(names, feeds), strict=True):
            if a.shape != b.shape or not np.allclose(a, b, _RELATIVE, _ABSOLUTE, equal_nan=True):
                raise ModelError(
                    f"a state of a fixed batch is baked in although the batch is said to be "
                    f"dynamic: with {size} samples output '{name}' is {list(a.shape)}; make states "
                    "inside forward, as many as the input has samples, and export again"
                )


def _is_float32(model: onnx.ModelProto) -> bool:
    others = (onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    values = [v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)]
    held = [tensor.data_type for tensor in model.graph.initializer]
    return not any(kind in others for kind in (*values, *held))
