"""Pooling layers alone: those of torch, with or without a time axis."""

import pytest
import torch
from torch import nn

import snnquant.nn as snn
from snnquant.errors import UsageError

PAIRS = [
    (snn.QMaxPool1d, nn.MaxPool1d, 1, {"padding": 1, "dilation": 2}),
    (snn.QMaxPool2d, nn.MaxPool2d, 2, {"stride": (2, 1), "ceil_mode": True}),
    (snn.QAvgPool1d, nn.AvgPool1d, 1, {"padding": 1, "count_include_pad": False}),
    (snn.QAvgPool2d, nn.AvgPool2d, 2, {"stride": (2, 1), "divisor_override": 3}),
]


@pytest.mark.parametrize(("ours", "theirs", "axes", "options"), PAIRS)
def test_it_is_the_layer_of_torch_at_every_step(ours, theirs, axes, options):
    x = torch.rand(3, 2, 4, *([7] * axes))
    layer, wanted = ours(3, **options), theirs(3, **options)
    assert torch.equal(layer(x[0]), wanted(x[0]))
    assert torch.equal(layer(x), torch.stack([wanted(step) for step in x]))
    assert isinstance(layer, theirs)
    assert repr(layer).removeprefix("Q") == repr(wanted)


@pytest.mark.parametrize("ours", [snn.QMaxPool1d, snn.QMaxPool2d])
def test_indices_are_refused(ours):
    message = f"{ours.__name__}: return_indices is set"
    with pytest.raises(UsageError, match=message):
        ours(2, return_indices=True)
    with pytest.raises(UsageError, match=message):
        ours(2, 2, 0, 1, True)
    ours(2, 2, 0, 1, False)
