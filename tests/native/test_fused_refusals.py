"""Fused ops with inputs that do not fit: one error with the node's name, never a crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fused_cases import FusedCase, differences, plain_case, reference, run

from snnquant.errors import ModelError

#: What is changed about an ordinary call, and what the message says.
HOSTILE: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
    ("weight_rows", "QLinearLIF", {}, {"weight": np.zeros((21, 9), np.int8)}, "weight"),
    ("bias", "QLinearLIF", {}, {"bias": np.zeros(4, np.int32)}, "bias"),
    ("constant", "QLinearLIF", {}, {"fire_above": np.zeros(7, np.int32)}, "one per output channel"),
    ("rank", "QLinearLIF", {}, {"input": np.zeros((4, 40), np.uint8)}, r"\[T, B, 40\]"),
    ("channels", "QConvLIF", {}, {"input": np.zeros((2, 1, 7, 6, 3), np.uint8)}, "must be"),
    ("flat map", "QConvLIF", {}, {"input": np.zeros((2, 1, 7, 10), np.uint8)}, "must be"),
    ("residual", "QLinearLIFResidual", {}, {"residual": np.zeros((1, 1, 1), np.int32)}, "residual"),
    ("state", "QLinearLIFState", {}, {"v": np.zeros((3, 2), np.int32)}, "'v'"),
    ("pool", "QSpikeMaxPool", {}, {"input": np.zeros((4, 4), np.uint8)}, "must be"),
    ("sum", "QSpikeAdd", {}, {"other": np.zeros((1, 2), np.uint8)}, "other"),
]


def changed(op: str, attributes: dict[str, Any], feeds: dict[str, Any]) -> FusedCase:
    """Return an ordinary call with some things changed."""
    case = plain_case(op)
    return FusedCase(op, {**case.attributes, **attributes}, {**case.feeds, **feeds})


@pytest.mark.parametrize("held", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize(
    ("op", "attributes", "feeds", "message"),
    [entry[1:] for entry in HOSTILE],
    ids=[entry[0] for entry in HOSTILE],
)
def test_what_does_not_fit_is_refused(
    op: str, attributes: dict[str, Any], feeds: dict[str, Any], message: str, held: bool
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        run(changed(op, attributes, feeds), custom_ops=True, held=held)
    assert "layer" in str(caught.value)


@pytest.mark.parametrize(
    ("op", "name", "value"),
    [
        ("QConvLIF", "strides", [0, 1]),
        ("QConvLIF", "pads", [0, 0]),
        ("QConvLIF", "dilations", [1, -1]),
        ("QConvLIF", "group", 0),
        ("QLinearLIF", "fan_in", 0),
        ("QLinearLIF", "zero_point", 256),
        ("QLinearLIF", "weight_bits", 3),
        ("QConv", "weight_bits", 6),
        ("QStaticLinearLIF", "timesteps", 0),
        ("QSpikeSumPool", "kernel_shape", [1, 1, 1]),
    ],
)
def test_attributes_out_of_range_are_refused(op: str, name: str, value: Any) -> None:
    with pytest.raises(ModelError, match=name):
        run(changed(op, {name: value}, {}), custom_ops=True)


@pytest.mark.parametrize(
    "op", ["QLinearLIF", "QConvLIF", "QLinearLIFRecurrent", "QConvLIFResidual"]
)
def test_computed_weights_give_the_same(op: str) -> None:
    case = plain_case(op)
    assert not differences(case, run(case, custom_ops=True, held=False), reference(case))


def test_no_steps_leave_the_states() -> None:
    case = plain_case("QLinearLIFState")
    case = changed("QLinearLIFState", {}, {"input": case.feeds["input"][:0]})
    found = run(case, custom_ops=True)
    assert found[0].shape == (0, 3, 21)
    assert np.array_equal(found[1], case.feeds["v"])


def test_more_inputs_than_events_can_number() -> None:
    wide = plain_case("QLinear")
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (3, 70_000)).astype(np.int8)
    seen = (rng.random((2, 70_000)) < 0.01).astype(np.uint8)
    attributes = {**wide.attributes, "fan_in": 70_000, "weight_bits": 8, "zero_point": 0}
    feeds = {"input": seen, "weight": weight, "bias": np.zeros(3, np.int32)}
    case = FusedCase("QLinear", attributes, feeds)
    assert not differences(case, run(case, custom_ops=True), reference(case))


def test_counts_of_255_everywhere() -> None:
    case = plain_case("QLinearLIF")
    full = np.full_like(case.feeds["input"], 255)
    case = changed("QLinearLIF", {}, {"input": full})
    assert not differences(case, run(case, custom_ops=True), reference(case))
