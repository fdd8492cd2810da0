"""What is read from NIR becomes integers, whole, and the command line takes it."""

import nir
import numpy as np
import pytest
from graphs import options_of, run_everywhere
from nir_files import chain, sequence, write

from snnquant.calibrate import calibrate_model
from snnquant.calibration import CalibrationSettings
from snnquant.cli.main import run
from snnquant.data import open_data
from snnquant.frontends import canonical_graph, read_source
from snnquant.frontends.reading import SourceOptions
from snnquant.quantize import quantize_model


def uniform(low, high, *shape):
    return np.random.default_rng(7).uniform(low, high, shape)


def cell(*shape, kind=nir.LIF):
    given = {
        "r": np.full(shape, 12.0),
        "v_leak": np.full(shape, 0.05),
        "v_threshold": uniform(0.4, 0.6, *shape),
        "v_reset": np.full(shape, -0.1),
    }
    if kind is nir.CubaLIF:
        taus = {"tau_mem": np.full(shape, 1e-3), "tau_syn": np.full(shape, 4e-4)}
        return kind(**taus, **given, w_in=np.full(shape, 3.0))
    return kind(tau=uniform(5e-4, 1e-3, *shape), **given)


def networks():
    """Yield graphs, the shape of a step, and the integer ops that come out."""
    yield "vector", (8,), ["MatMul", "QLIF", "MatMul", "QCubaLIF"]
    yield "convolutions", (2, 8, 8), ["Conv", "QLIF", "Conv", "QLIF", "MatMul", "QLI"]
    yield "recurrent", (8,), ["MatMul", "QLIFRecurrent", "MatMul", "QLIF"]


NETWORKS = list(networks())


def graph_of(name):
    weight = uniform(-1, 1, 8, 8)
    if name == "vector":
        scale = nir.Scale(uniform(0.5, 2, 8))
        second = nir.Affine(weight, uniform(-0.1, 0.1, 8))
        return chain((8,), nir.Linear(weight), scale, cell(8), second, cell(8, kind=nir.CubaLIF))
    if name == "recurrent":
        nodes = {
            "source": nir.Input(np.array([8])),
            "in": nir.Linear(weight),
            "lif": cell(8),
            "back": nir.Affine(0.3 * weight, uniform(-0.1, 0.1, 8)),
            "out": nir.Linear(weight),
            "last": cell(8),
            "sink": nir.Output(np.array([8])),
        }
        edges = [("source", "in"), ("in", "lif"), ("lif", "back"), ("back", "lif")]
        edges += [("lif", "out"), ("out", "last"), ("last", "sink")]
        return nir.NIRGraph(nodes, edges, type_check=False)
    two = np.array([2, 2])
    return chain(
        (2, 8, 8),
        nir.Conv2d((8, 8), uniform(-1, 1, 4, 2, 3, 3), 1, 1, 1, 1, np.zeros(4)),
        cell(4, 8, 8),
        nir.SumPool2d(two, two, 0 * two),
        nir.Conv2d((4, 4), uniform(-1, 1, 3, 4, 3, 3), 1, 0, 1, 1, uniform(-1, 1, 3)),
        cell(3, 2, 2),
        nir.AvgPool2d(two, two, 0 * two),
        nir.Flatten(np.array([3, 1, 1]), 0, -1),
        nir.Linear(uniform(-1, 1, 5, 3)),
        nir.LI(tau=np.full(5, 1e-3), r=np.full(5, 2.0), v_leak=np.zeros(5)),
    )


@pytest.mark.parametrize(("name", "shape", "ops"), NETWORKS)
@pytest.mark.parametrize("timesteps", [None, 10])
def test_every_node_becomes_integers(tmp_path, name, shape, ops, timesteps):
    assert len(NETWORKS) == 3
    path = write(tmp_path, graph_of(name))
    options = SourceOptions(timesteps=timesteps)
    canonical = canonical_graph(read_source(path, options), str(path))
    x = sequence(*shape, steps=10, batch=24)
    np.savez(tmp_path / "data.npz", x=x.swapaxes(0, 1))
    settings = CalibrationSettings("minmax", 24, 8, {})
    found = calibrate_model(canonical, open_data(tmp_path / "data.npz"), settings, threads=1)
    quantized = quantize_model(canonical, found.input_scales(8, "minmax"), options_of())
    assert [layer["op"] for layer in quantized.layers] == ops
    assert quantized.left == []
    values, compared = run_everywhere(quantized.model, {"source": x})
    assert compared > 1000
    assert len(values) >= len(ops)


def test_the_command_line_goes_all_the_way(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, graph_of("vector"))
    x = np.random.default_rng(0).normal(size=(40, 10, 8)).astype(np.float32)
    np.savez("data.npz", x=x)
    nir_file = ["net.nir", "--dt", "1e-4", "--reset", "soft", "--discretize", "exp"]
    for verb in (
        ["inspect", *nir_file],
        ["import", *nir_file, "-o", "net.onnx"],
        ["calibrate", *nir_file, "--data", "data.npz"],
        ["convert", *nir_file, "-o", "net.int.onnx"],
        ["eval", "net.int.onnx", "--data", "data.npz"],
        ["export", "net.onnx", "--to", "nir", "-o", "again.nir"],
        ["import", "again.nir", "-o", "again.onnx"],
    ):
        assert run(verb) == 0, capsys.readouterr().err
    told = capsys.readouterr()
    assert "no framework is recognised" in told.out.lower()
    assert "subtracts at a spike instead of resetting to v_reset" in told.err
    spikes = [run_model(name, {"source": x.swapaxes(0, 1)}) for name in ("net.onnx", "again.onnx")]
    assert spikes[0].any()
    np.testing.assert_array_equal(*spikes)


def run_model(path, feeds):
    from snnquant.runtime import load_session

    with open(path, "rb") as stream:
        return load_session(stream.read()).run(None, feeds)[0]


def test_bad_files_end_the_command_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.nir").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(200))
    assert run(["inspect", "bad.nir"]) == 3
    assert run(["export", "bad.nir", "--to", "nir", "-o", "x.nir"]) == 3
    graph = graph_of("vector")
    graph.nodes["n0"].weight = np.full((8, 8), np.nan)
    write(tmp_path, graph)
    assert run(["inspect", "net.nir"]) == 5
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines if "export:" not in line] == [True] * 3
