"""A NIR file is read by a process of its own: whatever HDF5 does there ends in one sentence."""

import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from nir_files import chain, write

from snnquant.errors import ModelError
from snnquant.frontends import read_source
from snnquant.frontends.nir import file

N = 6


@pytest.fixture
def path(tmp_path):
    return write(tmp_path, chain((N,), nir.IF(r=np.full(N, 1e4), v_threshold=np.ones(N))))


def refuse(path):
    with pytest.raises(ModelError) as refusal:
        read_source(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_file_is_read(path):
    assert len(read_source(path).origins) == 1
    unicode = path.rename(path.with_name("netz \u8109\u51b2 'x'.nir"))
    assert len(read_source(unicode).origins) == 1


def test_arrays_come_back_as_they_are(path):
    with h5py.File(path, "a") as stream:
        group = stream["node/nodes/n0"].create_group("metadata")
        held = {
            "half": np.arange(6, dtype=np.float16).reshape(2, 3),
            "whole": np.array(-5, np.int8),
            "flags": np.array([True, False]),
            "big": np.arange(4, dtype=">f8"),
            "none": np.zeros((0, 3)),
        }
        for name, array in held.items():
            group.create_dataset(name, data=array)
        group.create_dataset("text", data="\u8109\u51b2")
    found = file.read_tree(path).nodes["n0"].metadata
    assert found.pop("text") == "\u8109\u51b2"
    assert set(found) == set(held)
    for name, array in held.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.abort()",
        "import sys; sys.exit(3)",
        "raise MemoryError",
        "import sys; sys.stdout.buffer.write(bytes(8))",
        "import sys; sys.stdout.buffer.write((20).to_bytes(8, 'little') + b'{\"tree\":')",
        "import sys; sys.stdout.buffer.write((12).to_bytes(8, 'little') + b'{\"tree\": []}')",
    ],
)
def test_a_crash_of_the_library(path, monkeypatch, code):
    monkeypatch.setattr(file, "_CHILD", code)
    assert "is not a NIR file or is damaged (HDF5 crashes on it)" in refuse(path)


def test_a_library_that_finds_no_end(path, monkeypatch):
    monkeypatch.setattr(file, "_CHILD", "while True: pass")
    monkeypatch.setattr(file, "_PATIENCE", 0.5)
    assert "is not a NIR file or is damaged (HDF5 finds no end)" in refuse(path)


def test_a_small_file_needs_little_memory(path, monkeypatch):
    """Whatever sizes are declared, reading allocates no more than the file can hold."""
    with h5py.File(path, "a") as stream:
        del stream["node/nodes/n0/r"]
        stream.create_dataset(
            "node/nodes/n0/r", shape=(1 << 15, 1 << 15), dtype="f8", chunks=(64, 64)
        )
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
    monkeypatch.setattr(file, "_CHILD", limited + file._CHILD)
    assert "which the file cannot hold" in refuse(path)
    assert Path(sys.executable).exists()
