"""Fused ops: native kernels and function bodies against the reference, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from fused_cases import (
    FUSED_OPS,
    FusedCase,
    differences,
    fused_cases,
    model_of,
    plain_case,
    reference,
    run,
)
from hypothesis import HealthCheck, given, settings

from snnquant.errors import ModelError
from snnquant.model_file import read_model
from snnquant.neurons import NEURONS
from snnquant.ops import attach_functions
from snnquant.ops.fused import WEIGHT_BITS
from snnquant.ops.packing import STORED_BITS, pack_weight, unpack_weight
from snnquant.reference import Reference

SLOW = {"suppress_health_check": [HealthCheck.too_slow], "deadline": None}


@settings(max_examples=400, **SLOW)
@given(case=fused_cases())
def test_kernels_compute_the_reference(case: FusedCase) -> None:
    wanted = reference(case)
    for threads in (1, 2):
        assert not differences(case, run(case, custom_ops=True, threads=threads), wanted)


@settings(max_examples=150, **SLOW)
@given(case=fused_cases())
def test_bodies_compute_the_reference(case: FusedCase) -> None:
    if 0 in case.feeds["input"].shape:
        return  # ONNX Runtime's own convolutions and products of nothing are its own affair
    assert not differences(case, run(case, custom_ops=False), reference(case))


def test_every_neuron_has_fused_ops() -> None:
    for model in NEURONS:
        for synapse in ("Linear", "Conv"):
            for prefix, suffix in (("", ""), ("Static", ""), ("", "Residual"), ("", "State")):
                assert f"Q{prefix}{synapse}{model.name}{suffix}" in FUSED_OPS
    assert len(FUSED_OPS) >= 66


@pytest.mark.parametrize("opset", [17, 18, 20])
@settings(max_examples=15, **SLOW)
@given(case=fused_cases())
def test_bodies_are_written_in_every_opset(opset: int, case: FusedCase) -> None:
    if 0 in case.feeds["input"].shape:
        return
    assert not differences(case, run(case, custom_ops=False, opset=opset), reference(case))


@pytest.mark.parametrize("bits", [3, 5, 6, 7])
@pytest.mark.parametrize("op", ["QLinear", "QConvLIF"])
def test_widths_that_nothing_is_stored_at_are_refused(op: str, bits: int, tmp_path: Path) -> None:
    case = plain_case(op)
    model = onnx.load_from_string(model_of(case))
    width = next(a for a in model.graph.node[0].attribute if a.name == WEIGHT_BITS.name)
    width.i = bits
    path = tmp_path / "odd.onnx"
    onnx.save(model, path)
    for read in (
        lambda: Reference(model),
        lambda: attach_functions(model),
        lambda: read_model(path),
    ):
        with pytest.raises(ModelError, match=rf"'layer' \({op}\).* is {bits}, must be 2, 4 or 8"):
            read()
    with pytest.raises(ModelError, match=f"not in {bits}"):
        reference(replace(case, attributes={**case.attributes, WEIGHT_BITS.name: bits}))
    with pytest.raises(ModelError, match=f"not in {bits}"):
        pack_weight(np.zeros((1, 1), np.int64), bits)


@pytest.mark.parametrize("bits", STORED_BITS)
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 5), (2, 8)])
def test_packed_weights_come_back(bits: int, shape: tuple[int, int]) -> None:
    limit = 2 ** (bits - 1)
    weight = np.random.default_rng(bits).integers(-limit, limit, shape)
    stored = pack_weight(weight, bits)
    assert stored.shape == (shape[0], -(-shape[1] * bits // 8))
    assert np.array_equal(unpack_weight(stored, bits, shape[1]), weight)
