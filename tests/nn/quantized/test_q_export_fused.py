"""A quantized model can be exported fused, with the integers that torch computes."""

import json

import numpy as np
import onnx
import pytest
import torch

from snnquant import nn as snn
from snnquant.errors import SelfCheckError
from snnquant.model_file import metadata
from snnquant.ops.schema import DOMAIN
from snnquant.runtime import load_session


class Net(snn.QModel):
    """An encoder, a map of spikes, and a read-out."""

    def __init__(self, steps):
        super().__init__()
        torch.manual_seed(5)
        self.steps = steps
        self.conv = snn.QConv2d(1, 4, 3, padding=1)
        self.lif1 = snn.QLIF(alpha=0.9, v_threshold=0.4, multi_step=True)
        self.inner = snn.QConv2d(4, 6, 3, padding=1)
        self.lif2 = snn.QCubaLIF(alpha=0.8, alpha_syn=0.5, v_threshold=0.2, multi_step=True)
        self.pool = snn.QMaxPool2d(2)
        self.fc = snn.QLinear(6 * 3 * 3, 5)
        self.read_out = snn.QLI(alpha=0.9, multi_step=True)

    def forward(self, x):
        current, q_param = self.conv(x)
        spikes, _ = self.lif1(snn.repeat(current, self.steps), q_param)
        current, q_param = self.inner(spikes)
        spikes, _ = self.lif2(current, q_param)
        current, q_param = self.fc(self.pool(spikes).flatten(2))
        membrane, _ = self.read_out(current, q_param)
        return membrane[-1]


def images(batch, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).normal(size=(batch, 1, 6, 6)).astype(np.float32)
    )


def trained(steps, target, bits):
    """Return a model that was trained on with its integers, and took them."""
    model, x = Net(steps).eval(), images(16)
    model.collect_q_params()
    with torch.no_grad():
        model(x)
    model.calculate_q_params(target=target)
    model.aware(target, weight_bits=bits)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), torch.arange(16) % 5).backward()
        optimizer.step()
    model.quantize(target, weight_bits=bits)
    return model


def ops(graph):
    return [node.op_type for node in graph.graph.node if node.domain == DOMAIN]


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize(("target", "bits"), [("generic", 4), ("tianjic", 8)])
def test_after_aware_training(tmp_path, steps, target, bits):
    model = trained(steps, target, bits)
    fused = snn.export_onnx(model, tmp_path / "net.int.onnx", images(2), fuse=True)
    plain = snn.export_onnx(model, None, images(2))
    assert onnx.load(tmp_path / "net.int.onnx") == fused
    assert ops(fused) == ["QStaticConvLIF", "QConvCubaLIF", "QSpikeMaxPool", "QLinearLI"]
    assert ops(plain) == ["QLIF", "QCubaLIF", "QLI"]
    for graph, said in ((fused, True), (plain, False)):
        assert json.loads(metadata(graph)["snnquant.config"])["fuse"] is said
    for batch in (1, 5):
        x = images(batch, seed=batch)
        with torch.no_grad():
            wanted = model(x).numpy()
        found = [
            load_session(graph.SerializeToString(), custom_ops=custom).run(
                None, {"input": x.numpy()}
            )
            for graph in (fused, plain)
            for custom in (True, False)
        ]
        for (output,) in found:
            assert np.array_equal(output, found[0][0])
            np.testing.assert_allclose(output, wanted, rtol=1e-6, atol=1e-6)


def test_a_fused_graph_that_differs_is_not_written(tmp_path, monkeypatch):
    from snnquant.nn.quantized import export

    fuse = export.fuse_result

    def wrong(result):
        made = fuse(result)
        for tensor in made.model.graph.initializer:
            if tensor.name.endswith(".bias"):
                array = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array + 999, tensor.name))
        return made

    model = trained(3, "generic", 8)
    monkeypatch.setattr(export, "fuse_result", wrong)
    with pytest.raises(SelfCheckError, match=r"of the fused model.* nothing was written"):
        snn.export_onnx(model, tmp_path / "net.int.onnx", images(2), fuse=True)
    assert not list(tmp_path.iterdir())


def test_a_float_model_is_the_same_graph_either_way():
    graphs = [snn.export_onnx(Net(2).eval(), None, images(2), fuse=fuse) for fuse in (True, False)]
    assert graphs[0] == graphs[1]


class Sequence(snn.QModel):
    """One layer over a sequence, whose time is in front of the batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.fc = snn.QLinear(20, 16)
        self.lif = snn.QLIF(alpha=0.8, v_threshold=0.3, multi_step=True)

    def forward(self, x):
        return self.lif(*self.fc(x))[0]


@pytest.mark.parametrize("time_axis", [None, 0])
def test_a_sequence_exports_whether_or_not_its_batch_is_fixed(time_axis):
    model = Sequence().eval()
    x = torch.from_numpy((np.random.default_rng(2).random((6, 3, 20)) > 0.6).astype(np.float32))
    with torch.no_grad():
        model(x)
        model.quantize()
        wanted = model(x).numpy()
    fused = snn.export_onnx(model, None, x, time_axis=time_axis, fuse=True)
    assert ops(fused) == ["QLinearLIF"]
    session = load_session(fused.SerializeToString())
    name = session.get_inputs()[0].name
    assert wanted.any()
    assert np.array_equal(session.run(None, {name: x.numpy()})[0], wanted)
