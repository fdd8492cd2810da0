import pytest
import torch
from torch import nn

import snnquant.nn as snn
from snnquant.errors import UsageError


def test_repeat_gives_every_step_the_same_value():
    x = torch.rand(2, 3)
    timed = snn.repeat(x, 4)
    assert timed.shape == (4, 2, 3)
    assert all(torch.equal(step, x) for step in timed)
    assert torch.equal(snn.Repeat(4)(x), timed)
    with pytest.raises(UsageError, match="timesteps is 0"):
        snn.repeat(x, 0)


def test_folded_applies_modules_step_by_step_in_eval_mode():
    net = snn.Folded(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten()).eval()
    x = torch.rand(5, 2, 2, 6, 6)
    steps = torch.stack([nn.Sequential(*net)(step) for step in x])
    torch.testing.assert_close(net(x), steps)


def test_folded_batch_normalization_sees_all_steps():
    norm = nn.BatchNorm1d(3, momentum=None)
    x = torch.rand(5, 4, 3)
    snn.Folded(norm)(x)
    torch.testing.assert_close(norm.running_mean, x.mean((0, 1)))


def test_readouts():
    x = torch.tensor([[[0.0, 1.0]], [[1.0, 1.0]]])
    assert snn.SumOverTime()(x).tolist() == [[1.0, 2.0]]
    assert snn.MeanOverTime()(x).tolist() == [[0.5, 1.0]]


def test_public_names_exist():
    assert all(hasattr(snn, name) for name in snn.__all__)
    assert snn.__all__ == sorted(snn.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n))
