"""Folding batch normalization into the synapse in front of it."""

import copy

import pytest
import torch
from q_networks import Net, analog, spikes
from torch import nn

import snnquant.nn as snn
from snnquant.errors import UsageError
from snnquant.nn import QLIF, Folded, QConv1d, QConv2d, QLinear, fuse_conv_bn

#: Synapse, its normalization, and an input without time.
PAIRS = {
    "linear": (lambda b: QLinear(6, 4, bias=b), nn.BatchNorm1d, (5, 6)),
    "conv1d": (lambda b: QConv1d(4, 4, 3, padding=1, groups=2, bias=b), nn.BatchNorm1d, (5, 4, 7)),
    "conv2d": (lambda b: QConv2d(3, 4, 3, stride=2, bias=b), nn.BatchNorm2d, (5, 3, 7, 6)),
    "plain_linear": (lambda b: nn.Linear(6, 4, bias=b), nn.BatchNorm1d, (5, 6)),
    "plain_conv1d": (lambda b: nn.Conv1d(4, 4, 3, bias=b), nn.BatchNorm1d, (5, 4, 7)),
    "plain_conv2d": (
        lambda b: nn.Conv2d(3, 4, (3, 1), dilation=2, bias=b),
        nn.BatchNorm2d,
        (5, 3, 7, 6),
    ),
}


class First(nn.Module):
    """The current of a quantizable synapse alone."""

    def __init__(self, synapse):
        super().__init__()
        self.synapse = synapse

    def forward(self, x):
        return self.synapse(x)[0]


def trained(model, *batches):
    """Give all normalizations statistics and parameters of their own; eval mode."""
    torch.manual_seed(3)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.2, 3)
                if module.affine:
                    module.weight.normal_()
                    module.bias.normal_()
    return model.eval()


def compare(model, x, example=None):
    """Fuse a copy in both types and hold it to the original; returns the fused copy."""
    for kind, error in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        before = copy.deepcopy(model).to(kind)
        after = fuse_conv_bn(
            copy.deepcopy(before), example if example is None else example.to(kind)
        )
        with torch.no_grad():
            wanted, found = before(x.to(kind)), after(x.to(kind))
        assert wanted.abs().max() > 0.1
        torch.testing.assert_close(found, wanted, rtol=error, atol=error)
    return after


def norms_of(model):
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("followed", ["without_data", "with_data"])
def test_a_fused_pair_computes_the_same(pair, affine, bias, followed):
    make, norm, shape = PAIRS[pair]
    torch.manual_seed(1)
    synapse = make(bias)
    wrapped = First(synapse) if isinstance(synapse, snn.QModule) else synapse
    model = trained(nn.Sequential(wrapped, norm(4, affine=affine)))
    x = analog(*shape)
    after = compare(model, x, x if followed == "with_data" else None)
    assert not norms_of(after)
    assert isinstance(after[1], nn.Identity)
    assert len(list(after.parameters())) == 2


@pytest.mark.parametrize("followed", ["without_data", "with_data"])
def test_time_is_folded_in_front_of_the_normalization(followed):
    torch.manual_seed(1)
    model = nn.Sequential(Folded(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), snn.LIF(alpha=0.5))
    trained(model)
    x = analog(6, 2, 3, 5, 5)
    fused = fuse_conv_bn(copy.deepcopy(model), x if followed == "with_data" else None)
    assert not norms_of(fused)
    torch.testing.assert_close(fused[0](x), model[0](x), rtol=1e-5, atol=1e-5)
    assert torch.equal(fused(x), model(x))


def test_a_fused_model_goes_on_to_integers():
    def run(self, x):
        current, q_param = self.conv(x)
        current = self.norm(current.flatten(0, 1)).unflatten(0, current.shape[:2])
        return self.neuron(current, q_param)[0]

    torch.manual_seed(1)
    model = Net(run, conv=QConv2d(3, 4, 3), norm=nn.BatchNorm2d(4), neuron=QLIF(multi_step=True))
    trained(model)
    x = spikes(6, 2, 3, 5, 5)
    with torch.no_grad():
        wanted = model(x)
    with pytest.raises(UsageError, match="'conv' is not fused; call fuse_conv_bn"):
        model.quantize(example_input=x)
    fuse_conv_bn(model, x).quantize(example_input=x)
    assert 0 < wanted.mean() < 1
    assert (model(x) != wanted).float().mean() < 0.02


def test_what_counts_is_the_order_of_calls():
    def run(self, x):
        y = self.norm_a(self.second(x))
        return self.norm_b(self.first(torch.relu(y)))

    torch.manual_seed(1)
    model = Net(
        run,
        norm_b=nn.BatchNorm1d(4),
        first=nn.Linear(4, 4),
        norm_a=nn.BatchNorm1d(4),
        second=nn.Linear(4, 4),
    )
    trained(model)
    assert not norms_of(compare(model, analog(5, 4)))


def test_a_layer_used_at_every_step_with_its_normalization_is_fused():
    def run(self, x):
        return torch.stack([self.norm(self.synapse(step)) for step in x])

    torch.manual_seed(1)
    model = trained(Net(run, synapse=nn.Linear(6, 4), norm=nn.BatchNorm1d(4)))
    assert not norms_of(compare(model, analog(3, 5, 6)))


def test_other_normalizations_stay():
    model = trained(nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4)))
    assert len(norms_of(compare(model, analog(5, 6)))) == 2


def test_a_model_without_normalization_stays_as_it_is():
    model = nn.Linear(3, 2)
    before = copy.deepcopy(model.state_dict())
    assert fuse_conv_bn(model) is model
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_frozen_weights_stay_frozen():
    model = trained(nn.Sequential(nn.Linear(6, 4, bias=False), nn.BatchNorm1d(4)))
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in fuse_conv_bn(model).parameters())


def tied(self, x):
    return self.norm(self.a(x)) + self.b(x)


def _tied():
    model = Net(tied, a=First(QLinear(4, 4)), b=First(QLinear(4, 4)), norm=nn.BatchNorm1d(4))
    model.b.synapse.weight = model.a.synapse.weight
    return model


def _net(run, **layers):
    standard = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "norm": nn.BatchNorm1d(4)}
    return lambda: Net(run, **{**standard, **layers})


def _weight_normed():
    return nn.Sequential(
        First(nn.utils.parametrizations.weight_norm(QLinear(4, 4))), nn.BatchNorm1d(4)
    )


REFUSED = {
    "training": (lambda: _net(tied)().train(), "normalization 'norm' is in training mode"),
    "one_in_training": (
        lambda: _one_training(_net(tied)().eval()),
        "normalization 'norm' is in training mode",
    ),
    "no_statistics": (
        _net(tied, norm=nn.BatchNorm1d(4, track_running_stats=False)),
        "'norm' keeps no running statistics",
    ),
    "current_used_besides": (
        _net(lambda s, x: (lambda y: s.norm(y) + y)(s.a(x))),
        "current of 'a' is used besides its batch normalization 'norm'",
    ),
    "current_returned_besides": (
        _net(lambda s, x: (s.norm(s.a(x)), s.a(x))),
        "current of 'a' is used besides its batch normalization 'norm'",
    ),
    "norm_behind_two": (
        _net(lambda s, x: s.norm(s.a(x)) + s.norm(s.b(x))),
        "used behind several layers",
    ),
    "norm_elsewhere": (
        _net(lambda s, x: s.norm(s.a(s.norm(x)))),
        "'norm' is used elsewhere besides behind 'a'",
    ),
    "two_norms": (
        _net(lambda s, x: s.norm(s.a(x)) + s.other(s.a(x)), other=nn.BatchNorm1d(4)),
        "'a' is used in front of several",
    ),
    "tied_weights": (_tied, "weights of 'a.synapse' are shared"),
    "weight_norm": (_weight_normed, "'0.synapse' are shared with another layer or computed"),
    "other_axes": (
        _net(lambda s, x: s.norm(s.conv(x).flatten(1)), conv=nn.Conv1d(1, 2, 3)),
        "'norm' normalizes other axes than the 2 channels of 'conv'",
    ),
    "middle_axis": (
        _net(lambda s, x: s.norm(s.a(x.unsqueeze(1).expand(-1, 4, -1)))),
        "'norm' normalizes other axes than the 4 channels of 'a'",
    ),
    "data_decides": (
        _net(lambda s, x: s.norm(s.a(x)) if x.sum() > 0 else s.a(x)),
        "cannot be followed without data",
    ),
}


def _one_training(model):
    model.norm.train()
    return model


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_one_is_refused_and_left_alone(case):
    make, message = REFUSED[case]
    model = make()
    if "training" not in case:
        model.eval()
    before = copy.deepcopy(model.state_dict())
    modules = [type(m) for m in model.modules()]
    example = None if case == "data_decides" else analog(5, 4)
    if case == "other_axes":
        example = analog(5, 1, 4)
    with pytest.raises(UsageError, match=f"fuse_conv_bn: .*{message}"):
        fuse_conv_bn(model, example)
    assert [type(m) for m in model.modules()] == modules
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
