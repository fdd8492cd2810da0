"""Training with the integers: forward is that of quantized mode, gradients are real."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from q_networks import NEURONS, RECURRENT, Layer, Net, analog, collect, spikes

from snnquant.nn import QIF, QLI, QLIF, QConv2d, QExtendedLIF, QLinear, Reset
from snnquant.nn.quantized.mode import Mode

ALL_NEURONS = {**NEURONS, **RECURRENT}
ON_TIANJIC = ("if", "if_soft", "lif", "equal", "constant", "refractory", "extended", "li")


@st.composite
def models(draw):
    """Draw a small network with input and options."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    target = draw(st.sampled_from(["generic", "tianjic"]))
    pool = ON_TIANJIC if target == "tianjic" else tuple(ALL_NEURONS)
    names = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3))
    sizes = [draw(st.integers(1, 7)), *[4] * len(names)]
    layers = {}
    for index, name in enumerate(names):
        layers[f"fc{index}"] = QLinear(sizes[index], 4, bias=draw(st.booleans()))
        layers[f"cell{index}"] = ALL_NEURONS[name](multi_step=True)
    scale = draw(st.sampled_from([0.5, 2.0, 6.0]))
    with torch.no_grad():
        for index in range(len(names)):
            layers[f"fc{index}"].weight.mul_(scale)
    # A read-out's membranes are analog: nothing can follow it in integers.
    last = next((k for k, n in enumerate(names) if n.startswith("li")), len(names) - 1)

    def run(self, x, states=None):
        after = []
        for index in range(last + 1):
            current, q_param = getattr(self, f"fc{index}")(x)
            given = None if states is None else states[index]
            x, v = getattr(self, f"cell{index}")(current, q_param, given)
            after.append(v)
        return x, after

    kept = {n: m for n, m in layers.items() if int(n[-1]) <= last}
    steps, batch = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    shape = (steps, batch, sizes[0])
    x = analog(*shape) if draw(st.booleans()) else spikes(*shape, rate=0.5)
    options = {"target": target}
    if target == "generic":
        options["weight_bits"] = draw(st.integers(2, 8))
        options["per_channel"] = draw(st.booleans())
    return Net(run, **kept), x, options


def flat(states):
    """Return all states of a list of layers."""
    return [
        value
        for entry in states
        for value in (entry.values() if isinstance(entry, dict) else [entry])
    ]


def scales(model):
    """Return the scale of every state of every layer, in the order of ``flat``."""
    found = []
    for module in model.modules():
        for entry in getattr(module, "live_states", ()):
            counts = entry in ("r", "s")
            (use,) = module.settings.values()
            found.append(np.ones(1) if counts else use.membrane_scale)
    return found


@settings(max_examples=60)
@given(drawn=models())
def test_aware_forward_is_quantized_forward_bit_for_bit(drawn):
    model, x, options = drawn
    other = copy.deepcopy(model)
    for one in (model, other):
        one.collect_q_params()
        one(x)
        one.calculate_q_params()
    model.aware(**options)
    other.quantize(**options)
    out, states = model(x)
    wanted, integers = other(x)
    assert out.dtype == wanted.dtype
    assert torch.equal(out.detach(), wanted)
    for real, whole, scale in zip(flat(states), flat(integers), scales(other), strict=True):
        assert torch.equal(real.detach(), whole * torch.from_numpy(scale))
    # On from there, and then with the integers that were trained.
    second = model(x, states)[0].detach()
    assert torch.equal(second, other(x, integers)[0])
    model.quantize()
    assert model.mode is Mode.QUANTIZED
    assert torch.equal(model(x)[0], wanted)


@pytest.mark.parametrize("scale", [1.0, 1e6], ids=["usual", "saturated"])
def test_read_outs_are_equal_where_states_saturate(scale):
    torch.manual_seed(15)
    model = Layer(QLinear(6, 4), QLI(alpha=0.9, multi_step=True))
    x = spikes(4, 3, 6)
    v = scale * analog(3, 4)
    other = copy.deepcopy(model)
    model.aware("tianjic")
    other.quantize("tianjic")
    assert torch.equal(model(x, v)[0].detach(), other(x, v)[0])


def test_several_large_currents_add_up_exactly():
    def run(self, x):
        a, q_param = self.a(x)
        b, _ = self.b(x)
        return self.neuron(a + b, q_param)

    layers = {"a": QLinear(1000, 1, bias=False), "b": QLinear(1000, 1, bias=False)}
    model = Net(run, **layers, neuron=QLI(alpha=1.0))
    with torch.no_grad():
        model.a.weight.fill_(1.0)
        model.b.weight.fill_(1.0)
        model.b.weight[0, 0] = 0.985
    x = torch.full((2, 1000), 0.9)
    collect(model, x, target="tianjic")
    wanted, v = model(x)
    # S_w = 1/128 and S_x = 0.9/128, so 127 * (1000 * 127 + 999 * 127 + 126): odd, beyond 2**24.
    assert v.tolist() == [[32257873], [32257873]]
    model.aware("tianjic")
    out, real = model(x)
    assert torch.equal(out.detach(), wanted)
    step = float(model.neuron.settings["a"].membrane_scale[0])
    assert (real.detach() / step).round().tolist() == v.tolist()


@pytest.mark.parametrize("neuron", ALL_NEURONS)
def test_gradients_reach_every_weight(neuron):
    torch.manual_seed(17)
    model = Layer(QLinear(6, 4), ALL_NEURONS[neuron](multi_step=True))
    with torch.no_grad():
        model.synapse.weight.mul_(2)
        model.synapse.bias.abs_()
    model.aware()
    x = spikes(5, 3, 6).requires_grad_()
    out, _ = model(x)
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert x.grad.abs().sum() > 0


def test_gradients_reach_learned_parameters_through_their_rounding():
    learn = ["alpha", "v_threshold", "leak_bias", "v_init", "threshold_increment", "v_min"]
    neuron = QExtendedLIF(
        alpha=0.7, v_threshold=0.4, leak_bias=0.02, v_init=0.1, threshold_increment=0.1,
        threshold_decay=0.5, v_min=-0.2, reset=Reset.SOFT, learn=learn, multi_step=True,
    )  # fmt: skip
    torch.manual_seed(18)
    model = Layer(QLinear(6, 4), neuron)
    model.aware()
    out, _ = model(spikes(6, 5, 6))
    (out * torch.randn_like(out)).sum().backward()
    for name in learn:
        gradient = neuron.get_parameter(name).grad
        assert gradient.shape == (1,)
        assert gradient.abs() > 0, name


@pytest.mark.parametrize("make", [
    lambda: QLIF(v_th_0=0.4, v_leaky_alpha=0.75, learn=["alpha", "v_threshold"], multi_step=True),
    lambda: QLI(alpha=0.75, learn=["alpha"], multi_step=True),
    lambda: QExtendedLIF(
        v_th_0=0.4, v_leaky_alpha=0.75, learn=["alpha", "v_threshold"], multi_step=True
    ),
], ids=["lif", "li", "extended"])  # fmt: skip
def test_gradients_are_close_to_those_in_float(make):
    torch.manual_seed(19)
    model = Net(lambda s, x: s.cell(*s.fc(x))[0], fc=QLinear(40, 6), cell=make())
    x = spikes(6, 32, 40, rate=0.3)
    direction = analog(6, 32, 6)
    gradients = []
    for step in (lambda: None, model.aware):
        step()
        model.zero_grad()
        (model(x) * direction).sum().backward()
        gradients.append([p.grad.flatten().double() for p in model.parameters()])
    for real, aware in zip(*gradients, strict=True):
        assert real.abs().sum() > 0
        cosine = torch.nn.functional.cosine_similarity(real, aware, dim=0)
        assert cosine > 0.95
        assert 0.8 < aware.norm() / real.norm() < 1.25


def test_an_unlimited_extended_neuron_has_the_gradients_of_a_plain_one():
    found = []
    for kind in (QLIF, QExtendedLIF):
        torch.manual_seed(20)
        model = Layer(QLinear(6, 4), kind(v_th_0=0.4, v_leaky_alpha=0.75, multi_step=True))
        with torch.no_grad():
            model.synapse.bias.sub_(0.3)
        model.aware()
        out, states = model(spikes(6, 5, 6))
        membrane = states if kind is QLIF else states["v"]
        assert (membrane < 0).any()
        (out.sum() + membrane.sum()).backward()
        found.append([out.detach(), model.synapse.weight.grad])
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_training_in_aware_mode_learns_and_ends_in_the_same_integers():
    torch.manual_seed(21)
    layers = {
        "conv": QConv2d(2, 4, 3),
        "cell": QLIF(
            v_th_0=0.3, v_leaky_alpha=0.7, learn=["alpha", "v_threshold"], multi_step=True
        ),
        "fc": QLinear(4 * 3 * 3, 3),
        "out": QIF(v_th_0=0.4, reset=Reset.SOFT, multi_step=True),
    }

    def run(self, x):
        s, _ = self.cell(*self.conv(x))
        return self.out(*self.fc(s.flatten(2)))[0]

    model = Net(run, **layers)
    x = spikes(4, 24, 2, 5, 5)
    label = torch.arange(24) % 3
    x[:, :, 0, :2] = (label == 0).float().view(1, -1, 1, 1)
    x[:, :, 1, 3:] = (label == 1).float().view(1, -1, 1, 1)
    model.aware(weight_bits=4, example_input=x)
    frozen = [m.settings for m in (model.conv, model.fc)]
    before = model.conv.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x).mean(0) * 4, label)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert not torch.equal(model.conv.weight, before)
    trained = model(x).detach()
    assert [m.settings for m in (model.conv, model.fc)] == frozen
    model.quantize()
    assert torch.equal(model(x), trained)
    for synapse, was in zip((model.conv, model.fc), frozen, strict=True):
        assert np.array_equal(synapse.settings.scale, was.scale)
        assert synapse.weight_integers.abs().max() <= 8
    with torch.no_grad():
        model.conv.weight.mul_(3)
    assert torch.equal(model(x), trained)


def test_other_options_choose_the_scales_anew():
    model = Layer(QLinear(6, 4), QLIF())
    model.aware()
    first = model.synapse.settings
    with torch.no_grad():
        model.synapse.weight.mul_(100)
    model.quantize("generic")
    second = model.synapse.settings
    assert (second.scale * second.gain > 50 * first.scale * first.gain).all()
