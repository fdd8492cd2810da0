"""What holds for every random model: torch, the graph and the lowering agree in every integer."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import torch
from random_models import RandomModel, Spec, ready, spikes_by_layer

import snnquant
from snnquant.nn import export_onnx
from snnquant.nn.quantized import export as quantized_export


def check(spec: Spec, path) -> dict[str, int]:
    """Check one random model; return how many spikes were compared and how many there were.

    Args:
        spec: the model.
        path: file that may be written.
    """
    model = ready(spec)
    model.quantize(**spec.quantize)
    graph, alone = _exported(model)
    x = model.example(9)
    expected = spikes_by_layer(model, x)
    compared = _check_graph(spec, graph, expected, x)
    _check_against_convert(spec, graph, alone)
    _check_other_ways(model, expected, x, path)
    return compared


def _exported(model: RandomModel):
    """Return the exported graph, and what the lowering makes of the same float graph alone."""
    calls = []
    lower = quantized_export.quantize_model

    def spy(*arguments, decided, **options):
        calls.append((arguments, options))
        return lower(*arguments, decided=decided, **options)

    quantized_export.quantize_model = spy
    try:
        graph = export_onnx(
            model,
            None,
            model.example(0),
            time_axis=None if model.spec.static else 0,
            fixed_timesteps=True,
        )
    finally:
        quantized_export.quantize_model = lower
    ((arguments, options),) = calls
    return graph, lower(*arguments, **options).model


def _check_graph(spec: Spec, graph, expected, x) -> dict[str, int]:
    """Spikes of every layer and step are those of the graph, with and without the library."""
    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    names = [name for name in expected if name != "output"]
    for name in names:
        opened.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    data = opened.SerializeToString()
    compared = {"values": 0, "spikes": 0}
    for session in (ort.InferenceSession(data), snnquant.InferenceSession(data)):
        found = dict(
            zip(
                ["output", *names],
                session.run(["output", *names], {"input": x.numpy()}),
                strict=True,
            )
        )
        for name in names:
            want = expected[name].numpy()
            got = found[name][0] if spec.single_step else found[name]
            assert np.array_equal(got, want), f"{name} differs: {spec}"
            compared["values"] += want.size
            compared["spikes"] += int((want != 0).sum())
        if spec.read_out == "spikes":
            assert np.array_equal(found["output"], expected["output"].numpy()), spec
        else:
            # Real values: a sum of scaled integers here, a scaled sum there.
            assert np.allclose(found["output"], expected["output"].numpy(), 1e-5, 1e-5), spec
    return compared


def _check_against_convert(spec: Spec, graph, alone) -> None:
    """The lowering that chooses scales itself, as ``convert`` does, makes the same integers."""
    own = {t.name: onnx.numpy_helper.to_array(t) for t in graph.graph.initializer}
    other = {t.name: onnx.numpy_helper.to_array(t) for t in alone.graph.initializer}
    assert own.keys() == other.keys(), spec
    for name, array in own.items():
        assert np.array_equal(array, other[name]), f"{name} differs: {spec}"


def _check_other_ways(model: RandomModel, expected, x, path) -> None:
    """Training with the integers, and a saved and loaded model, give the same spikes."""
    model.save_quantized_model(path)
    loaded = ready(model.spec)
    loaded.load_quantized_model(path)
    _same(expected, spikes_by_layer(loaded, x), model.spec)
    model.dequantize()
    model.aware(**model.spec.quantize)
    _same(expected, spikes_by_layer(model, x), model.spec)
    model.quantize()
    _same(expected, spikes_by_layer(model, x), model.spec)


def _same(expected, found, spec) -> None:
    for name, want in expected.items():
        assert torch.equal(want, found[name]), f"{name} differs: {spec}"
