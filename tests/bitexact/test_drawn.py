"""Drawn calls at 16, 28, 31 and 32 bits with saturation corners; and sizes at the edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from single_op import BACKENDS, Case, differences, reference, run_native
from strategies import INTEGER_OPS, cases, drawing_uniformly, make_feeds

from snnquant.ops import schemas

PLAIN = {"leak_shift": 8, "leak_rounding": 0, "current_shift": 0, "state_bits": 16}


def plain_case(op: str, shape: tuple[int, ...], **changes: int) -> Case:
    """Return an ordinary call of an op for a current of the given shape."""
    schema = schemas()[op]
    attributes = {a.name: max(a.low, 0) for a in schema.attributes} | PLAIN | changes
    rng = np.random.default_rng(len(op))
    feeds = make_feeds(schema, attributes, shape, rng, draw=drawing_uniformly(rng), reach=500)
    return Case(op, attributes, feeds)


@settings(max_examples=150)
@given(case=cases())
def test_drawn_calls_agree_in_every_backend(case: Case) -> None:
    wanted = reference(case)
    for run in BACKENDS.values():
        assert not differences(case, run(case), wanted)


@pytest.mark.parametrize("op", INTEGER_OPS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2, 3), (2, 2, 1, 5), (0, 2, 3)])
def test_small_sizes_and_no_steps_agree(op: str, shape: tuple[int, ...]) -> None:
    case = plain_case(op, shape)
    assert not differences(case, run_native(case), reference(case))


@pytest.mark.parametrize("op", INTEGER_OPS)
@pytest.mark.parametrize("shape", [(3, 0, 4), (3, 2, 0), (3, 2, 4, 0)])
def test_empty_batches_and_features_give_empty_outputs(op: str, shape: tuple[int, ...]) -> None:
    case = plain_case(op, shape)
    outputs = run_native(case)
    shapes = [shape if port.timed else shape[1:] for port in case.schema.outputs]
    assert [out.shape for out in outputs] == shapes


@pytest.mark.parametrize("op", INTEGER_OPS)
def test_threads_do_not_change_the_result(op: str) -> None:
    shape = (8, 200, 97) if schemas()[op].recurrent else (8, 16, 61, 97)
    case = plain_case(op, shape)
    wanted = reference(case)
    for threads in (1, 2):
        assert not differences(case, run_native(case, threads=threads), wanted)


@pytest.mark.parametrize("shift", [-31, -16, -1, 1, 16, 24])
@pytest.mark.parametrize("bits", [2, 16, 28, 31, 32])
def test_current_shifts_saturate_exactly(shift: int, bits: int) -> None:
    rng = np.random.default_rng(shift + 100 * bits)
    case = plain_case("QLIFStateMembrane", (4, 64, 64), current_shift=shift, state_bits=bits)
    extremes = rng.integers(-(2**31), 2**31, (4, 64, 64), dtype=np.int64) >> rng.integers(
        0, 31, (4, 64, 64)
    )
    limit = 2 ** (bits - 1)
    states = rng.integers(-limit, limit, (64, 64))
    feeds = {**case.feeds, "current": extremes.astype(np.int32), "v": states.astype(np.int32)}
    case = Case(case.op, case.attributes, feeds)
    assert not differences(case, run_native(case), reference(case))


def test_states_given_beyond_their_width_are_taken_as_they_are() -> None:
    case = plain_case("QLIFState", (3, 4, 700), state_bits=8)
    beyond = np.full((4, 700), 2**31 - 1, np.int32)
    case = Case(case.op, case.attributes, {**case.feeds, "v": beyond})
    assert not differences(case, run_native(case), reference(case))


def test_every_op_has_a_case() -> None:
    assert len(INTEGER_OPS) >= 26
