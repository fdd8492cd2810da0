"""What the integer file itself says and does, with nothing of snnquant around it."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from cli_process import DATA, forked

from snnquant.files import sha256_of
from snnquant.model_file import neuron_nodes


def metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def stock_session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("net", DATA)
def test_the_file_carries_its_meaning_and_its_origin(made, net):
    path = made / f"{net}.int.onnx"
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    used = {node.op_type for node in model.graph.node if node.domain == "snnquant"}
    assert used
    assert {f.name for f in model.functions if f.domain == "snnquant"} >= used
    found = metadata(model)
    assert found["snnquant.source_sha256"] == sha256_of(made / f"{net}.onnx")
    assert found["snnquant.calibration_sha256"] == sha256_of(made / f"{net}.json")
    assert found["snnquant.target"] == "generic"
    assert int(found["snnquant.timesteps"]) in (6, 8, 10)
    assert found["snnquant.schema"] == "1"
    assert found["snnquant.version"]
    assert json.loads(found["snnquant.config"])["weight_bits"] == 8


@pytest.mark.parametrize("net", DATA)
def test_every_quantized_node_names_origin_scale_and_bits(made, net):
    floats = {node.name for node in onnx.load(str(made / f"{net}.onnx")).graph.node}
    model = onnx.load(str(made / f"{net}.int.onnx"))
    weights = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8}
    casts = {n.output[0] for n in model.graph.node if n.op_type == "Cast" and n.input[0] in weights}
    users = [n for n in model.graph.node if (weights | casts) & set(n.input)]
    synapses = [n for n in users if n.op_type != "Cast"]
    neurons = neuron_nodes(model)
    inputs = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert len(synapses) > 2
    assert len(neurons) > 2
    for node in (*synapses, *neurons, *inputs):
        assert "-bit " in node.doc_string
        assert " is worth " in node.doc_string
    for node in synapses:
        assert " times " in node.doc_string
        assert node.doc_string.split(":")[0] in floats
    for node in neurons:
        assert any(f"'{name}'" in node.doc_string for name in floats)


@pytest.mark.parametrize("net", DATA)
def test_stock_onnx_runtime_runs_any_batch(made, net):
    session = stock_session(made / f"{net}.int.onnx")
    samples = np.load(made / f"{DATA[net]}_test.npz")["x"][:7]
    shape = session.get_inputs()[0].shape
    axis = next(k for k, d in enumerate(shape) if isinstance(d, str))
    samples = np.moveaxis(samples, 0, axis).astype(np.float32)
    whole = session.run(None, {"input": samples})[0]
    batch = list(whole.shape).index(7)
    for k in range(7):
        single = session.run(None, {"input": np.take(samples, [k], axis)})[0]
        np.testing.assert_array_equal(single, np.take(whole, [k], batch))


def test_the_readout_can_be_integers(folder):
    arguments = ("--calibration", "digits_mlp.json", "-q", "--readout-as")
    for kind in ("float", "int"):
        ran = forked(
            "convert", "digits_mlp.onnx", *arguments, kind, "-o", f"{kind}.onnx", cwd=folder
        )
        assert ran.code == 0, ran
    samples = {"input": np.load(folder / "digits_test.npz")["x"][:5].astype(np.float32)}
    floats = stock_session(folder / "float.onnx").run(None, samples)[0]
    integers = stock_session(folder / "int.onnx").run(None, samples)[0]
    assert floats.dtype == np.float32
    assert integers.dtype == np.int32
    scale = float(metadata(onnx.load(str(folder / "int.onnx")))["snnquant.scale.output"])
    np.testing.assert_array_equal(integers * scale, floats)


def test_the_users_metadata_is_kept(folder):
    model = onnx.load(str(folder / "digits_mlp.onnx"))
    onnx.helper.set_model_props(model, metadata(model) | {"author": "somebody", "snnquant.x": "1"})
    onnx.save(model, str(folder / "own.onnx"))
    arguments = ("--calibration", "digits_mlp.json", "-o", "own.int.onnx", "-q")
    ran = forked("convert", "own.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran
    found = metadata(onnx.load(str(folder / "own.int.onnx")))
    assert found["author"] == "somebody"
    assert found["snnquant.x"] == "1"
    assert list(found) == sorted(found)


def test_the_manifest_describes_the_file(made):
    found = json.loads((made / "digits_mlp.int.manifest.json").read_text())
    assert found["schema"] == "snnquant.manifest/1"
    assert found["artifacts"] == [
        {"path": "digits_mlp.int.onnx", "sha256": sha256_of(made / "digits_mlp.int.onnx")}
    ]
    assert [layer["name"] for layer in found["layers"] if layer["kind"] == "neuron"] == [
        "lif1",
        "lif2",
        "lif3",
    ]
    assert found["metrics"]["self_check_integers"] > 0


def test_weights_beside_the_model_are_read(folder):
    model = onnx.load(str(folder / "digits_mlp.onnx"))
    onnx.save(
        model,
        str(folder / "apart.onnx"),
        save_as_external_data=True,
        location="apart.bin",
        size_threshold=0,
    )
    arguments = ("--calibration", "digits_mlp.json", "-o", "apart.int.onnx", "-q")
    ran = forked("convert", "apart.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran  # the same graph, so the same calibration
    emitted, whole = (
        onnx.load(str(folder / name)) for name in ("apart.int.onnx", "digits_mlp.int.onnx")
    )
    for model in (emitted, whole):
        del model.metadata_props[:]
    assert emitted == whole


def test_an_old_output_is_replaced_with_its_mode(folder):
    (folder / "old.onnx").chmod(0o640)
    link = folder / "link.onnx"
    link.symlink_to("old.onnx")
    arguments = ("--calibration", "digits_mlp.json", "-o", "link.onnx", "-q")
    ran = forked("convert", "digits_mlp.onnx", *arguments, cwd=folder)
    assert ran.code == 0, ran
    assert link.is_symlink()
    assert (folder / "old.onnx").stat().st_mode & 0o777 == 0o640
    shutil.copy(folder / "old.onnx", folder / "copy.onnx")
    assert onnx.load(str(folder / "copy.onnx")).graph.node
