"""Quantized forward against plain numpy over the integers that the layers hold."""

import numpy as np
import pytest
import torch
from q_networks import (
    GENERIC_ONLY,
    NEURONS,
    RECURRENT,
    Layer,
    Net,
    analog,
    collect,
    entered,
    reference_current,
    reference_neuron,
    spikes,
)

from snnquant.nn import QIF, QLI, QLIF, QConv1d, QConv2d, QLinear

#: A target whose states saturate at once: 8 bits, a leak of k/16 truncated, shifts in the neuron.
TINY = """
description = "8-bit states"
weight_bits = 8
weight_bits_allowed = [4, 8]
weight_grid = "best"
weight_gains = false
per_channel = true
input_bits = 8
input_observer = "minmax"
state_bits = 8
fraction_bits = 0
leak_shift = 4
leak_rounding = "toward_zero"
leak_form = "multiplier"
threshold = "exact"
resets = ["hard", "soft", "soft_constant", "none"]
reset_after_leak = true
max_spikes = 255
max_refractory_steps = 15
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("target") / "tiny.toml"
    path.write_text(TINY)
    return str(path)


SYNAPSES = {
    "linear": (lambda: QLinear(7, 4), (7,)),
    "linear_no_bias": (lambda: QLinear(7, 4, bias=False), (7,)),
    "linear_axes": (lambda: QLinear(7, 4), (3, 7)),
    "conv1d": (lambda: QConv1d(2, 4, 3), (2, 8)),
    "conv1d_all": (
        lambda: QConv1d(4, 4, 3, stride=2, padding=2, dilation=2, groups=2, bias=False),
        (4, 9),
    ),
    "conv2d": (lambda: QConv2d(2, 4, 3), (2, 6, 5)),
    "conv2d_all": (
        lambda: QConv2d(4, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=4),
        (4, 6, 7),
    ),
    "conv2d_groups": (lambda: QConv2d(4, 4, 2, stride=3, groups=2, bias=False), (4, 5, 7)),
}


def check(model, x, v=None):
    """Hold one multi-step call to the reference; returns its output and states."""
    current, q_param = model.synapse(x)
    assert current.dtype == torch.int64
    wanted = reference_current(model.synapse, x)
    assert np.array_equal(current.numpy(), wanted)
    output, states = model.neuron(current, q_param, v)
    assert output.dtype == torch.float32
    named = states if isinstance(states, dict) else {"v": states}
    given = None
    if v is not None:
        start = v if isinstance(v, dict) else {"v": v}
        absent = np.zeros(wanted.shape[1:], np.int64)
        names = [*(s.name for s in model.neuron.model.states), "s"]
        given = {n: start[n].numpy() if n in start else absent for n in names}
    out, after, _ = reference_neuron(model.neuron, wanted, given)
    if model.neuron.model.spiking:
        assert np.array_equal(output.numpy(), out)
    else:
        (settings,) = model.neuron.settings.values()
        scale = settings.membrane_scale.astype(np.float32)
        assert np.array_equal(output.numpy(), out.astype(np.float32) * scale)
    for name, state in named.items():
        assert state.dtype == torch.int64
        assert np.array_equal(state.numpy(), after[name]), name
    return output, states


@pytest.mark.parametrize("per_channel", [True, False], ids=["per_channel", "per_tensor"])
@pytest.mark.parametrize("kind", ["spikes", "analog"])
@pytest.mark.parametrize("synapse", SYNAPSES)
def test_currents_of_every_synapse(synapse, kind, per_channel):
    make, shape = SYNAPSES[synapse]
    torch.manual_seed(8)
    model = Layer(make(), QLIF(v_th_0=0.4, v_leaky_alpha=0.7, multi_step=True))
    x = spikes(3, 2, *shape) if kind == "spikes" else 2 * analog(3, 2, *shape)
    collect(model, x * 0.7 if kind == "analog" else x, per_channel=per_channel)
    assert model.synapse.settings.encoder is (kind == "analog")
    scales = 4 if per_channel else 1
    assert model.synapse.settings.scale.size == scales
    output, _ = check(model, x)
    assert 0 < output.mean() < 1
    if kind == "analog":
        limits = entered(model.synapse, x)
        assert limits.max() == 127


def _neuron_cases():
    for target in ("generic", "tianjic", "tiny"):
        for name in NEURONS:
            if target != "tianjic" or name not in GENERIC_ONLY:
                yield target, name


CASES = list(_neuron_cases())


@pytest.mark.parametrize(("target", "neuron"), CASES, ids=["-".join(case) for case in CASES])
@pytest.mark.parametrize("layout", ["flat", "maps"])
def test_every_neuron_in_one_call_and_step_by_step(target, neuron, layout, tiny):
    torch.manual_seed(9)
    synapse, shape = (QLinear(6, 4), (6,)) if layout == "flat" else (QConv2d(2, 4, 2), (2, 3, 4))
    x = spikes(6, 3, *shape, rate=0.6)
    model = Layer(synapse, NEURONS[neuron](multi_step=True))
    with torch.no_grad():
        model.synapse.weight.mul_(2)
        model.synapse.bias.add_(0.15)
    model.quantize(tiny if target == "tiny" else target, example_input=x)
    output, states = check(model, x)
    assert output.abs().sum() > 0
    v, single = None, []
    for step in x:
        out, v = check(model, step.unsqueeze(0), v)
        single.append(out)
    assert torch.equal(torch.cat(single), output)
    assert str(v) == str(states)
    model.neuron.multi_step = False
    v, single = None, []
    for step in x:
        out, v = model(step, v)
        assert out.shape == output.shape[1:]
        single.append(out)
    assert torch.equal(torch.stack(single), output)
    assert str(v) == str(states)


@pytest.mark.parametrize(
    ("target", "neuron"),
    [*[(t, n) for t in ("generic", "tiny") for n in RECURRENT], ("tianjic", "lif_recurrent")],
)
def test_recurrent_neurons(target, neuron, tiny):
    torch.manual_seed(10)
    model = Layer(QLinear(6, 4), RECURRENT[neuron](multi_step=True))
    with torch.no_grad():
        model.neuron.recurrent_weight.mul_(2)
    model.quantize(tiny if target == "tiny" else target)
    x = spikes(8, 3, 6, rate=0.6)
    output, states = check(model, x)
    assert output.sum() > 0
    assert model.neuron.held("synapse")["recurrent_weight"].abs().max() > 0
    first, v = check(model, x[:3])
    second, v = check(model, x[3:], v)
    assert torch.equal(torch.cat([first, second]), output)
    assert str(v) == str(states)


def test_parameters_per_neuron():
    torch.manual_seed(11)
    thresholds = torch.rand(4, 2, 3) + 0.2
    neuron = QLIF(v_th_0=thresholds, v_leaky_alpha=thresholds / 2, multi_step=True)
    model = Layer(QConv2d(2, 4, 2), neuron)
    with torch.no_grad():
        model.synapse.bias.add_(0.4)
    x = spikes(6, 3, 2, 3, 4, rate=0.7)
    model.quantize(example_input=x)
    assert model.neuron.held("synapse")["v_threshold"].shape == (4, 2, 3)
    output, _ = check(model, x)
    assert 0 < output.mean() < 1


@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_states_saturate_at_their_width(tiny, alpha):
    model = Layer(QLinear(20, 3, bias=False), QLI(alpha=alpha, multi_step=True))
    with torch.no_grad():
        model.synapse.weight.copy_(torch.tensor([[1.0], [-1.0], [0.01]]).expand(3, 20))
    model.quantize(tiny, per_channel=False)
    model.neuron.multi_step = True
    ones = torch.ones(3, 2, 20)
    current, _ = model.synapse(ones)
    assert current[0, 0, :2].tolist() == [2540, -2540]
    _, v = check(model, ones)
    # 127 * 10 / 16 = 79.4 and -128 * 10 / 16 = -80, truncated.
    assert v[0, :2].tolist() == ([127, -128] if alpha == 1 else [79, -80])


@pytest.mark.parametrize("target", ["generic", "tianjic"])
def test_states_saturate_at_the_width_of_the_target(target):
    torch.manual_seed(12)
    model = Layer(QLinear(6, 4), QIF(v_th_0=1e30, multi_step=True))
    model.quantize(target)
    limits = model.options.target.state_range
    assert (limits.low, limits.high) in ((-(2**31), 2**31 - 1), (-(2**27), 2**27 - 1))
    x = spikes(2, 3, 6, rate=0.7)
    for start in (limits.high - 3, limits.low + 3):
        output, v = check(model, x, torch.full((3, 4), start))
        assert {limits.high, limits.low} & set(v.flatten().tolist())
        assert output.sum() == 0


def test_two_synapses_add_up_to_one_current():
    def run(self, x):
        a, q_param = self.a(x)
        b, _ = self.b(x)
        return self.neuron(a - b, q_param)

    torch.manual_seed(13)
    neuron = QLIF(v_th_0=0.5, v_leaky_alpha=0.7, multi_step=True)
    model = Net(run, a=QLinear(6, 4), b=QLinear(6, 4), neuron=neuron)
    with torch.no_grad():
        model.b.weight.mul_(7)
    model.quantize()
    x = spikes(5, 3, 6)
    current = reference_current(model.a, x) - reference_current(model.b, x)
    wanted, states, _ = reference_neuron(model.neuron, current)
    output, v = model(x)
    assert np.array_equal(output.numpy(), wanted)
    assert np.array_equal(v.numpy(), states["v"])
    assert 0 < wanted.mean() < 1
