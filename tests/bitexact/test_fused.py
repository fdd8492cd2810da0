"""Fused ops: native kernels and function bodies against the reference, bit for bit."""

from __future__ import annotations

import pytest
from fused_cases import FUSED_OPS, FusedCase, differences, fused_cases, reference, run
from hypothesis import HealthCheck, given, settings

from snnquant.neurons import NEURONS

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
    assert len(FUSED_OPS) == 66


@pytest.mark.parametrize("opset", [17, 18, 20])
@settings(max_examples=15, **SLOW)
@given(case=fused_cases())
def test_bodies_are_written_in_every_opset(opset: int, case: FusedCase) -> None:
    if 0 in case.feeds["input"].shape:
        return
    assert not differences(case, run(case, custom_ops=False, opset=opset), reference(case))
