"""Random quantizable models, exported in integers: the fused graph computes the same."""

import random
from collections import Counter

import torch
from fused_networks import fused_everywhere, fused_ops
from random_models import draw_spec, ready

from snnquant.nn import export_onnx


def test_fused_equals_unfused():
    seen = Counter()
    for seed in range(10):
        spec = draw_spec(random.Random(seed))
        model = ready(spec)
        model.quantize(**spec.quantize)
        graph = export_onnx(
            model,
            None,
            model.example(0),
            time_axis=None if spec.static else 0,
            fixed_timesteps=True,
        )
        with torch.no_grad():
            fusion, _ = fused_everywhere(graph, {"input": model.example(9).numpy()})
        seen.update(fused_ops(fusion))
    # Whole sequences, loops that were written out, and static inputs.
    assert any(op.startswith("QStatic") for op in seen)
    assert any(op.startswith("QLinear") and op.endswith("LIF") for op in seen)
    assert any(op.startswith("QLinear") and op.endswith("State") for op in seen)
