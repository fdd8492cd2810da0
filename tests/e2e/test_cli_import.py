"""import writes what was read, with the original's interface; every verb takes both alike."""

import json
import shutil

import numpy as np
import onnx
import pytest
from cli_process import DATA, contents, forked, refuses, snnquant
from onnx import TensorProto, helper
from test_cli_exit_codes import started

from snnquant.frontends import reading_of
from snnquant.model_file import graph_hash, metadata, neuron_nodes, read_model
from snnquant.passes import canonicalise
from snnquant.runtime import load_session

#: A frontend that finds one batch size in the interface, and says how it read the first neuron.
FRONTEND = """
import snnquant.frontends.onnx as onnx_frontend
from snnquant.frontends import NeuronOrigin, Reading, reading_of
from snnquant.model_file import metadata, read_model

def read(path, options):
    model = read_model(path)
    if "snnquant.fixed_batch" in metadata(model):
        return reading_of(model)
    origin = NeuronOrigin(
        "lif1", "snnTorch Leaky", ("/lif/Greater", "/lif/Greater_1", "/lif/Greater_2"),
        "U[t] = beta U[t-1] + I[t] - S[t-1]", 3,
    )
    return Reading(model, [origin], ["The input is repeated."], fixed_batch=2)

onnx_frontend.read = read
"""


def shapes(model):
    """Return name, type and dimensions of all inputs and outputs."""
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    ]


@pytest.mark.parametrize("net", DATA)
def test_an_imported_model_is_the_original(made, tmp_path, net):
    original = made / f"{net}.onnx"
    for source, target in ((original, "a.onnx"), ("a.onnx", "b.onnx")):
        ran = forked("import", source, "-o", target, "-q", cwd=tmp_path)
        assert ran.code == 0, ran
        assert f"wrote {target}" in ran.out
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    before, after = read_model(original), read_model(tmp_path / "a.onnx")
    assert shapes(before) == shapes(after)
    assert after.ir_version <= 9
    assert {f.domain for f in after.functions} == {"snnquant"}
    assert graph_hash(canonicalise(before)) == graph_hash(canonicalise(after))
    data = np.load(made / f"{DATA[net]}_test.npz")["x"][:8].astype(np.float32)
    value = np.swapaxes(data, 0, 1) if net == "events_edges" else data
    feeds = {"input": np.ascontiguousarray(value)}
    results = [
        load_session(m.SerializeToString(), custom_ops=False).run(None, feeds)[0]
        for m in (before, after)
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-5)


def test_a_calibration_of_the_original_is_the_imported_models_too(made, folder):
    ran = forked("import", "digits_mlp.onnx", "-o", "canonical.onnx", cwd=folder)
    assert ran.code == 0, ran
    arguments = ("--calibration", "digits_mlp.json", "-o", "new.onnx", "-q")
    ran = forked("convert", "canonical.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran
    converted = [onnx.load(str(folder / name)) for name in ("new.onnx", "digits_mlp.int.onnx")]
    assert converted[0].graph.node == converted[1].graph.node


def test_import_says_what_it_recognised(folder):
    ran = started(folder, FRONTEND, ("import", "digits_mlp.onnx", "-o", "new.onnx"))
    assert ran.returncode == 0, ran
    out = ran.stdout.decode()
    for words in (
        "snnTorch Leaky at /lif/Greater .. /lif/Greater_2 (3 places)",
        "read as U[t] = beta U[t-1] + I[t] - S[t-1]",
        "v[t] = 0.9*(1 - s[t])*h[t]",
        "note: The input is repeated.",
        "3 spikes differ from the original",
        "3 neuron layers, T = 8",
    ):
        assert words in out
    ran = started(folder, "", ("inspect", "new.onnx"))
    assert b"snnTorch Leaky at /lif/Greater .. /lif/Greater_2 (3 places)" in ran.stdout


def test_import_tells_machines(folder):
    ran = started(folder, FRONTEND, ("import", "digits_mlp.onnx", "-o", "new.onnx", "--json"))
    assert ran.returncode == 0, ran
    found = json.loads(ran.stdout)
    assert found["schema"] == "snnquant.import/1"
    assert found["inputs"]["model"].keys() == {"path", "sha256"}
    assert found["metrics"] == {
        "neuron_layers": 3,
        "timesteps": 8,
        "knife_edges": 3,
        "stays_float": 0,
    }
    assert found["notes"] == ["The input is repeated."]
    assert found["stays_float"] == []
    (artifact,) = found["artifacts"]
    assert artifact["path"] == "new.onnx"
    layer = next(entry for entry in found["layers"] if entry["name"] == "lif1")
    assert layer["framework"] == "snnTorch Leaky"
    assert layer["found_at"] == ["/lif/Greater", "/lif/Greater_1", "/lif/Greater_2"]
    assert layer["equation"][1] == "s[t] = h[t] > 1"
    assert layer["timesteps"] == 8
    assert layer["reset"] == "hard"


def test_a_fixed_batch_binds_the_interface_only(folder):
    for source, target in (("digits_mlp.onnx", "a.onnx"), ("a.onnx", "b.onnx")):
        ran = started(folder, FRONTEND, ("import", source, "-o", target, "-q"))
        assert ran.returncode == 0, ran
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes()
    file = onnx.load(str(folder / "a.onnx"))
    assert [dims for _, _, dims in shapes(file)] == [[2, 1, 8, 8], [2, 10]]
    session = load_session(file.SerializeToString(), custom_ops=False)
    (scores,) = session.run(None, {"input": np.ones((2, 1, 8, 8), np.float32)})
    assert scores.shape == (2, 10)
    reading = reading_of(file)
    assert reading.fixed_batch == 2
    assert shapes(reading.model) == shapes(onnx.load(str(folder / "digits_mlp.onnx")))
    # Any number of samples, by the original and by the imported file, from one calibration.
    data = ("--data", "digits_test.npz", "--samples", "7")
    ran = started(folder, FRONTEND, ("calibrate", "digits_mlp.onnx", *data, "-o", "7.json", "-q"))
    assert ran.returncode == 0, ran
    arguments = ("--calibration", "7.json", "-o", "7.int.onnx", "-q")
    ran = snnquant("convert", "a.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran
    data = ("--data", "digits_test.npz", "--samples", "5", "--batch-size", "3", "--json", "-q")
    ran = snnquant("eval", "7.int.onnx", *data, cwd=folder)
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    assert found["metrics"]["samples"] == 5
    assert found["inputs"]["reference"]["path"] == "a.onnx"
    integer = onnx.load(str(folder / "7.int.onnx"))
    assert not integer.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    assert "snnquant.fixed_batch" not in metadata(integer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"batch": "x", "places": {}}',
        '{"batch": 2, "places": [1, 2]}',
        '{"batch": 2, "places": {"input": [99, "N"]}}',
        '{"batch": 2, "places": {"input": 5}}',
    ],
)
def test_what_metadata_says_is_a_help_not_a_condition(folder, text):
    model = onnx.load(str(folder / "digits_mlp.onnx"))
    properties = {name: text for name in ("fixed_batch", "origins", "notes")}
    helper.set_model_props(model, {f"snnquant.{k}": v for k, v in properties.items()})
    onnx.save(model, str(folder / "odd.onnx"))
    ran = forked("inspect", "odd.onnx", "-q", cwd=folder)
    assert ran.code == 0, ran
    ran = forked("import", "odd.onnx", "-o", "new.onnx", "-q", cwd=folder)
    assert ran.code == 0, ran


def several():
    """Return a model of two inputs and three outputs, with names that need care."""
    from graphs import Graph

    g = Graph()
    a, b = g.input("a'/\"b\n", ["N", 6]), g.input("\u8109\u51b2", ["N", 6])
    rng = np.random.default_rng(0)
    spikes = []
    for k, x in enumerate((a, b)):
        current = g.op("MatMul", x, g.const(rng.uniform(-1, 1, (6, 4))))
        timed = g.op(
            "Expand",
            g.op("Unsqueeze", current, g.const([0], np.int64)),
            g.const([5, 1, 1], np.int64),
        )
        spikes.append(g.neuron(timed, name=f"lif {k}/", alpha=0.9, v_threshold=0.5)[0])
    for value in spikes:
        g.output(value, 3)
    both = g.op("Add", *spikes)
    g.output(g.op("ReduceSum", both, g.const([0], np.int64), keepdims=0), 2)
    return g.model()


def test_models_of_several_inputs_and_outputs_keep_them(tmp_path):
    model = several()
    onnx.save(model, str(tmp_path / "several.onnx"))
    ran = forked("import", "several.onnx", "-o", "new.onnx", "-q", cwd=tmp_path)
    assert ran.code == 0, ran
    written = onnx.load(str(tmp_path / "new.onnx"))
    named = [[v.name for v in m.graph.input] for m in (model, written)]
    assert named[0] == named[1] == ["a'/\"b\n", "\u8109\u51b2"]
    assert [v.name for v in written.graph.output] == [v.name for v in model.graph.output]
    assert len(neuron_nodes(written)) == 2
    rng = np.random.default_rng(1)
    feeds = {name: rng.uniform(-1, 3, (3, 6)).astype(np.float32) for name in named[0]}
    from graphs import run_float

    for old, new in zip(run_float(model, feeds), run_float(written, feeds), strict=True):
        assert old.sum() > 0
        np.testing.assert_array_equal(old, new)
    ran = forked("inspect", "new.onnx", "--json", cwd=tmp_path)
    assert [entry["name"] for entry in json.loads(ran.out)["model"]["inputs"]] == named[0]
    np.savez(tmp_path / "data.npz", **feeds)
    ran = forked("calibrate", "new.onnx", "--data", "data.npz", "-q", cwd=tmp_path)
    assert ran.code == 0, ran
    ran = forked("convert", "several.onnx", "-o", "int.onnx", "-q", cwd=tmp_path)
    assert ran.code == 0, ran


def test_external_data_beside_the_model_is_read(folder):
    model = onnx.load(str(folder / "digits_mlp.onnx"))
    onnx.save(
        model,
        str(folder / "big.onnx"),
        save_as_external_data=True,
        location="big.onnx.data",
        size_threshold=0,
    )
    for source, target in (("digits_mlp.onnx", "a.onnx"), ("big.onnx", "b.onnx")):
        ran = forked("import", source, "-o", target, "-q", cwd=folder)
        assert ran.code == 0, ran
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes()
    (folder / "big.onnx.data").write_bytes((folder / "big.onnx.data").read_bytes()[:-1])
    refuses(folder, 3, "import", "big.onnx", "-o", "old.onnx", "-q", says=["copy it again whole"])
    (folder / "big.onnx.data").unlink()
    refuses(folder, 3, "inspect", "big.onnx", says=["no file 'big.onnx.data' beside the model"])
    (folder / "big.onnx.data").symlink_to("/etc/hostname")
    refuses(folder, 3, "inspect", "big.onnx", says=["outside of the model's folder"])


def test_more_than_2_gb_are_refused_before_they_are_read(folder):
    model = onnx.load(str(folder / "digits_mlp.onnx"))
    held = next(t for t in model.graph.initializer if t.name == "fc1.weight")
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="big.data")
    (folder / "big.onnx").write_bytes(model.SerializeToString())
    sparse = folder.parent / "big.data"  # out of the folder whose files are compared
    with sparse.open("wb") as stream:
        stream.truncate(2**31)
    (folder.parent / "big.onnx").write_bytes((folder / "big.onnx").read_bytes())
    arguments = ("inspect", folder.parent / "big.onnx")
    refuses(folder, 3, *arguments, says=["2147483648 bytes", "split the network"])
    with (folder.parent / "huge.onnx").open("wb") as stream:
        stream.truncate(2**31)
    refuses(
        folder,
        3,
        "import",
        folder.parent / "huge.onnx",
        "-o",
        "old.onnx",
        "-q",
        says=["2147483648 bytes", "split the network"],
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-o", "new.onnx"), 2, "give MODEL, or --model package.module:factory"),
        (("digits_mlp.onnx",), 2, "output-file"),
        (("digits_mlp.onnx", "-o", "digits_mlp.onnx"), 2, "would replace the input"),
        (("digits_mlp.onnx", "-o", "missing/new.onnx"), 2, "create it first"),
        (("digits_mlp.onnx", "-o", "new.onnx", "--dt", "0.1"), 2, "--dt means nothing to ONNX"),
        (("digits_mlp.onnx", "-o", "new.onnx", "--dt", "0"), 2, "--dt"),
        (("digits_mlp.onnx", "-o", "new.onnx", "--input-shape", "1,x"), 2, "no shape"),
        (("digits_mlp.onnx", "-o", "new.onnx", "--input-shape", "1,0"), 2, "no shape"),
        (("digits_mlp.onnx", "-o", "new.onnx", "--time-axis", "2"), 2, "--time-axis"),
        (("digits_mlp.onnx", "-o", "new.onnx", "--checkpoint", "w.pt"), 2, "give --model too"),
        (
            ("a.pt", "-o", "new.onnx", "--model", "m:f", "--checkpoint", "b.pt"),
            2,
            "two checkpoints",
        ),
        (("digits_mlp.int.onnx", "-o", "new.onnx"), 2, "integer model"),
        (("none.nir", "-o", "new.onnx"), 3, "none.nir"),
    ],
)
def test_options_that_do_not_fit_are_refused(folder, arguments, code, words):
    refuses(folder, code, "import", *arguments, "-q", says=[words])


def test_a_name_without_a_known_suffix_is_read_as_onnx(folder):
    shutil.copy(folder / "digits_mlp.onnx", folder / "net")
    ran = forked("inspect", "net", cwd=folder)
    assert ran.code == 0, ran
    (folder / "net.h5").write_bytes(b"no model")
    refuses(folder, 3, "inspect", "net.h5", says=["read as ONNX", ".nir", ".safetensors"])


def test_inspect_counts_spikes_on_data(made, folder):
    arguments = ("--data", "digits_test.npz", "--samples", "100")
    ran = forked("inspect", "digits_mlp.onnx", *arguments, "--json", "-q", cwd=folder)
    assert ran.code == 0, ran
    layers = {layer["name"]: layer for layer in json.loads(ran.out)["layers"]}
    data = np.load(folder / "digits_test.npz")["x"][:100].astype(np.float32)
    model = read_model(folder / "digits_mlp.onnx")
    model.graph.output.append(onnx.ValueInfoProto(name="lif1.spikes"))
    session = load_session(model.SerializeToString(), custom_ops=False)
    spikes = session.run(["lif1.spikes"], {"input": data})[0]
    assert layers["lif1"]["firing_rate"] == pytest.approx(spikes.mean(), abs=1e-7)
    assert layers["lif1"]["dead"] == pytest.approx((spikes.sum((0, 1)) == 0).mean())
    assert "firing_rate" not in layers["fc1"]
    ran = forked("inspect", "digits_mlp.int.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran
    assert ran.out.count("rate 0.") == 3


def test_inspect_takes_data_of_its_own_shape_only(folder):
    np.savez(folder / "bad.npz", x=np.zeros((4, 3), np.float32))
    refuses(folder, 3, "inspect", "digits_mlp.onnx", "--data", "bad.npz", "-q", says=["(4, 3)"])


def test_an_interrupted_import_leaves_the_old_file(folder):
    code = (
        "import snnquant.cli.import_ as i, os, signal\n"
        "i.load_session = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    before = contents(folder)
    ran = started(folder, code, ("import", "digits_mlp.onnx", "-o", "old.onnx", "-q"))
    assert ran.returncode == 130, ran
    assert contents(folder) == before
