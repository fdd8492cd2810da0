"""What can and what cannot stand between a synapse and its neuron."""

import pytest
import torch
from q_networks import Net, spikes
from torch import nn
from torch.nn import functional

from snnquant.errors import UsageError
from snnquant.nn import QLIF, QLinear
from snnquant.nn.quantized.mode import Mode


def _between(operation, **layers):
    torch.manual_seed(24)
    return Net(
        lambda s, x: s.neuron(operation(s, *s.a(x), *s.b(x)), s.a(x)[1])[0],
        a=QLinear(6, 4), b=QLinear(6, 4), neuron=QLIF(v_th_0=0.2), **layers,
    )  # fmt: skip


BETWEEN = {
    "relu": lambda s, a, qa, b, qb: torch.relu(a),
    "relu_in_place": lambda s, a, qa, b, qb: functional.relu_(a),
    "sigmoid": lambda s, a, qa, b, qb: a.sigmoid(),
    "scaled": lambda s, a, qa, b, qb: a * 2,
    "scaled_in_place": lambda s, a, qa, b, qb: a.mul_(2),
    "number": lambda s, a, qa, b, qb: a + 1,
    "real_zero": lambda s, a, qa, b, qb: a + 0.0,
    "tensor": lambda s, a, qa, b, qb: a + torch.ones(4),
    "weighted_sum": lambda s, a, qa, b, qb: torch.add(a, b, alpha=2),
    "spikes": lambda s, a, qa, b, qb: a + s.neuron(b, qb)[0],
    "spikes_in_place": lambda s, a, qa, b, qb: a.add_(s.neuron(b, qb)[0]),
    "copied": lambda s, a, qa, b, qb: a.copy_(torch.sigmoid(b)),
    "put_inside": lambda s, a, qa, b, qb: _put(a, b),
    "maximum": lambda s, a, qa, b, qb: torch.maximum(a, b),
    "half": lambda s, a, qa, b, qb: functional.layer_norm(a, (4,)),
    "batch_norm": lambda s, a, qa, b, qb: s.norm(a),
}


def _put(a, b):
    a[:2] = b[:2]
    return a


@pytest.mark.parametrize("data", ["without_data", "with_data"])
@pytest.mark.parametrize("case", BETWEEN)
def test_what_cannot_stand_between_synapse_and_neuron(case, data):
    model = _between(BETWEEN[case], norm=nn.BatchNorm1d(4)).eval()
    example = spikes(3, 6) if data == "with_data" else None
    with pytest.raises(UsageError, match=r"'neuron'|'a'|'b'"):
        model.quantize(example_input=example)
    assert model.mode is Mode.FLOAT
    assert {m.mode for m in (model.a, model.b, model.neuron)} == {Mode.FLOAT}


ALLOWED = {
    "sum": lambda s, a, qa, b, qb: a + b,
    "python_sum": lambda s, a, qa, b, qb: sum([a, b]),
    "in_place": lambda s, a, qa, b, qb: a.add_(b),
    "augmented": lambda s, a, qa, b, qb: _augmented(a, b),
    "dropout": lambda s, a, qa, b, qb: s.drop(a + b),
    "moved": lambda s, a, qa, b, qb: (a + b).view(-1, 4).contiguous(),
}


def _augmented(a, b):
    a += b
    return a


@pytest.mark.parametrize("data", ["without_data", "with_data"])
@pytest.mark.parametrize("case", ALLOWED)
def test_currents_can_be_added_and_moved(case, data):
    example = spikes(3, 6) if data == "with_data" else None
    found = []
    for operation in (ALLOWED["sum"], ALLOWED[case]):
        model = _between(operation, drop=nn.Dropout(0.5)).eval()
        with torch.no_grad():
            model.b.weight.mul_(5)
        model.quantize(example_input=example)
        assert model.a.settings.group == model.b.settings.group == "a"
        found.append(model(spikes(5, 6)))
    assert torch.equal(*found)
    assert 0 < found[0].mean() < 1
