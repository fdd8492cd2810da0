"""Fused and unfused files of the same network: the same numbers, and a manifest that tells."""

import json

import numpy as np
import onnx
import pytest
from cli_process import DATA, forked

from snnquant.runtime import load_session


@pytest.fixture
def unfused(made, tmp_path):
    """Convert a sample network without fusion; return the path of the file."""

    def convert(net):
        target = tmp_path / f"{net}.plain.onnx"
        ran = forked(
            "convert",
            f"{net}.onnx",
            "--no-fuse",
            "--calibration",
            f"{net}.json",
            "-o",
            str(target),
            cwd=made,
        )
        assert ran.code == 0, ran
        return target

    return convert


def reported(command, path, data, cwd):
    ran = forked(command, str(path), "--data", data, "--samples", "50", "--json", cwd=cwd)
    assert ran.code == 0, ran
    return json.loads(ran.out)


@pytest.mark.parametrize("net", DATA)
def test_fused_and_unfused_files_give_the_same_numbers(made, unfused, net):
    fused, plain = made / f"{net}.int.onnx", unfused(net)
    data = str(made / f"{DATA[net]}_test.npz")
    for command in ("eval", "inspect"):
        ours, others = (reported(command, path, data, made) for path in (fused, plain))
        if command == "eval":
            for found in (ours, others):
                found["metrics"].pop("model_bytes")
            assert ours["metrics"] == others["metrics"]
        assert len(ours["layers"]) == len(others["layers"])
        for mine, other in zip(ours["layers"], others["layers"], strict=True):
            apart = {"op", "weight_shape"}
            assert {k: v for k, v in mine.items() if k not in apart} == {
                k: v for k, v in other.items() if k not in apart
            }


@pytest.mark.parametrize("net", DATA)
def test_outputs_are_equal_in_stock_onnx_runtime(made, unfused, net):
    samples = np.load(made / f"{DATA[net]}_test.npz")["x"][:9]
    paths = [made / f"{net}.int.onnx", unfused(net)]
    results = []
    for path in paths:
        for custom_ops in (True, False):
            session = load_session(path.read_bytes(), custom_ops=custom_ops)
            shape = session.get_inputs()[0].shape
            axis = next(k for k, d in enumerate(shape) if isinstance(d, str))
            moved = np.moveaxis(samples, 0, axis).astype(np.float32)
            results.append(session.run(None, {"input": moved})[0])
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_manifests_tell_what_was_fused(made, unfused):
    plain = unfused("digits_conv")
    ours = json.loads((made / "digits_conv.int.manifest.json").read_text())
    other = json.loads(plain.with_suffix(".manifest.json").read_text())
    assert (ours["config"]["fuse"], other["config"]["fuse"]) == (True, False)
    assert [layer["fused_op"] for layer in ours["layers"]] == [
        "QStaticConvLIF",
        "QStaticConvLIF",
        "QConvLIF",
        "QConvLIF",
        "QLinearLIF",
        "QLinearLIF",
    ]
    assert all(layer["not_fused"] is None for layer in ours["layers"])
    assert all("fused_op" not in layer for layer in other["layers"])
    ops = {node.op_type for node in onnx.load(str(plain)).graph.node}
    assert {"Conv", "Gemm", "QLIF"} <= ops


def test_convert_says_what_it_fused(folder):
    arguments = ("--calibration", "digits_mlp.json", "-o", "x.onnx")
    ran = forked("convert", "digits_mlp.onnx", *arguments, cwd=folder)
    assert "fused 3 of 3 synapses" in ran.out + ran.err
    ran = forked("convert", "digits_mlp.onnx", *arguments, "--no-fuse", cwd=folder)
    assert "fused" not in (ran.out + ran.err).replace("--no-fuse", "")
