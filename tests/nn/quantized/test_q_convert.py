"""``calibrate`` and ``convert`` of the exported float model make the integers of ``quantize``."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from snnquant import nn as snn

SAMPLES = Path(__file__).parents[3] / "samples"


def run_cli(*arguments, cwd):
    subprocess.run([sys.executable, "-m", "snnquant", *arguments], cwd=cwd, check=True)


class Net(snn.QModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv = snn.QConv2d(1, 6, 3, padding=1)
        self.lif1 = snn.QLIF(alpha=0.9, v_threshold=0.5, multi_step=True)
        self.pool = snn.QAvgPool2d(2)
        self.fc = snn.QLinear(6 * 4 * 4, 10)
        self.lif2 = snn.QCubaLIF(alpha=0.8, alpha_syn=0.5, v_threshold=0.2, multi_step=True)

    def forward(self, x):
        current, q_param = self.conv(x)
        spikes, _ = self.lif1(snn.repeat(current, 4), q_param)
        current, q_param = self.fc(self.pool(spikes).flatten(2))
        spikes, _ = self.lif2(current, q_param)
        return spikes.sum(0)


@pytest.mark.parametrize("target", ["generic", "tianjic"])
def test_calibrate_and_convert_make_the_same_integers(tmp_path, target):
    with np.load(SAMPLES / "digits_calibration.npz") as stored:
        x = torch.from_numpy(stored["x"][:64]).float()
    np.savez(tmp_path / "data.npz", x=x.numpy())
    model = Net().eval()
    snn.export_onnx(model, tmp_path / "net.onnx", x[:2])
    run_cli("calibrate", "net.onnx", "--data", "data.npz", "--batch-size", "32", cwd=tmp_path)
    options = ("--target", target, "--no-fuse")
    run_cli("convert", "net.onnx", "-o", "net.int.onnx", *options, cwd=tmp_path)

    model.collect_q_params()
    with torch.no_grad():
        for batch in x.split(32):
            model(batch)
    model.calculate_q_params(target=target)
    model.quantize(target)
    snn.export_onnx(model, tmp_path / "torch.int.onnx", x[:2])

    ours, theirs = (onnx.load(tmp_path / name).graph for name in ("torch.int.onnx", "net.int.onnx"))
    assert list(ours.node) == list(theirs.node)
    assert list(ours.initializer) == list(theirs.initializer)
    weight = next(t for t in ours.initializer if t.name == "conv.weight.q")
    assert np.array_equal(onnx.numpy_helper.to_array(weight), model.conv.weight_integers.numpy())
