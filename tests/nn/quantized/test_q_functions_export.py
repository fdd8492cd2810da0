"""What moves values between layers means the same where torch is followed and where a graph is."""

import numpy as np
import onnx
import pytest
import torch
from q_networks import Net, spikes
from torch import nn
from torch.nn import functional

from snnquant.errors import UsageError
from snnquant.nn import QLIF, QConv2d, QLinear, export_onnx, fuse_conv_bn
from snnquant.nn.quantized import export as quantized_export


def between_layers(self, x):
    """Spikes under names that torch reports in its own way."""
    z = self.lif0(*self.fc0(x))[0]
    first, second = torch.concatenate([z, 1 - z], dim=2).tensor_split(2, dim=0)
    z = torch.cat([first, second])
    z = torch.moveaxis(z, 0, 1).swapdims(0, 1).mT.mT
    z /= 2
    z = z.index_select(2, torch.arange(8).flip(0))
    return self.lif1(*self.fc1(z))[0]


def current(move):
    """A current per channel that is moved in front of its neuron."""

    def run(self, x):
        y, q_param = self.fc0(x)
        return self.lif0(move(y), q_param)[0]

    return run


def mapped(self, x):
    """Features that become a map, of which the largest are taken."""
    y, q_param = self.fc0(x)
    y = functional.max_pool2d(y.unflatten(2, (1, 2, 2)).flatten(0, 1), 2)
    return self.lif0(y.unflatten(0, (4, -1)), q_param)[0]


def averaged(self, x):
    z = self.lif0(*self.conv(x.unflatten(2, (1, 2, 3)).repeat(1, 1, 1, 2, 2)))[0]
    z = functional.adaptive_avg_pool2d(z.flatten(0, 1), 1).unflatten(0, (4, -1)).flatten(2)
    return self.lif1(*self.fc1(z))[0]


CASES = {
    "between_layers": between_layers,
    "transposed": current(lambda y: y.transpose(0, 1).permute(1, 0, 2)),
    "cut": current(lambda y: y[1:, None].squeeze(1).narrow(1, 0, 1).contiguous()),
    "joined": current(lambda y: torch.concatenate([y[:2], y[2:]])),
    "mapped": mapped,
    "averaged": averaged,
}


class _Exportable(Net):
    """Net whose forward has one input with a name, which the exporter of torch wants."""

    def forward(self, x):
        return self.run(self, x)


def _model(run):
    torch.manual_seed(31)
    widths = {"fc1": QLinear(4 if run is averaged else 8, 4)}
    layers = {"fc0": QLinear(6, 4), **widths, "conv": QConv2d(1, 4, 2)}
    neurons = {name: QLIF(v_th_0=0.2, multi_step=True) for name in ("lif0", "lif1")}
    model = _Exportable(run, **layers, **neurons).eval()
    with torch.no_grad():
        # Channels of different sizes, so that one scale for all shows.
        for layer in layers.values():
            layer.weight.mul_(torch.logspace(0, 1, 4).reshape(-1, *[1] * (layer.weight.dim() - 1)))
    return model


@pytest.mark.parametrize("case", CASES)
def test_the_lowering_alone_makes_the_same_integers(case, monkeypatch):
    model, x = _model(CASES[case]), spikes(4, 3, 6)
    model.quantize(example_input=x)
    calls = []
    lower = quantized_export.quantize_model

    def spy(*arguments, decided, **options):
        calls.append((arguments, options))
        return lower(*arguments, decided=decided, **options)

    monkeypatch.setattr(quantized_export, "quantize_model", spy)
    graph = export_onnx(model, None, x, time_axis=0, fixed_timesteps=True)
    ((arguments, options),) = calls
    alone = lower(*arguments, **options).model
    own, other = (
        {t.name: onnx.numpy_helper.to_array(t) for t in g.graph.initializer} for g in (graph, alone)
    )
    assert own.keys() == other.keys()
    for name, array in own.items():
        assert np.array_equal(array, other[name]), name


def test_names_do_not_change_integers_without_data():
    model, x = _model(between_layers), spikes(4, 3, 6)
    model.quantize(example_input=x)
    known = {name: b.clone() for name, b in model.named_buffers() if "integers" in name}
    expected = model(x)
    model.dequantize()
    model.quantize()
    found = {name: b for name, b in model.named_buffers() if "integers" in name}
    assert known.keys() == found.keys()
    assert all(torch.equal(known[name], found[name]) for name in known)
    assert torch.equal(model(x), expected)
    assert 0 < expected.mean() < 1


BROKEN = {
    "relu": lambda y: y.relu(),
    "mul": lambda y: 3 * y.flatten(0, 1).unflatten(0, (4, -1)),
    "neg": lambda y: -y,
    "sigmoid": lambda y: torch.sigmoid(y) + 1,
}


@pytest.mark.parametrize("data", ["without_data", "with_data"])
@pytest.mark.parametrize("function", BROKEN)
def test_errors_name_the_function_that_broke_a_current(function, data):
    model = _model(current(BROKEN[function]))
    with pytest.raises(UsageError, match=f"'{function}' of the current of 'fc0' has no integer"):
        model.quantize(example_input=spikes(4, 3, 6) if data == "with_data" else None)


def _out(y):
    return torch.add(y, 0.5, out=torch.empty(0))


def _activated(y):
    functional.relu(y, inplace=True)
    return y


def _augmented(y):
    y += 0.5
    return y


REFUSED = {
    "number": lambda y: y + 0.5,
    "named": lambda y: torch.add(input=y, other=0.5),
    "reversed": lambda y: 0.5 - y,
    "augmented": _augmented,
    "method": lambda y: y.add_(0.5),
    "out": _out,
    "out_same": lambda y: torch.mul(y, 2, out=y),
    "activated": _activated,
    "subtracted": lambda y: y.sub_(1),
    "dropped": lambda y: functional.dropout(y, 0.5),
    "floor": lambda y: torch.div(y, 1, rounding_mode="floor"),
}


@pytest.mark.parametrize("data", ["without_data", "with_data"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_integer_is_refused_in_every_form(case, data):
    model = _model(current(REFUSED[case]))
    with pytest.raises(UsageError, match="'fc0'"):
        model.quantize(example_input=spikes(4, 3, 6) if data == "with_data" else None)


def test_normalization_is_fused_behind_every_name():
    torch.manual_seed(32)
    model = Net(
        lambda s, x: s.norm(s.fc(x)[0].ravel().view(-1, 4).float()),
        fc=QLinear(6, 4), norm=nn.BatchNorm1d(4),
    ).eval()  # fmt: skip
    model.norm.running_var.fill_(4.0)
    fuse_conv_bn(model)
    assert isinstance(model.norm, nn.Identity)
