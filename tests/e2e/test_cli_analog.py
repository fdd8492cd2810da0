"""Networks with analog values between their layers, as their users convert them."""

import json

import numpy as np
import onnx
import pytest
from cli_process import forked
from graphs import Graph

from snnquant.runtime import load_session

STEPS, SIZE, SAMPLES = 4, 6, 48


def weights(rng, *shape):
    return rng.normal(size=shape) * 1.4 / np.sqrt(np.prod(shape[1:]))


class Maps:
    """A graph over maps ``[T, B, C, SIZE, SIZE]``."""

    def __init__(self):
        self.g, self.rng = Graph(), np.random.default_rng(1)

    def conv(self, value, channels, out, size=3):
        flat = self.g.reshape(value, [-1, channels, SIZE, SIZE])
        weight = self.g.const(weights(self.rng, out, channels, size, size))
        made = self.g.op("Conv", flat, weight, pads=[size // 2] * 4)
        return self.g.reshape(made, [STEPS, -1, out, SIZE, SIZE])

    def lif(self, current, name):
        return self.g.neuron(current, name=name, v_threshold=0.5, alpha=0.75)[0]


def membrane_shortcuts():
    """Blocks whose currents are added before the neurons, and read by convolutions as well."""
    net = Maps()
    g = net.g
    x = g.input("x", [STEPS, "B", 1, SIZE, SIZE])
    stem = net.conv(x, 1, 4)
    block = g.op("Add", stem, net.conv(net.lif(stem, "first"), 4, 4))
    wide = g.op("Add", net.conv(block, 4, 6, 1), net.conv(net.lif(block, "second"), 4, 6))
    pooled = g.op("AveragePool", g.reshape(wide, [-1, 6, SIZE, SIZE]), kernel_shape=[2, 2],
                  strides=[2, 2])  # fmt: skip
    spikes = net.lif(g.reshape(pooled, [STEPS, -1, 6, SIZE // 2, SIZE // 2]), "third")
    flat = g.reshape(spikes, [STEPS, -1, 6 * SIZE * SIZE // 4])
    head = g.op("MatMul", flat, g.const(weights(net.rng, 3, 6 * SIZE * SIZE // 4).T))
    g.output(g.op("ReduceMean", head, axes=[0], keepdims=0), 2)
    return g.model()


def attention_of_currents():
    """Queries and keys without neurons, their scaled product, a residual, a weighted sum."""
    net = Maps()
    g, rng = net.g, net.rng
    size = SIZE * SIZE
    x = g.input("x", [STEPS, "B", 1, SIZE, SIZE])
    tokens = g.reshape(net.lif(net.conv(x, 1, 8), "stem"), [STEPS, -1, 8, size])
    tokens = g.op("Transpose", tokens, perm=[0, 1, 3, 2])

    def projected(value):
        return g.op("MatMul", value, g.const(weights(rng, 8, 8).T))

    q, k, v = projected(tokens), projected(tokens), net.lif(projected(tokens), "values")
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    mixed = g.op("MatMul", g.op("Mul", scores, g.const(0.125)), v)
    attended = net.lif(mixed, "attention")
    y = g.op("Add", g.op("Mul", attended, g.const(0.3)), tokens)
    y = g.op("Add", projected(y), g.op("Mul", projected(tokens), g.const(0.7)))
    spikes = net.lif(y, "last")
    head = g.op("MatMul", spikes, g.const(weights(rng, 3, 8).T))
    g.output(g.op("ReduceMean", head, axes=[0, 2], keepdims=0), 2)
    return g.model()


NETS = {"shortcuts": membrane_shortcuts, "attention": attention_of_currents}


@pytest.fixture(scope="module", params=NETS)
def made(request, tmp_path_factory):
    """Calibrate a network; return its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    onnx.save(NETS[request.param](), folder / "net.onnx")
    rng = np.random.default_rng(3)
    images = rng.random((SAMPLES, STEPS, 1, SIZE, SIZE), np.float32)
    np.savez(folder / "data.npz", x=images)
    ran = forked("calibrate", "net.onnx", "--data", "data.npz", "-o", "net.json", cwd=folder)
    assert ran.code == 0, ran
    return folder


def converted(folder, output, *options):
    """Convert the network, which says what it requantized; return the model."""
    ran = forked("convert", "net.onnx", "--calibration", "net.json", "-o", output, *options,
                 cwd=folder)  # fmt: skip
    assert ran.code == 0, ran
    assert "values between layers: " in ran.err
    return onnx.load(folder / output)


@pytest.mark.parametrize("form", ["--fuse", "--no-fuse"])
def test_all_of_it_is_integer_and_close(made, form):
    model = converted(made, f"net{form}.int.onnx", form, "--golden", "4")
    manifest = json.loads((made / f"net{form}.int.manifest.json").read_text())
    assert manifest["stays_float"] == []
    assert len(manifest["requantized"]) >= 1
    assert {e["low"] for e in manifest["requantized"]} == {-128}
    assert all(e["value"] and e["scale"] > 0 for e in manifest["requantized"])
    assert [n.op_type for n in model.graph.node].count("QuantizeLinear") == 1
    ran = forked("verify", f"net{form}.int.onnx", cwd=made)
    assert ran.code == 0, ran
    ran = forked("eval", f"net{form}.int.onnx", "--reference", "net.onnx", "--data", "data.npz",
                 "--json", cwd=made)  # fmt: skip
    assert ran.code == 0, ran
    metrics = json.loads(ran.out)["metrics"]
    assert metrics["spike_agreement"] > 0.98
    assert metrics["prediction_agreement"] > 0.85


def test_every_form_gives_the_same_integers(made):
    feeds = {"x": np.moveaxis(np.load(made / "data.npz")["x"][:8], 1, 0)}
    found = []
    for form in ("--fuse", "--no-fuse"):
        model = converted(made, f"same{form}.onnx", form, "--readout-as", "int")
        data = model.SerializeToString()
        for custom_ops in (True, False):
            session = load_session(data, custom_ops=custom_ops, threads=1)
            found.append(session.run(None, feeds)[0])
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_one_step_per_call_gives_the_same(made):
    ran = forked("convert", "net.onnx", "--calibration", "net.json", "-o", "step.onnx",
                 "--mode", "step", cwd=made)  # fmt: skip
    assert ran.code == 0, ran
    manifest = json.loads((made / "step.manifest.json").read_text())
    assert manifest["metrics"]["step_check_values"] > 0


def test_search_and_analysis_run_on_it(made):
    ran = forked("convert", "net.onnx", "--data", "data.npz", "--calibration", "net.json",
                 "--weight-bits", "4", "-o", "few.onnx", cwd=made)  # fmt: skip
    assert ran.code == 0, ran
    manifest = json.loads((made / "few.manifest.json").read_text())
    assert manifest["search"]
    assert manifest["stays_float"] == []
    ran = forked("analyze", "net.onnx", "--calibration", "net.json", "--data", "data.npz",
                 "--samples", "16", "--json", cwd=made)  # fmt: skip
    assert ran.code == 0, ran
    layers = json.loads(ran.out)["layers"]
    assert len(layers) >= 3


def test_a_calibration_without_these_values_is_refused(made):
    known = json.loads((made / "net.json").read_text())
    (name, *_) = [name for name in known["tensors"] if name != "x"]
    del known["tensors"][name]
    known.pop("binding_sha256", None)
    (made / "old.json").write_text(json.dumps(known))
    ran = forked("convert", "net.onnx", "--calibration", "old.json", "-o", "no.onnx", cwd=made)
    assert ran.code in (3, 6), ran
    assert "calibrate" in ran.err
    assert not (made / "no.onnx").exists()
