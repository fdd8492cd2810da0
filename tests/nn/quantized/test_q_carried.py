"""States, currents and q_params that forward sends somewhere else than to their own neuron."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from snnquant import nn as snn
from snnquant.errors import UsageError


class Net(snn.QModel):
    def __init__(self, way, **layers):
        super().__init__()
        self.way = way
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.way(self, x)


def _layers(**more):
    torch.manual_seed(0)
    layers = {
        "fa": snn.QLinear(6, 5),
        "fb": snn.QLinear(6, 5),
        "la": snn.QLIF(v_threshold=0.3, alpha=0.9),
        "lb": snn.QLIF(v_threshold=0.4, alpha=0.8),
    }
    with torch.no_grad():
        layers["fb"].weight.mul_(10)
    return layers | more


def _x():
    return (torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(2)) < 0.5).float()


def _over_steps(change):
    def way(net, x):
        v, total = None, 0
        for t in range(3):
            current, q_param = net.fa(x[t])
            out, v = net.la(current, q_param, v)
            v = change(out, v)
            total = total + out
        return total

    return way


def _membrane_to_synapse(net, x):
    _, v = net.la(*net.fa(x[0]))
    return net.lb(*snn.QLinear.forward(net.tail, v))[0]


def _membrane_returned_changed(net, x):
    out, v = net.la(*net.fa(x[0]))
    return out, v.sigmoid()


def _wrong_q_param(net, x):
    first, qa = net.fa(x[0])
    second, _ = net.fb(x[0])
    net.la(first, qa)
    net.la(*net.fb(x[0]))
    return net.la(second, qa)[0]


def _current_returned(net, x):
    current, q_param = net.fa(x[0])
    return net.la(current, q_param)[0], current


def _current_to_synapse(net, x):
    current, q_param = net.fa(x[0])
    out = net.la(current, q_param)[0]
    return out + net.lb(*net.tail(current))[0]


def _membrane_as_current(net, x):
    membrane, _ = net.li(*net.fa(x[0]))
    return net.la(membrane)[0]


REFUSED = {
    "clamped": (_over_steps(lambda out, v: v.clamp(-1, 1)), "goes on from state v .*'clamp'"),
    "scaled": (_over_steps(lambda out, v: v * 0.5), "goes on from state v .*'mul'"),
    "reduced_by_spikes": (
        _over_steps(lambda out, v: v - 0.3 * out),
        "goes on from state v .*'sub'",
    ),
    "set": (_over_steps(lambda out, v: v.masked_fill(out > 0, 0.7)), "'masked_fill'"),
    "to_synapse": (_membrane_to_synapse, "QLinear 'tail': reads state v of QLIF 'la'"),
    "returned": (_membrane_returned_changed, "returns state v of QLIF 'la', changed by 'sigmoid'"),
    "q_param": (_wrong_q_param, "QLIF 'la': its q_param comes from 'fa', its current from 'fb'"),
    "current": (_current_returned, "returns the current of 'fa'.*q_param.dequantize"),
    "read": (_current_to_synapse, "QLinear 'tail': reads the current of 'fa', which also goes to"),
    "membrane": (_membrane_as_current, "QLIF 'la': its current is a membrane"),
}


@pytest.mark.parametrize("with_data", [True, False], ids=["data", "no_data"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_integer_form_is_refused(case, with_data):
    way, reason = REFUSED[case]
    net = Net(way, **_layers(tail=snn.QLinear(5, 5), li=snn.QLI(alpha=0.9)))
    with pytest.raises(UsageError, match=reason):
        net.quantize(example_input=_x() if with_data else None)


def _switched(net, x):
    out, v = net.la(*net.fa(x[0]))
    second, v = net.la(*net.fb(x[1]), v)
    return out + second


def _handed_over(net, x):
    out, v = net.la(*net.fa(x[0]))
    second, _ = net.lb(*net.fa(x[1]), v)
    return out + second


def _dequantized(net, x):
    current, q_param = net.fa(x[0])
    out, _ = net.la(current, q_param)
    return out + 0 * q_param.dequantize(current).sum()


HELD = {
    "reset_by_hand": _over_steps(lambda out, v: torch.where(out > 0, torch.zeros_like(v), v)),
    "masked": _over_steps(lambda out, v: v.masked_fill(out > 0, 0)),
    "detached": _over_steps(lambda out, v: v.detach().clone()),
    "switched": _switched,
    "handed_over": _handed_over,
}


@pytest.mark.parametrize("case", HELD)
def test_what_keeps_the_numbers_stays_exact(case):
    net, x = Net(HELD[case], **_layers()), _x()
    net.quantize(example_input=x)
    want = net(x)
    graph = snn.export_onnx(net, None, x, time_axis=0, fixed_timesteps=True)
    (got,) = ort.InferenceSession(graph.SerializeToString()).run(None, {"input": x.numpy()})
    assert want.any()
    assert np.array_equal(got, want.numpy())
    net.dequantize()
    net.aware(example_input=x)
    assert torch.equal(net(x), want)


def test_a_current_can_be_returned_as_real_values():
    net, x = Net(_dequantized, **_layers()), _x()
    net.quantize(example_input=x)
    assert net(x).any()
