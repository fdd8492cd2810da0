"""The numeric core by itself: compiled here, without ONNX Runtime, against the reference."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from single_op import Case, reference
from strategies import INTEGER_OPS, drawing_corners, drawing_uniformly, make_feeds, structures

import snnquant
from snnquant.neurons import NEURONS
from snnquant.ops import schemas
from snnquant.ops.codegen import attribute_names

DRIVER = Path(__file__).with_name("core_driver.cc")
HEADERS = Path(snnquant.__file__).with_name("csrc") / "core"
FLAGS = os.environ.get("SNNQUANT_TEST_CXXFLAGS", "-O2").split()
#: Ops that give everything that a neuron computes.
FULL_OPS = [n for n in INTEGER_OPS if n.endswith("StateMembrane")] + ["QLIState"]
STATES = list(dict.fromkeys(s.name for model in NEURONS for s in model.states))
CONSTANTS = list(dict.fromkeys(p.constant_name for m in NEURONS for p in m.parameters))
ATTRIBUTES = attribute_names()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the driver with the machine's compiler."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    assert compiler, "these tests need a C++17 compiler"
    program = tmp_path_factory.mktemp("core") / "core_driver"
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", *FLAGS]
    subprocess.run([*command, f"-I{HEADERS}", str(DRIVER), "-o", str(program)], check=True)
    return program


def written(case: Case) -> bytes:
    """Return the case in the driver's format."""
    schema = case.schema
    steps, batch, *features = case.feeds["current"].shape
    header = [[m.name for m in NEURONS].index(schema.neuron.name)]
    header += [case.attributes.get(name, 0) for name in ATTRIBUTES]
    header += [steps, batch, int(np.prod(features)), schema.recurrent, schema.stateful]
    parts = [np.array(header, np.int64), case.feeds["current"]]
    for name in CONSTANTS:
        values = case.feeds.get(name, np.zeros(0, np.int32))
        parts += [np.array([values.size], np.int64), values]
    if schema.recurrent:
        parts.append(case.feeds["recurrent_weight"])
    cells = case.feeds["current"].shape[1:]
    parts += [case.feeds.get(name, np.zeros(cells, np.int32)) for name in STATES]
    if schema.recurrent:
        parts.append(case.feeds["s"])
    return b"".join(part.tobytes() for part in parts)


@pytest.mark.parametrize("op", FULL_OPS)
def test_core_computes_the_reference(op: str, driver: Path, tmp_path: Path) -> None:
    schema = schemas()[op]
    choices = structures(schema)
    assert choices
    for k, choice in enumerate(choices):
        rng = np.random.default_rng(k)
        attributes = {
            **choice,
            "leak_shift": int(rng.integers(0, 17)),
            "leak_rounding": k % 4,
            "state_bits": (8, 28, 32)[k // 2 % 3],
        }
        draw = (drawing_uniformly if k % 2 else drawing_corners)(rng)
        reach = (2**8, 2**27, 2**31 - 1)[k // 2 % 3]
        feeds = make_feeds(schema, attributes, (4, 3, 2, 150), rng, draw=draw, reach=reach)
        case = Case(op, attributes, feeds)
        (tmp_path / "in").write_bytes(written(case))
        subprocess.run([str(driver), str(tmp_path / "in"), str(tmp_path / "out")], check=True)
        raw = (tmp_path / "out").read_bytes()
        wanted = dict(zip([p.name for p in schema.outputs], reference(case), strict=True))
        size, cells = feeds["current"].size, feeds["current"][0].size
        found = {
            "spikes": np.frombuffer(raw, np.uint8, size),
            "membrane": np.frombuffer(raw, np.int32, size, size),
        }
        for n, name in enumerate(STATES):
            found[name] = np.frombuffer(raw, np.int32, cells, 5 * size + 4 * cells * n)
        found["s"] = np.frombuffer(raw, np.uint8, cells, 5 * size + 4 * cells * len(STATES))
        for name, value in wanted.items():
            assert np.array_equal(found[name], value.ravel()), (name, attributes)


def test_every_neuron_is_covered() -> None:
    assert {schemas()[op].neuron.name for op in FULL_OPS} == {model.name for model in NEURONS}
