"""Types, autocast and gradient modes: none of them changes an integer."""

import copy

import numpy as np
import pytest
import torch
from q_networks import (
    NEURONS,
    RECURRENT,
    Layer,
    Net,
    analog,
    collect,
    reference_current,
    reference_neuron,
    spikes,
)

from snnquant.nn import QLI, QLIF, QAvgPool2d, QConv2d, QExtendedLIF, QLinear, QMaxPool2d

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NAMES = [str(kind).removeprefix("torch.") for kind in TYPES]


def network():
    """An encoder, poolings, a recurrent neuron and a read-out, all of them multi-step."""

    def run(self, x):
        s, _ = self.first(*self.conv(x))
        s = self.mean(self.largest(s)).flatten(2)
        s, _ = self.second(*self.fc(s))
        return s, self.third(*self.out(s))[0]

    torch.manual_seed(26)
    model = Net(
        run,
        conv=QConv2d(2, 4, 3, padding=1),
        first=QExtendedLIF(v_th_0=0.3, v_leaky_alpha=0.8, v_th_incre=0.1, multi_step=True),
        largest=QMaxPool2d(2),
        mean=QAvgPool2d(2),
        fc=QLinear(4 * 2 * 2, 4),
        second=RECURRENT["cuba_recurrent"](multi_step=True),
        out=QLinear(4, 3),
        third=QLI(alpha=0.9, multi_step=True),
    )
    with torch.no_grad():
        model.fc.weight.mul_(6)
    return model


def batch(seed=0):
    return analog(5, 3, 2, 8, 8, seed=seed)


@pytest.fixture(scope="module")
def quantized():
    return collect(network(), batch())


def same(found, wanted):
    return all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def _context(name):
    if name.startswith("autocast"):
        return torch.autocast("cpu", dtype=getattr(torch, name.removeprefix("autocast_")))
    return {"inference": torch.inference_mode, "no_grad": torch.no_grad}[name]()


CONTEXTS = ["autocast_bfloat16", "autocast_float16", "inference", "no_grad"]


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_changes_no_integer(name, quantized):
    x = batch(1)
    wanted = quantized(x)
    assert 0 < wanted[0].mean() < 1
    with _context(name):
        found = quantized(x)
    assert same(found, wanted)
    assert same(quantized(x), wanted)


@pytest.mark.parametrize("name", ["autocast_bfloat16", "autocast_float16"])
def test_autocast_changes_no_integer_in_aware_mode(name, quantized):
    model = copy.deepcopy(quantized)
    model.aware()
    x = batch(1)
    with _context(name):
        found = model(x)
        sum(y.sum() for y in found).backward()
    assert same([y.detach() for y in found], quantized(x))
    assert model.conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("step", ["quantize", "aware", "collect"])
@pytest.mark.parametrize("name", CONTEXTS)
def test_steps_can_be_taken_inside_a_context(name, step, quantized):
    model, x = network(), batch()
    with _context(name):
        if step == "collect" and not name.startswith("autocast"):
            model.collect_q_params()
            model(x)
            model.calculate_q_params()
        else:
            collect(model, x)
            model.dequantize()
        if step == "aware":
            model.aware()
        model.quantize()
        found = model(batch(1))
    if name.startswith("autocast"):
        # The float pass saw other rates, and so may have chosen other scales.
        assert same(found, model(batch(1)))
    else:
        assert same(found, quantized(batch(1)))


def test_float32_matmul_precision_changes_no_integer(quantized):
    x = batch(1)
    wanted = quantized(x)
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("medium", "high"):
            torch.set_float32_matmul_precision(precision)
            assert same(quantized(x), wanted)
    finally:
        torch.set_float32_matmul_precision(before)


def test_threads_and_layout_change_no_integer(quantized):
    x = batch(1)
    wanted = quantized(x)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert same(quantized(x), wanted)
    finally:
        torch.set_num_threads(before)
    strided = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not strided.is_contiguous()
    assert same(quantized(strided), wanted)


def test_inputs_with_gradients_get_none_in_quantized_mode(quantized):
    x = batch(1).requires_grad_()
    found = quantized(x)
    assert not any(y.requires_grad for y in found)
    assert same(found, quantized(x.detach()))
    model = copy.deepcopy(quantized)
    model.aware()
    model(x)[0].sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", TYPES, ids=NAMES)
@pytest.mark.parametrize("neuron", [*NEURONS, *RECURRENT])
def test_parameters_of_every_type(neuron, kind):
    torch.manual_seed(27)
    model = Layer(QLinear(6, 4), {**NEURONS, **RECURRENT}[neuron](multi_step=True)).to(kind)
    x = spikes(4, 3, 6).to(kind)
    float_output = model(x)[0]
    assert float_output.dtype is kind
    model.collect_q_params()
    assert torch.equal(model(x)[0], float_output)
    model.calculate_q_params()
    model.quantize()
    output, states = model(x)
    wanted, after, _ = reference_neuron(model.neuron, reference_current(model.synapse, x.float()))
    if model.neuron.model.spiking:
        assert np.array_equal(output.numpy(), wanted)
    named = states if isinstance(states, dict) else {"v": states}
    for name, state in named.items():
        assert np.array_equal(state.numpy(), after[name]), name
    again, _ = model(x, {n: s for n, s in named.items() if n in ("v", "r")})
    assert again.dtype is torch.float32
    model.aware()
    trained, _ = model(x)
    assert torch.equal(trained.detach(), output)
    trained.sum().backward()
    assert model.synapse.weight.grad.dtype is kind


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16], ids=["float64", "bfloat16"])
def test_converting_a_quantized_model_keeps_its_integers(kind, quantized):
    wanted = quantized(batch(1))
    model = copy.deepcopy(quantized).to(kind)
    assert model.conv.weight.dtype is kind
    assert model.conv.weight_integers.dtype is torch.int8
    assert model.conv.bias_integers.dtype is torch.int64
    assert same(model(batch(1)), wanted)


@pytest.mark.parametrize(
    "kind", [torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64, torch.float16], ids=str
)
def test_spikes_of_every_type(kind):
    torch.manual_seed(28)
    model = Layer(QLinear(6, 4), QLIF(v_th_0=0.2))
    model.quantize()
    x = spikes(3, 6)
    assert same(model(x.to(kind)), model(x))


def test_large_weights_are_summed_in_a_wider_type():
    model = Layer(QLinear(2000, 2, bias=False), QLI(alpha=1.0))
    with torch.no_grad():
        model.synapse.weight.fill_(1.0)
        model.synapse.weight[:, 0] = 0.985
    x = torch.full((2, 2000), 0.9)
    collect(model, x, target="tianjic")
    # 127 * (1999 * 127 + 126) is odd and beyond 2**24.
    assert model(x)[1].tolist() == [[32257873, 32257873]] * 2


def test_a_fresh_default_type_changes_nothing():
    found, x = [], spikes(3, 6)
    for kind in (torch.float32, torch.float64):
        torch.set_default_dtype(kind)
        try:
            torch.manual_seed(29)
            model = Layer(QLinear(6, 4), QLIF(v_th_0=0.25, v_leaky_alpha=0.5))
            with torch.no_grad():
                weights = torch.linspace(-1, 1, 24, dtype=torch.float32).view(4, 6)
                model.synapse.weight.copy_(weights)
                model.synapse.bias.fill_(0.125)
            model.quantize()
            found.append(model(x))
        finally:
            torch.set_default_dtype(torch.float32)
    assert found[0][0].dtype is found[1][0].dtype is torch.float32
    assert same(*found)
