"""``convert --golden`` and ``verify`` as their users meet them: every exit code, both outputs."""

import json
import shutil

import numpy as np
import onnx
import pytest
from cli_process import DATA, contents, refuses, snnquant
from onnx import numpy_helper
from test_cli_exit_codes import NO_LIBRARY, started

CONVERT = ("convert", "digits_mlp.onnx", "--calibration", "digits_mlp.json")


@pytest.fixture
def golden(folder, made):
    """A folder with a model and its golden vectors, and another model."""
    shutil.copy(made / "digits_conv.int.onnx", folder)
    ran = snnquant(*CONVERT, "--golden", "3", "-o", "a.onnx", cwd=folder)
    assert ran.code == 0, ran
    assert "golden vectors of 3 samples: a.golden.npz" in ran.err
    return folder


def verified(folder, *arguments, code=0):
    ran = snnquant("verify", *arguments, "--json", cwd=folder)
    assert ran.code == code, ran
    return json.loads(ran.out), ran.err


def rewritten(path, change):
    """Change the arrays of an npz file."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


@pytest.mark.parametrize("net", DATA)
@pytest.mark.parametrize("form", [(), ("--no-fuse",), ("--mode", "step")], ids=str)
def test_vectors_are_written_listed_and_replayed(made, tmp_path, net, form):
    for name in (f"{net}.onnx", f"{net}.json", f"{net}.samples.npz"):
        shutil.copy(made / name, tmp_path)
    convert = ("convert", f"{net}.onnx", "--calibration", f"{net}.json", "-q", *form)
    for target in ("a", "b"):
        ran = snnquant(*convert, "--golden", "2", "-o", f"{target}.onnx", cwd=tmp_path)
        assert ran.code == 0, ran
    files = contents(tmp_path)
    assert files["a.golden.npz"] == files["b.golden.npz"]
    listed = [e["path"] for e in json.loads(files["a.manifest.json"])["artifacts"]]
    assert listed == ["a.onnx", "a.golden.npz"]
    found, _ = verified(tmp_path, "a.onnx")
    assert found["schema"] == "snnquant.verify/1"
    assert {gate["status"] for gate in found["gates"]} == {"passed"}
    assert {check["status"] for check in found["hashes"]} == {"checked"}
    assert found["metrics"]["golden_samples"] == 2
    assert found["mismatches"] == []
    with np.load(tmp_path / "a.golden.npz", allow_pickle=False) as file:
        meta = json.loads(file["meta"].tobytes())
    assert (meta["schema"], meta["samples"]) == ("snnquant.golden/1", 2)


def test_it_prints_tables_and_says_what_is_absent(golden):
    (golden / "digits_mlp.json").unlink()
    ran = snnquant("verify", "a.onnx", cwd=golden)
    assert ran.code == 0, ran
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["calibration", "absent", "digits_mlp.json"] in rows
    assert ["model", "checked", "a.onnx"] in rows
    assert [row[:3] for row in rows if row[:1] == ["golden"] and row[1] != "vectors"] == [
        ["golden", "library", "3"],
        ["golden", "functions", "3"],
        ["golden", "reference", "3"],
    ]


def test_a_changed_spike_is_4_and_told_by_its_place(golden):
    def flip(arrays):
        arrays["layer/lif2"][5, 1, 7] ^= 1

    rewritten(golden / "a.golden.npz", flip)
    found, said = verified(golden, "a.onnx", code=4)
    assert "layer 'lif2', sample 1, step 5, neuron [7]: expected " in said
    assert said.splitlines()[-1].startswith("error: a.onnx is not what was stored: ")
    failed = {gate["id"] for gate in found["gates"] if gate["status"] == "failed"}
    replays = {"golden-library", "golden-functions", "golden-reference"}
    assert failed == {"hash-golden-vectors", *replays}
    first = found["mismatches"][0]
    assert (first["sample"], first["step"], first["neuron"]) == (1, 5, [7])


def test_a_changed_weight_is_4(golden):
    model = onnx.load(str(golden / "a.onnx"))
    tensor = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8)
    weight = numpy_helper.to_array(tensor) // 2
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, str(golden / "a.onnx"))
    found, said = verified(golden, "a.onnx", code=4)
    assert "layer 'lif" in said
    failed = {gate["id"] for gate in found["gates"] if gate["status"] == "failed"}
    assert {"hash-model", "hash-model-in-golden-vectors", "golden-reference"} <= failed


@pytest.mark.parametrize("name", ["digits_mlp.onnx", "digits_mlp.json", "a.manifest.json"])
def test_what_the_model_was_made_from_changed_is_4(golden, name):
    (golden / name).write_bytes((golden / name).read_bytes() + b" no JSON any more")
    _, said = verified(golden, "a.onnx", code=4)
    assert "hash of " in said


def test_a_manifest_changed_by_hand_is_4(golden):
    file = golden / "a.manifest.json"
    document = json.loads(file.read_text())
    scales = document["state_scales"]
    scales[next(iter(scales))] = 123.0
    file.write_text(json.dumps(document, indent=2))
    found, said = verified(golden, "a.onnx", code=4)
    assert "hash of manifest (a.manifest.json)" in said
    failed = [gate["id"] for gate in found["gates"] if gate["status"] == "failed"]
    assert failed == ["hash-manifest"]


def test_golden_vectors_that_went_away_are_3_or_4(golden):
    (golden / "a.golden.npz").unlink()
    refuses(golden, 3, "verify", "a.onnx", "-q", says=("--golden 4, or give --data",))
    _, said = verified(golden, "a.onnx", "--data", "digits_test.npz", code=4)
    assert "hash of golden vectors" in said


def test_vectors_of_a_replaced_model_go_with_it(golden):
    ran = snnquant(*CONVERT, "-o", "a.onnx", cwd=golden)  # the same model: they are still its
    assert "golden" not in ran.err.replace("golden no", "")
    assert verified(golden, "a.onnx")[0]["metrics"]["golden_samples"] == 3
    ran = snnquant(*CONVERT, "--weight-bits", "4", "-o", "a.onnx", cwd=golden)
    assert "removed a.golden.npz, golden vectors of the model that was replaced" in ran.err
    refuses(golden, 3, "verify", "a.onnx", "-q", says=("there are no golden vectors",))


def test_other_files_in_the_place_of_vectors_stay(golden):
    (golden / "b.onnx").write_text("an old model")
    (golden / "b.golden.npz").write_text("no vectors")
    ran = snnquant(*CONVERT, "-o", "b.onnx", cwd=golden)
    assert (ran.code, (golden / "b.golden.npz").read_text()) == (0, "no vectors")
    assert "warning: b.golden.npz holds no golden vectors of this model" in ran.err
    shutil.copy(golden / "a.golden.npz", golden / "c.golden.npz")
    shutil.copy(golden / "digits_conv.int.onnx", golden / "c.onnx")
    found, said = verified(golden, "c.onnx", code=4)
    assert "c.onnx is not the file that c.golden.npz is of: the golden vectors c.golden.npz" in said
    assert found["metrics"] == {}


def test_unreadable_files_are_3(golden):
    (golden / "a.golden.npz").write_bytes(b"PK\x03\x04 and nothing else")
    refuses(golden, 3, "verify", "a.onnx", "-q")
    refuses(golden, 3, "verify", "digits_mlp.onnx", "-q", says=("no integer neurons",))
    refuses(golden, 3, "verify", "old.json", "-q")
    refuses(golden, 2, "verify", "a.onnx", "--samples", "0")


def test_data_takes_the_place_of_vectors(golden):
    data = ("--data", "digits_test.npz", "--samples", "20")
    found, _ = verified(golden, "digits_mlp.int.onnx", *data)
    assert found["metrics"]["data_samples"] == 20
    assert "golden_samples" not in found["metrics"]
    found, _ = verified(golden, "a.onnx", *data, "--no-custom-ops")
    assert {"golden-functions", "data-reference"} <= {gate["id"] for gate in found["gates"]}
    assert "data-library" not in {gate["id"] for gate in found["gates"]}


def test_samples_far_beyond_the_scale_saturate_in_every_way(golden):
    with np.load(golden / "digits_test.npz") as file:
        np.savez(golden / "huge.npz", x=(file["x"][:4] * 1e30).astype(np.float32))
    found, _ = verified(golden, "a.onnx", "--data", "huge.npz")
    assert found["mismatches"] == []


def test_a_missing_library_is_7_unless_it_is_not_wanted(golden):
    ran = started(golden, NO_LIBRARY, ("verify", "a.onnx", "-q"))
    assert (ran.returncode, ran.stdout) == (7, b"")
    assert ran.stderr.count(b"\n") == 1
    ran = started(golden, NO_LIBRARY, ("verify", "a.onnx", "-q", "--no-custom-ops"))
    assert ran.returncode == 0, ran.stderr


def test_more_samples_than_there_are_is_said(folder):
    ran = snnquant(*CONVERT, "--golden", "99", "-o", "a.onnx", cwd=folder)
    assert ran.code == 0, ran
    assert "golden vectors of 8 samples: a.golden.npz; there are no more than 8" in ran.err


def test_golden_vectors_do_not_replace_an_input(folder):
    shutil.copy(folder / "digits_mlp.onnx", folder / "b.golden.npz")
    words = (*CONVERT[2:], "--golden", "1", "-q", "-o", "b.onnx")
    refuses(folder, 2, "convert", "b.golden.npz", *words, says=("would replace",))
