"""Fused layers and maps of spikes with input that does not fit: clear errors, or right answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import fused_cases
import numpy as np
import pytest
from fused_cases import FUSED_OPS, FusedCase, differences, model_of, reference, run, synapse_case
from strategies import drawing_uniformly

from snnquant.errors import SnnquantError
from snnquant.ops.fused import INPUT, WEIGHT, Synapse, fused_schemas
from snnquant.runtime import load_session

HUGE = 2**31 - 1
WINDOW = {"kernel_shape": (3, 3), "strides": (1, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
LAYERS = tuple(op for op in FUSED_OPS if fused_schemas()[op].synapse is not Synapse.NONE)


def layer(op: str, *, lead: tuple[int, int] = (3, 2), seed: int = 0, **changed: Any) -> FusedCase:
    """Return a small case of a layer; ``changed`` lists of the window replace its own."""
    rng = np.random.default_rng(seed)
    is_conv = fused_schemas()[op].synapse is Synapse.CONV
    return synapse_case(
        fused_schemas()[op],
        rng,
        drawing_uniformly(rng),
        lead=lead,
        axes=(5, 6) if is_conv else (),
        channels=(4, 20),
        window={**WINDOW, **changed} if is_conv else None,
    )


def with_attributes(case: FusedCase, **attributes: Any) -> FusedCase:
    return replace(case, attributes={**case.attributes, **attributes})


def with_feeds(case: FusedCase, **feeds: np.ndarray[Any, Any]) -> FusedCase:
    return replace(case, feeds={**case.feeds, **feeds})


def pool(op: str, shape: tuple[int, ...], **lists: list[int]) -> FusedCase:
    held = {name: list(values) for name, values in WINDOW.items()} | lists
    return FusedCase(op, held, {INPUT: np.ones(shape, np.uint8)})


def refusal(case: FusedCase, monkeypatch: pytest.MonkeyPatch, *, held: bool = True) -> str:
    """Return what the native library says of a model that nobody else checks."""
    monkeypatch.setattr(fused_cases, "attach_functions", lambda model: None)
    with pytest.raises(Exception, match=r"node 'layer' \(Q\w+\): ") as caught:
        run(case, custom_ops=True, held=held)
    # Errors of the runtime have classes of their own, one per status.
    assert isinstance(caught.value, SnnquantError) or "onnxruntime" in type(caught.value).__module__
    return str(caught.value)


@pytest.mark.parametrize("name", list(WINDOW))
@pytest.mark.parametrize("value", [-(2**63), -1, 2**63 - 1])
def test_a_list_out_of_range(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [value] * len(WINDOW[name])
    for case in (
        with_attributes(layer("QConvLIF"), **{name: values}),
        pool("QSpikeMaxPool", (2, 5, 6, 3), **{name: values}),
    ):
        assert f"attribute '{name}' is missing or out of range" in refusal(case, monkeypatch)


@pytest.mark.parametrize("name", ["kernel_shape", "strides", "dilations"])
def test_zeros_in_a_list(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shapes are known, so that the runtime asks for the output's before any node exists."""
    case = pool("QSpikeSumPool", (2, 5, 6, 3), **{name: [0, 0]})
    monkeypatch.setattr(fused_cases, "attach_functions", lambda model: None)
    model = fused_cases.onnx.load_from_string(model_of(case))
    for dim, size in zip(
        model.graph.input[0].type.tensor_type.shape.dim, (2, 5, 6, 3), strict=True
    ):
        dim.dim_value = size
    with pytest.raises(
        SnnquantError, match=rf"node 'layer' .*attribute '{name}' is missing or out"
    ):
        load_session(model.SerializeToString(), custom_ops=True, threads=1)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_lists_of_other_lengths(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = with_attributes(layer("QConvLIF"), strides=[1] * count)
    assert f"kernel_shape has 2, strides {count}" in refusal(case, monkeypatch)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"fan_in": 37}, "no multiple of the 9 positions"),
        ({"fan_in": HUGE}, "no multiple of the 9 positions"),
        ({"kernel_shape": [HUGE, HUGE]}, "no multiple of the 4611686014132420609 positions"),
        ({"group": 3}, "20 output channels, no multiple of 3 groups"),
        ({"group": HUGE}, f"no multiple of {HUGE} groups"),
        ({"weight_bits": 5}, "must be 8, 4 or 2"),
        ({"pads": [HUGE] * 4}, "its output would have"),
        (
            {"pads": [HUGE // 2] * 4, "dilations": [HUGE // 2] * 2, "strides": [HUGE] * 2},
            "padded input needs too much memory",
        ),
        (
            {"pads": [30000] * 4, "dilations": [30000] * 2, "strides": [30000] * 2},
            "padded input needs too much memory",
        ),
    ],
)
@pytest.mark.parametrize("held", [True, False])
def test_attributes_that_do_not_fit(
    attributes: dict[str, Any], says: str, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = with_attributes(layer("QConvLIF"), **attributes)
    assert says in refusal(case, monkeypatch, held=held)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("name", ["weight", "bias", "fire_above"])
@pytest.mark.parametrize("shape", [(), (3,), (0,), (20, 4, 1)])
def test_inputs_of_other_shapes(
    name: str, shape: tuple[int, ...], held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = layer("QLinearLIF")
    value = np.zeros(shape, case.feeds[name].dtype)
    # A bias does not fit a weight of other channels, so the message may be about either.
    assert "must have" in refusal(with_feeds(case, **{name: value}), monkeypatch, held=held)


@pytest.mark.parametrize("op", ["QLinear", "QLinearLIF", "QStaticLinearLIF", "QConv", "QConvLIF"])
@pytest.mark.parametrize("shape", [(), (4,), (3, 2, 0), (3, 2, 1, 1, 1, 5)])
def test_spikes_of_other_shapes(
    op: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = with_feeds(layer(op), **{INPUT: np.zeros(shape, np.uint8)})
    assert "input 'input' has shape" in refusal(case, monkeypatch)


@pytest.mark.parametrize("op", ["QSpikeMaxPool", "QSpikeSumPool"])
def test_a_huge_pooling_kernel_costs_no_time(op: str) -> None:
    """Only taps inside the map are visited; without that this never ends."""
    lists = {"kernel_shape": [HUGE, HUGE], "pads": [HUGE - 2, HUGE - 2, 0, 0]}
    (found,) = run(pool(op, (1, 5, 6, 3), **lists), custom_ops=True)
    assert found.shape == (1, 4, 5, 3)
    rows, columns = np.arange(2, 6)[:, None], np.arange(2, 7)
    wanted = np.minimum(rows * columns, 1 if op == "QSpikeMaxPool" else 255)
    np.testing.assert_array_equal(found[0], np.repeat(wanted[:, :, None], 3, axis=2))


@pytest.mark.parametrize("op", ["QConv", "QConvLIF", "QStaticConvLI", "QConvLIFResidualState"])
@pytest.mark.parametrize("pads", [(0, 0, 1, 2), (1, 0, 0, 0)])
def test_a_kernel_of_one_with_padding_on_one_side(op: str, pads: tuple[int, ...]) -> None:
    case = layer(op, kernel_shape=(1, 1), pads=pads)
    assert not differences(case, run(case, custom_ops=True), reference(case))


@pytest.mark.parametrize("op", LAYERS)
def test_nothing_to_compute(op: str) -> None:
    for lead in ((3, 0), (0, 2)):
        if not (fused_schemas()[op].static and lead[0] == 0):
            case = layer(op, lead=lead)
            assert not differences(case, run(case, custom_ops=True), reference(case))


@pytest.mark.parametrize(("above", "by"), [(10000, 40000), (20000, 50000), (30000, 60000)])
def test_a_reset_by_more_than_16_bits(above: int, by: int) -> None:
    """Membranes stay within 16 bits although what they are lowered by does not."""
    case = layer("QLinearLIFState", lead=(4, 2))
    plain = {"zero_point": 0, "gain_shift": 0, "reset": 2, "max_spikes": 1, "refractory": 0}
    lif = {"reset_after_leak": 0, "leak_shift": 15, "leak_rounding": 0, "current_shift": 0}
    case = with_attributes(case, weight_bits=8, state_bits=32, **plain, **lif)
    held = {"alpha": 30000, "leak_bias": 0, "fire_above": above, "reset_by": by}
    feeds = {n: np.array([v], np.int32) for n, v in held.items() if n in case.feeds}
    feeds[INPUT] = np.ones((4, 2, 4), np.uint8)
    feeds[WEIGHT] = np.ones((20, 4), np.int8)
    feeds["v"] = np.full((2, 20), above + 100, np.int32)
    feeds["r"] = np.zeros((2, 20), np.int32)
    case = with_feeds(case, bias=np.zeros(20, np.int32), **feeds)
    wanted = reference(case)
    assert wanted[0].any()
    assert not differences(case, run(case, custom_ops=True), wanted)


@pytest.mark.parametrize("inputs", [65534, 65535, 70000])
@pytest.mark.parametrize(("most", "share"), [(1, 0.01), (1, 0.99), (255, 1.0)])
def test_more_inputs_than_events_have_numbers(inputs: int, most: int, share: float) -> None:
    rng = np.random.default_rng(inputs)
    case = with_attributes(
        layer("QLinearLIF"), fan_in=inputs, weight_bits=8, zero_point=0, gain_shift=0
    )
    seen = (rng.random((3, 2, inputs)) < share) * most
    # So small that float32 sums, and the op's guarantee, hold.
    weight = rng.integers(-1, 2, (20, inputs)) * (rng.random((20, inputs)) < 0.5)
    case = with_feeds(case, input=seen.astype(np.uint8), weight=weight.astype(np.int8))
    assert not differences(case, run(case, custom_ops=True), reference(case))


def test_one_session_is_run_by_many_threads() -> None:
    case = layer("QConvCubaLIFState", lead=(17, 3))
    session = load_session(model_of(case), custom_ops=True, threads=2)
    own = {value.name for value in session.get_inputs()}
    feeds = {name: value for name, value in case.feeds.items() if name in own}
    wanted = reference(case)
    with ThreadPoolExecutor(6) as pool_of_threads:
        results = list(pool_of_threads.map(lambda _: session.run(None, feeds), range(24)))
    assert not any(differences(case, list(found), wanted) for found in results)
