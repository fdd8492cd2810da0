"""JSON that is damaged or means harm: a line and a code of ours, never an internal error."""

import json
import shutil

import numpy as np
import onnx
import pytest
from cli_process import forked, refuses, snnquant

from snnquant.bound_json import BINDING, binding_of
from snnquant.cli.main import run

CONVERT = ("convert", "digits_mlp.onnx", "-q", "-o", "x.onnx", "--calibration", "bad.json")
EVAL = ("eval", "digits_mlp.int.onnx", "-q", "--data", "digits_test.npz", "--samples", "4")

#: Text that is no document of ours, whatever is asked for.
TEXTS = {
    "nothing": b"",
    "cut": b'{"schema": "snnquant.',
    "a number": b"1",
    "a list": b"[]",
    "NaN": b"NaN",
    "a huge number": b"9" * 100_000,
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "no UTF-8": b'{"schema": "\xff\xfe"}',
    "NUL": b'{"schema": "\\u0000"}\x00',
    "a long text that ends": b'{"schema": "' + b"x" * 1_000_000,
    "another schema": b'{"schema": "snnquant.other/1"}',
    "a schema of no text": b'{"schema": {"a": [1]}}',
    "twice": b'{"schema": 1, "schema": null}',
}


@pytest.mark.parametrize("case", TEXTS)
def test_what_is_no_document_is_3(folder, case):
    (folder / "bad.json").write_bytes(TEXTS[case])
    refuses(folder, 3, *CONVERT)
    refuses(folder, 3, *EVAL, "--baseline", "bad.json")
    if case not in ("a number", "NaN", "a huge number", "nothing"):  # no JSON by their first bytes
        refuses(folder, 3, "diff", "bad.json", "digits_mlp.json", "-q")


def test_a_file_that_is_too_large_is_not_read(folder):
    with (folder / "bad.json").open("wb") as file:
        file.write(b'{"a": "')
        file.truncate(1 << 30)  # sparse: takes no space
    refuses(folder, 3, *CONVERT, says=("too large",))
    refuses(folder, 3, *EVAL, "--baseline", "bad.json", says=("too large",))
    shutil.move(folder / "bad.json", folder / "digits_mlp.int.manifest.json")
    data = ("--data", "digits_test.npz", "--samples", "2")
    refuses_to_verify(folder, data, "too large for a manifest")


def refuses_to_verify(folder, data, said):
    ran = forked("verify", "digits_mlp.int.onnx", "-q", *data, cwd=folder)
    assert ran.code == 4, ran
    assert said in ran.err
    assert ran.err.count("\n") == 1


HARM = [None, True, -1, 10**400, float("nan"), float("inf"), "x\n\x1b[31m", [], {}, {"a": 1}, 2**63]
PLACES = [
    ("settings",),
    ("settings", "samples"),
    ("settings", "inputs"),
    ("timesteps",),
    ("samples",),
    ("samples", "file"),
    ("tensors",),
    ("tensors", "flatten.output"),
    ("tensors", "flatten.output", "statistics", "positive"),
    ("tensors", "flatten.output", "statistics", "maximum"),
    ("neurons",),
    ("neurons", "lif1"),
    ("neurons", "lif1", "firing_rate"),
    ("source",),
]


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_bound_calibration_of_other_values(folder, place):
    """Whoever writes a calibration by a program can bind it, too."""
    whole = json.loads((folder / "digits_mlp.json").read_text())
    codes = []
    for value in HARM:
        document = json.loads(json.dumps(whole))
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        document[BINDING] = binding_of(document)
        (folder / "bad.json").write_text(json.dumps(document))
        ran = forked(*CONVERT, cwd=folder)
        assert ran.code in (0, 3, 5, 6), (value, ran)
        assert ran.code == 0 or ran.err.count("\n") == 1, (value, ran)
        assert "internal error" not in ran.err, (value, ran)
        codes.append(ran.code)
    assert any(codes)


def test_a_baseline_of_other_values_is_3(folder):
    ran = snnquant(*EVAL, "--json", cwd=folder)
    whole = json.loads(ran.out)
    for value in HARM:
        document = json.loads(json.dumps(whole))
        document["metrics"]["accuracy"] = value
        (folder / "bad.json").write_text(json.dumps(document))
        ran = forked(*EVAL, "--baseline", "bad.json", cwd=folder)
        wanted = {None: (0,), -1: (0,), 2**63: (4,)}
        known = value is None or (isinstance(value, int) and value in wanted)
        assert ran.code in (wanted[value] if known and value is not True else (3,)), (value, ran)
        assert ran.err.count("\n") <= 1 + (ran.code == 0)
    for inputs in HARM:
        document = dict(whole, inputs=inputs)
        (folder / "bad.json").write_text(json.dumps(document))
        ran = forked(*EVAL, "--baseline", "bad.json", cwd=folder)
        assert ran.code in (0, 3), (inputs, ran)


MANIFESTS = {
    "deep": b"[" * 200_000,
    "a name too long": json.dumps(
        {"inputs": {"model": {"path": "x" * 5000}, "calibration": {"path": "y" * 5000}}}
    ).encode(),
    "NUL in a name": json.dumps({"inputs": {"model": {"path": "a\0b"}}}).encode(),
    "options of another kind": json.dumps(
        {"inputs": {"model": {"path": "m.onnx", "options": {"input_shape": [1e400]}}}}
    ).encode(),
    "no options": json.dumps({"inputs": {"model": {"path": "m.onnx", "options": 3}}}).encode(),
    "a list of nothing": json.dumps({"artifacts": [None, 1, {"path": {}}], "inputs": []}).encode(),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_hostile_manifest_is_a_help_that_is_missing(folder, case):
    (folder / "digits_mlp.int.manifest.json").write_bytes(MANIFESTS[case])
    ran = forked(*EVAL, cwd=folder)
    assert ran.code == 0, ran
    ran = forked("verify", "digits_mlp.int.onnx", "-q", *EVAL[3:], cwd=folder)
    assert ran.code == (4 if case == "deep" else 0), ran
    assert ran.err.count("\n") <= 1


@pytest.mark.parametrize("case", [*TEXTS, "infinite", "an axis that is none"])
def test_hostile_metadata_of_golden_vectors_is_3(folder, case):
    ran = forked("convert", *CONVERT[1:-1], "digits_mlp.json", "--golden", "1", cwd=folder)
    assert ran.code == 0, ran
    with np.load(folder / "x.golden.npz") as file:
        arrays = dict(file)
    text = TEXTS.get(case)
    if text is None:
        meta = json.loads(arrays["meta"].tobytes())
        if case == "infinite":
            meta["samples"] = float("inf")
        else:
            next(iter(meta["arrays"].values()))["time"] = 10**400
        text = json.dumps(meta).encode()
    arrays["meta"] = np.frombuffer(text, np.uint8)
    np.savez(folder / "x.golden.npz", **arrays)
    refuses(folder, 3, "verify", "x.onnx", "-q")


METADATA = {
    "nothing": "",
    "cut": "[",
    "a huge number": "9" * 6000,
    "deep": "[" * 100_000,
    "null": "null",
    "a list": "[1]",
    "a list for a name": '{"lif1": [1]}',
}


@pytest.mark.parametrize("case", METADATA)
@pytest.mark.parametrize("key", ["synapses", "origins", "batch", "sequence", "state.lif1.v"])
def test_hostile_metadata_of_a_model(made, tmp_path, key, case, capsys):
    name = "digits_mlp.int.onnx"
    work = tmp_path / "work"
    work.mkdir()
    if key in ("sequence", "state.lif1.v"):
        name = "digits_mlp.step.onnx"
        convert = ("convert", made / "digits_mlp.onnx", "--calibration", made / "digits_mlp.json")
        assert run([*map(str, convert), "--mode", "step", "-q", "-o", str(work / name)]) == 0
    else:
        shutil.copy(made / name, work)
    model = onnx.load(str(work / name))
    held = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, held | {f"snnquant.{key}": METADATA[case]})
    onnx.save(model, str(work / "bad.onnx"))
    capsys.readouterr()
    code = run(["diff", str(work / name), str(work / "bad.onnx"), "-q"])
    said = capsys.readouterr().err
    assert code == (3 if name.endswith("step.onnx") else 0), said
    assert said.count("\n") == (1 if code else 0)
