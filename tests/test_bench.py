"""The benchmark's numbers against direct counts; times themselves are not asserted."""

from __future__ import annotations

from importlib import resources

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from single_op import instruction_set, usable_isas

from snnquant.bench import (
    Reference,
    bench_model,
    interleave,
    layer_costs,
    machine_peak,
    peak_memory,
)
from snnquant.bench.timing import MIN_TURNS, RUNS_PER_TURN, Contender
from snnquant.calibrate import calibrate_model
from snnquant.calibration import CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import Dataset, open_data
from snnquant.errors import UsageError
from snnquant.frontends import load_canonical
from snnquant.instrument import Runner
from snnquant.quantize_options import choose_options
from snnquant.target import load_target


@pytest.fixture(scope="module")
def digits() -> tuple[onnx.ModelProto, bytes, onnx.ModelProto, Dataset]:
    """The demo network in integers, as it is, as it was recognised, and its data."""
    with resources.as_file(resources.files("snnquant") / "demo_data") as folder:
        graph = load_canonical(folder / "digits_conv.onnx")
        dataset = open_data(folder / "digits_calibration.npz")
        original = (folder / "digits_conv.onnx").read_bytes()
    calibration = calibrate_model(graph, dataset, CalibrationSettings("auto", 64, 64))
    options = choose_options(load_target("generic"), fuse=True)
    made = convert_model(graph, calibration, options, source_sha256="", calibration_sha256="").model
    return made, original, ir.to_proto(graph), dataset


@pytest.mark.parametrize("isa", usable_isas())
def test_every_instruction_set_has_peaks(isa: str) -> None:
    machine_peak.cache_clear()
    with instruction_set(isa):
        peak = machine_peak()
    machine_peak.cache_clear()
    assert peak.dense > 1e7
    assert peak.events > 1e7


def test_contenders_take_turns(digits: tuple) -> None:
    model, _, _, dataset = digits
    feeds = Runner(model).feeds(next(iter(dataset.batches(3, 3))).inputs)
    contenders = [Contender(name, model.SerializeToString(), feeds) for name in ("a", "b")]
    timings = interleave(contenders, 0.0)
    assert {t.runs for t in timings.values()} == {MIN_TURNS * RUNS_PER_TURN}
    assert all(0 < t.low <= t.median <= t.high for t in timings.values())
    assert all(
        np.array_equal(a, b) for a, b in zip(*(c.outputs() for c in contenders), strict=True)
    )


def test_layers_are_counted_as_they_are(digits: tuple) -> None:
    model, _, _, dataset = digits
    feeds = Runner(model).feeds(next(iter(dataset.batches(5, 5))).inputs)
    costs = {cost.name: cost for cost in layer_costs(model, feeds, machine_peak())}
    # Convolutions 1 -> 12 and 12 -> 24 of 3 x 3, and a linear layer 96 -> 10, of 5 samples and 6
    # steps; the first one is computed once for all steps.
    assert costs["lif1"].macs == 5 * 8 * 8 * 12 * 9
    assert costs["lif2"].macs == 6 * 5 * 4 * 4 * 24 * 12 * 9
    assert costs["lif3"].macs == 6 * 5 * 10 * 96
    seen = np.rint(feeds["input"] / 1.0)
    assert 0 < costs["lif1"].density <= 1
    assert seen.shape == (5, 1, 8, 8)
    assert sum(cost.share for cost in costs.values()) == pytest.approx(1)
    assert all(cost.seconds > 0 for cost in costs.values())
    assert costs["lif2"].firing_rate == pytest.approx(_rate(model, feeds, "lif2"))


def _rate(model: onnx.ModelProto, feeds: dict, name: str) -> float:
    node = next(n for n in model.graph.node if n.name == name)
    spikes = Runner(model, [node.output[0]]).run({"x": feeds["input"]})[node.output[0]]
    return float(spikes.mean())


def test_ratios_are_quotients_of_medians(digits: tuple) -> None:
    model, original, canonical, dataset = digits
    result = bench_model(
        model,
        dataset,
        references=[Reference("float", original, canonical)],
        batches=(1, len(dataset) + 3),
        threads=(1, 2),
        seconds=0.0,
    )
    assert [(c.batch, c.threads) for c in result.configurations] == [
        (b, t) for b in (1, len(dataset) + 3) for t in (1, 2)
    ]
    assert result.repeated
    for each in result.configurations:
        quotient = each.timings["float"].median / each.timings["integer"].median
        assert each.speed_up("integer", "float") == quotient


def test_memory_of_a_large_model_is_seen() -> None:
    weight = onnx.numpy_helper.from_array(np.zeros((4096, 8192), np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", 4096), ("y", 8192))
    ]
    graph = onnx.helper.make_graph([node], "large", values[:1], values[1:], [weight])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    grown = peak_memory(model.SerializeToString(), {"x": np.zeros((1, 4096), np.float32)})
    assert grown is None or grown > 100 * 2**20


def test_no_samples_are_refused(digits: tuple) -> None:
    model = digits[0]

    class Empty:
        def __len__(self) -> int:
            return 0

    with pytest.raises(UsageError, match="no sample"):
        bench_model(model, Empty())
