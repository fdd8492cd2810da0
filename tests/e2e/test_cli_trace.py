"""``trace`` as its users meet it."""

import json

import numpy as np
import pytest
from cli_process import DATA, forked, refuses, snnquant

MODEL = "digits_mlp.int.onnx"


@pytest.mark.parametrize("net", DATA)
def test_every_network_is_traced(made, tmp_path, net):
    target = str(tmp_path / "t")
    words = ("--data", f"{DATA[net]}_test.npz", "--samples", "2", "-o", target, "--json", "-q")
    ran = forked("trace", f"{net}.int.onnx", *words, cwd=made)
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert found["schema"] == "snnquant.trace/1"
    assert [e["path"] for e in found["artifacts"]] == ["README.md", "trace.json", "trace.npz"]
    with np.load(tmp_path / "t" / "trace.npz", allow_pickle=False) as file:
        for index, layer in enumerate(found["layers"]):
            for name, shape in layer["signals"].items():
                array = file[f"{index:02d}_{layer['name']}/{name}"]
                assert (list(array.shape), shape[0]) == (shape, 2)


def test_hex_files_are_written_whole(folder):
    words = ("--data", "digits_test.npz", "--format", "hex", "-o", "t")
    ran = snnquant("trace", MODEL, *words, cwd=folder)
    assert ran.code == 0, ran
    assert ran.out.splitlines()[-1].startswith("wrote t (")
    lines = (folder / "t" / "00_lif1.membrane.hex").read_text().splitlines()
    assert (len(lines), {len(line) for line in lines}) == (8 * 64, {8})
    assert len((folder / "t" / "01_lif2.weight.hex").read_text().splitlines()) == 64 * 64


def test_refusals(folder):
    data = ("--data", "digits_test.npz", "-q")
    refuses(folder, 2, "trace", MODEL, *data, "-o", ".", says=("no empty folder",))
    refuses(folder, 2, "trace", MODEL, *data)
    refuses(folder, 3, "trace", "digits_mlp.onnx", *data, "-o", "t", says=("no integer neurons",))
    refuses(folder, 3, "trace", MODEL, "--data", "old.json", "-q", "-o", "t")
