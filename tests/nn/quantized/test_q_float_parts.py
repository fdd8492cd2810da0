"""Layers that are not quantizable stay float, in torch and in the graph alike."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from snnquant import nn as snn
from snnquant.errors import UsageError


class FloatHead(snn.QModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Linear(6, 6)
        self.first = snn.QLinear(6, 8)
        self.lif = snn.QLIF(alpha=0.9, v_threshold=0.1, multi_step=True)
        self.plain = nn.Linear(8, 8)
        self.soft = snn.LIF(alpha=0.9, v_threshold=0.1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        current, q_param = self.first(self.scale(x))
        spikes, _ = self.lif(snn.repeat(current, 4), q_param)
        return self.head(self.soft(self.plain(spikes)).sum(0))


def test_float_layers_in_front_and_behind_stay_float():
    model, x = FloatHead().eval(), torch.randn(5, 6)
    model.collect_q_params()
    model(x)
    model.calculate_q_params()
    model.quantize(weight_bits=3)
    with torch.no_grad():
        expected = model(x)
    graph = snn.export_onnx(model, None, x)
    kinds = {node.name: node.op_type for node in graph.graph.node}
    assert kinds["lif"] == "QLIF"
    assert kinds["soft"] == "LIF"
    stored = {t.name: t.data_type for t in graph.graph.initializer}
    assert stored["first.weight.q"] == onnx.TensorProto.INT8
    assert stored["head.weight"] == onnx.TensorProto.FLOAT
    (found,) = ort.InferenceSession(graph.SerializeToString()).run(None, {"input": x.numpy()})
    assert np.allclose(found, expected.numpy(), 1e-5, 1e-6)


def test_real_parameters_are_not_loaded_under_integers():
    model = FloatHead()
    state = model.state_dict()
    model.quantize()
    with pytest.raises(UsageError, match=r"dequantize\(\) before load_state_dict"):
        model.load_state_dict(state)
    model.dequantize()
    model.load_state_dict(state)
