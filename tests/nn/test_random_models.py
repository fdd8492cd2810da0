"""Random quantizable models: torch, graph and lowering agree; a long run is in tests/bench."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_model_checks import check
from random_models import INPUTS, NEURONS, TOPOLOGIES, draw_spec


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("part", range(4))
def test_torch_graph_and_lowering_agree(part, tmp_path):
    @settings(max_examples=8, database=None, derandomize=True)
    @given(st.integers(0, 2**32).map(lambda seed: seed * 4 + part))
    def run(seed):
        check(draw_spec(random.Random(seed)), tmp_path / "model.snn")

    run()


def test_specs_cover_everything():
    specs = [draw_spec(random.Random(seed)) for seed in range(300)]
    assert {spec.inputs for spec in specs} == set(INPUTS)
    assert {spec.topology for spec in specs} == set(TOPOLOGIES)
    assert {kind for spec in specs for kind in spec.neurons} == set(NEURONS)
    assert {spec.quantize["target"] for spec in specs} == {"generic", "tianjic"}
    assert {spec.single_step for spec in specs} == {True, False}
