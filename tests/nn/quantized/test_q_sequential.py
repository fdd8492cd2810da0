"""Layers in a row: the same as calling them by hand, and clear about what does not fit."""

import pytest
import torch

from snnquant import nn as snn
from snnquant.errors import UsageError


def _layers():
    torch.manual_seed(1)
    return [
        snn.QConv2d(1, 4, 3),
        snn.Repeat(3),
        snn.QLIF(alpha=0.9, v_threshold=0.2, multi_step=True),
        snn.QMaxPool2d(2),
        snn.Folded(torch.nn.Flatten()),
        snn.QLinear(4 * 3 * 3, 5),
        snn.QLI(alpha=0.9, multi_step=True),
        snn.MeanOverTime(),
    ]


def test_it_is_the_calls_by_hand_in_float_and_in_integers():
    layers = _layers()
    model = snn.QSequential(*layers)
    x = torch.rand(2, 1, 8, 8)
    model.collect_q_params()
    model(x)
    model.calculate_q_params()
    for step in (lambda: None, model.quantize):
        step()
        conv, repeat, lif, pool, flatten, linear, read_out, mean = layers
        current, q_param = conv(x)
        spikes, _ = lif(repeat(current), q_param)
        current, q_param = linear(flatten(pool(spikes)))
        expected = mean(read_out(current, q_param)[0])
        assert spikes.any()
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        pytest.param([snn.QLIF(multi_step=True)], "no synapse", id="no-synapse"),
        pytest.param(
            [snn.QLinear(2, 2), snn.QLIF(multi_step=True), snn.QLIF(multi_step=True)],
            "layer 2 .QLIF. has no synapse",
            id="two-neurons",
        ),
        pytest.param([snn.QLinear(2, 2), snn.QLIF()], "single steps", id="single-step"),
    ],
)
def test_rows_that_cannot_work_are_refused(layers, reason):
    with pytest.raises(UsageError, match=reason):
        snn.QSequential(*layers)
