"""The seed's model as it is printed there, and what no forward may change."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from q_networks import NEURONS, SEED_MODEL, Layer, analog, assert_untouched, spikes, tensors_of

import snnquant.nn as snn
from snnquant.errors import UsageError
from snnquant.nn import QConv2d, QLinear
from snnquant.nn.quantized.mode import Mode


@pytest.fixture
def snn_model():
    names = {"QModel": snn.QModel, "QLinear": snn.QLinear, "QLIF": snn.QLIF, "torch": torch}
    exec(SEED_MODEL, names)
    torch.manual_seed(0)
    return names["SNN"]()


def test_the_seed_model_is_an_ordinary_module_in_float(snn_model):
    x = spikes(4, 1, 28, 28)
    out, v = snn_model(x)
    current = x.view(4, -1) @ snn_model.linear.weight.T
    wanted = (current > 1).float()
    assert torch.equal(out, wanted)
    torch.testing.assert_close(v, 0.5 * torch.where(current > 1, 0.0, current))
    out.sum().backward()
    assert snn_model.linear.weight.grad.abs().sum() > 0


def test_the_seed_model_quantizes_directly_and_runs_step_by_step(snn_model):
    with torch.no_grad():
        snn_model.linear.weight.mul_(6)
    snn_model.quantize()
    x = spikes(5, 4, 1, 28, 28)
    v, total = None, torch.zeros(4, 10)
    for step in x:
        out, v = snn_model(step, v)
        assert out.dtype == torch.float32
        assert v.dtype == torch.int64
        total += out
    assert 0 < total.sum() < total.numel() * 5
    again = [snn_model(x[0]), snn_model(x[0])]
    assert torch.equal(again[0][0], again[1][0])
    assert torch.equal(again[0][1], again[1][1])
    for batch in (1, 7):
        out, v = snn_model(spikes(batch, 1, 28, 28))
        assert out.shape == v.shape == (batch, 10)


def test_a_row_of_a_batch_does_not_depend_on_the_others(snn_model):
    snn_model.quantize()
    x = spikes(6, 1, 28, 28)
    out, v = snn_model(x)
    for row in range(6):
        alone = snn_model(x[row : row + 1])
        assert torch.equal(alone[0][0], out[row])
        assert torch.equal(alone[1][0], v[row])


def test_the_seed_model_collects_saves_and_loads(snn_model, tmp_path):
    x = analog(16, 1, 28, 28)
    snn_model.collect_q_params()
    float_out, _ = snn_model(x)
    snn_model.calculate_q_params()
    snn_model.quantize("tianjic")
    out, v = snn_model(x)
    assert (out != float_out).float().mean() < 0.05
    snn_model.save_quantized_model(tmp_path / "snn.pt")
    other = copy.deepcopy(snn_model)
    other.dequantize()
    with torch.no_grad():
        other.linear.weight.zero_()
    other.load_quantized_model(tmp_path / "snn.pt")
    assert torch.equal(other(x)[0], out)
    assert torch.equal(other(x)[1], v)
    assert other.options.target.name == "tianjic"
    other.dequantize()
    assert torch.equal(other(x)[0], float_out)


def _steps(model, mode):
    if mode is Mode.COLLECT:
        model.collect_q_params()
    elif mode is Mode.AWARE:
        model.aware()
    elif mode is Mode.QUANTIZED:
        model.quantize()


MODES = [Mode.FLOAT, Mode.COLLECT, Mode.AWARE, Mode.QUANTIZED]


@pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])
@pytest.mark.parametrize("neuron", NEURONS)
def test_forward_rewrites_nothing_and_gives_the_same_twice(neuron, mode):
    torch.manual_seed(1)
    model = Layer(QLinear(6, 4), NEURONS[neuron](multi_step=True))
    keys = list(model.state_dict())
    _steps(model, mode)
    before = tensors_of(model)
    x = spikes(4, 3, 6)
    first, second = model(x), model(x)
    assert torch.equal(first[0], second[0])
    assert_untouched(model, before, mode)
    assert list(model.state_dict()) == keys


def test_state_dict_is_the_same_before_and_after_quantization(snn_model):
    before = {name: tensor.clone() for name, tensor in snn_model.state_dict().items()}

    def unchanged():
        after = snn_model.state_dict()
        return list(after) == list(before) and all(torch.equal(after[n], before[n]) for n in before)

    snn_model.quantize()
    assert unchanged()
    snn_model(spikes(2, 1, 28, 28))
    assert unchanged()
    snn_model.dequantize()
    assert unchanged()
    snn_model.aware()
    snn_model.quantize()
    assert unchanged()
    assert [n for n, _ in snn_model.named_buffers() if n not in before]
    snn_model.dequantize()
    assert {n for n, _ in snn_model.named_buffers()} <= set(before)


@pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])
def test_a_copy_computes_the_same_and_shares_nothing(snn_model, mode):
    _steps(snn_model, mode)
    x = spikes(3, 1, 28, 28)
    other = copy.deepcopy(snn_model)
    assert other.mode is mode
    assert torch.equal(other(x)[0], snn_model(x)[0])
    before = tensors_of(snn_model)
    with torch.no_grad():
        for tensor in [*other.parameters(), *other.buffers()]:
            tensor.zero_()
    assert_untouched(snn_model, before, mode)


def test_a_copy_taken_while_collecting_collects_for_itself(snn_model):
    snn_model.collect_q_params()
    other = copy.deepcopy(snn_model)
    other(analog(8, 1, 28, 28))
    other.calculate_q_params()
    other.quantize()
    assert other.linear.settings.encoder
    with pytest.raises(UsageError, match="before any inference"):
        snn_model.calculate_q_params()


def _replica(module):
    """Return what torch.nn.parallel.replicate makes of a module on each device."""
    made = module._replicate_for_data_parallel()
    made._former_parameters = {}
    for name, parameter in module._parameters.items():
        if parameter is None:
            made._parameters[name] = None
        else:
            # Non-leaf tensors, set as plain attributes: replicas have no parameters.
            setattr(made, name, parameter * 1)
    for name, child in module._modules.items():
        made._modules[name] = _replica(child)
    return made


@pytest.mark.parametrize("mode", [Mode.FLOAT, Mode.QUANTIZED], ids=["FLOAT", "QUANTIZED"])
@pytest.mark.parametrize("learn", [(), ("alpha",)], ids=["fixed", "learned"])
def test_replicas_of_data_parallel_compute_the_same_at_once(mode, learn):
    torch.manual_seed(2)
    neuron = snn.QLIF(v_th_0=0.3, v_leaky_alpha=0.6, learn=learn, multi_step=True)
    model = Layer(QConv2d(2, 4, 3), neuron)
    _steps(model, mode)
    x = spikes(3, 8, 2, 5, 5)
    parts = x.chunk(2, 1)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda part: _replica(model)(part), parts))
    out, v = model(x)
    assert torch.equal(torch.cat([o for o, _ in found], 1), out)
    assert torch.equal(torch.cat([s for _, s in found], 0), v)
