"""Widths of states: what is written changes no integer, what is asked for is proved."""

import numpy as np
import pytest
from graphs import Graph, calibrated, load_session, options_of, run_everywhere, with_outputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import GENERIC, NARROW, PHASES, TIANJIC, networks
from onnx import numpy_helper

from snnquant.errors import NumericalError
from snnquant.lowering.decided import Decided, decided_coarser
from snnquant.lowering.terms import coarsened
from snnquant.numerics import IntRange
from snnquant.quantize import quantize_model
from snnquant.quantize_options import plan_model
from snnquant.self_check import integer_values
from snnquant.widths import check_widths, narrowed, prove_widths, with_widths


def shapes_of(feeds):
    return {name: value.shape for name, value in feeds.items()}


@pytest.mark.parametrize("target", [GENERIC, TIANJIC, NARROW], ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=12, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_proved_widths_change_no_integer(target, data):
    network = data.draw(networks(target))
    options = options_of(target)
    model, entries = calibrated(network.model, options, spikes=network.spikes)
    made = quantize_model(model, entries, options).model
    widths = prove_widths(made, shapes_of(network.feeds), {}, any_length=False)
    for width in widths.neurons.values():
        assert width.bits is not None
        assert width.state_bits == max(2, min(width.bits, target.state_bits))
    names = integer_values(made)
    before, after = (
        load_session(with_outputs(m, names).SerializeToString(), threads=1)
        for m in (made, with_widths(made, widths))
    )
    rng = np.random.default_rng(1)
    for size in (1, 1000):
        feeds = {
            name: (value * size if size == 1 else rng.normal(0, size, value.shape)).astype(
                value.dtype
            )
            for name, value in network.feeds.items()
        }
        for name, a, b in zip(
            names, before.run(names, feeds), after.run(names, feeds), strict=True
        ):
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("bits", [16, 10])
@given(data=st.data())
@settings(max_examples=8, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_a_width_that_is_asked_for_is_proved(bits, data):
    network = data.draw(networks(GENERIC))
    options = options_of(GENERIC)
    model, entries = calibrated(network.model, options, spikes=network.spikes)
    plan = plan_model(model, entries, options)
    wanted = {key.name: bits for key in plan.neurons}
    shapes = shapes_of(network.feeds)

    def make(coarser):
        return quantize_model(model, entries, options, coarser=coarser).model

    coarser = narrowed(make, plan, shapes, wanted)
    made = make(coarser)
    widths = prove_widths(made, shapes, wanted, any_length=False)
    check_widths(widths)
    narrow = with_widths(made, widths)
    assert {a.i for n in narrow.graph.node for a in n.attribute if a.name == "state_bits"} <= {bits}
    values, _ = run_everywhere(narrow, network.feeds)
    plain, _ = run_everywhere(made, network.feeds)
    for name, value in values.items():
        np.testing.assert_array_equal(value, plain[name])


def deep(alpha=0.9, threshold=1.0, bias=0.0):
    """Two layers on an analog input."""
    rng = np.random.default_rng(5)
    g = Graph()
    x = g.input("x", [6, "B", 8])
    held = {"alpha": alpha, "v_threshold": threshold, "leak_bias": bias}
    a = g.op("MatMul", x, g.const(rng.normal(0, 0.5, (8, 8))), name="fc1")
    (spikes,) = g.neuron(a, name="lif1", **held)
    b = g.op("MatMul", spikes, g.const(rng.normal(0, 0.5, (8, 4))), name="fc2")
    (y,) = g.neuron(b, name="lif2", **held)
    g.output(y, 3)
    return g.model()


def made_of(model, coarser=None, decided=None, options=None):
    options = options or options_of()
    canonical, entries = calibrated(model, options)
    plan = plan_model(canonical, entries, options)
    coarser = {name: np.array([bits]) for name, bits in (coarser or {}).items()}
    own = decided_coarser(plan, decided or {}, coarser)
    result = quantize_model(
        canonical, entries, options, decided=own, coarser={} if decided else coarser
    )
    return result, plan


def test_gains_are_given_up_before_the_current_is_shifted():
    assert coarsened([8, 32], 2) == (2, 0)
    assert coarsened([8, 32], 5) == (3, 2)
    assert coarsened([], 4) == (0, 4)
    plain, _ = made_of(deep())
    gain = next(e["weight_gain"] for e in plain.layers if e["name"] == "fc2")
    extra = gain.bit_length() + 2
    coarse, _ = made_of(deep(), {"lif2": extra})
    assert next(e["weight_gain"] for e in coarse.layers if e["name"] == "fc2") == 1
    node = next(n for n in coarse.model.graph.node if n.name == "lif2")
    assert {a.name: a.i for a in node.attribute}["current_shift"] == -3
    before, after = (
        next(e["membrane_scale_max"] for e in r.layers if e["name"] == "lif2")
        for r in (plain, coarse)
    )
    assert after == before * 2**extra
    weights = [
        next(t for t in r.model.graph.initializer if t.name.endswith(".q") and t.dims[1] == 4)
        for r in (plain, coarse)
    ]
    assert weights[0].raw_data == weights[1].raw_data


def test_decisions_get_coarser_as_choices_do():
    chosen, _ = made_of(deep(), {"lif1": 9, "lif2": 3})
    plain, _ = made_of(deep())
    decided = {}
    for entry in plain.layers:
        if entry["kind"] == "neuron":
            continue
        decided[entry["name"]] = Decided(scale_of(entry["name"]), entry["weight_gain"])
    taken, _ = made_of(deep(), {"lif1": 9, "lif2": 3}, decided)
    assert chosen.model.SerializeToString(deterministic=True) == taken.model.SerializeToString(
        deterministic=True
    )


def scale_of(name):
    """Return the scale that is chosen for the current of a synapse."""
    options = options_of()
    canonical, entries = calibrated(deep(), options)
    plan = plan_model(canonical, entries, options)
    key = next(k for k in plan.terms if k.name == name)
    group = next(g for g in plan.groups if any(t is plan.terms[key] for t in g.terms))
    return group.choose_scale(options.target, options.per_channel)


def test_more_steps_can_need_more_bits_or_have_no_bound():
    leaky, _ = made_of(deep(alpha=0.95))
    widths = prove_widths(leaky.model, {"x": (6, 1, 8)}, {}, any_length=True)
    for width in widths.neurons.values():
        assert width.bits < width.bits_any_length
        assert width.state_bits == width.bits_any_length
    integrating, _ = made_of(deep(alpha=1.0))
    widths = prove_widths(integrating.model, {"x": (6, 1, 8)}, {}, any_length=True)
    for width in widths.neurons.values():
        assert width.bits_any_length is None
        assert width.state_bits == 32
        assert width.proved
    assert set(widths.proved_steps().values()) == {6}
    with pytest.raises(NumericalError, match="32 bits after 6 steps, and the model takes any"):
        check_widths(widths)
    check_widths(prove_widths(integrating.model, {"x": (6, 1, 8)}, {}, any_length=False))


def test_states_that_come_in_have_no_width_and_are_left_as_fine_as_they_are():
    """No membrane is so coarse that whatever comes in fits: it would be 0."""
    g = Graph()
    x, v, r = g.input("x", [3, "B", 8]), g.input("v", ["B", 4]), g.input("r", ["B", 4])
    weight = g.const(np.random.default_rng(5).normal(size=(8, 4)))
    current = g.op("MatMul", x, weight, name="fc")
    spikes, after, *_ = g.neuron(current, "LIFState", name="lif", alpha=0.9, states=[v, r])
    (y,) = g.neuron(g.op("MatMul", spikes, g.const(np.eye(4)), name="fc2"), name="next")
    g.output(y, 3)
    g.output(after, 2)
    options = options_of()
    canonical, entries = calibrated(g.model(), options)
    shapes = {"x": (3, 1, 8), "v": (1, 4), "r": (1, 4)}

    def make(coarser):
        return quantize_model(canonical, entries, options, coarser=coarser).model

    coarser = narrowed(make, plan_model(canonical, entries, options), shapes, {"lif": 12})
    assert not coarser
    widths = prove_widths(make({}), shapes, {"lif": 12}, any_length=False)
    assert widths.neurons["lif"].bits is None
    assert widths.neurons["next"].proved
    with pytest.raises(NumericalError, match="'lif' can leave 12 bits: no width is proved"):
        check_widths(widths)


def test_what_is_not_proved_is_refused_in_words():
    result, _ = made_of(deep())
    widths = prove_widths(result.model, {"x": (6, 1, 8)}, {"lif2": 4}, any_length=False)
    assert not widths.neurons["lif2"].proved
    with pytest.raises(NumericalError, match="'lif2' can leave 4 bits: they can need 1"):
        check_widths(widths)


def test_a_channel_that_is_far_wider_than_the_others_gets_its_own_scale():
    """Its weights are tiny beside its threshold, so that a coarser scale costs it nothing."""
    rng = np.random.default_rng(6)
    weight = rng.normal(0, 0.5, (8, 4))
    weight[:, 0] *= 1e-5
    g = Graph()
    x = g.input("x", [6, "B", 8])
    a = g.op("MatMul", x, g.const(weight), name="fc")
    (y,) = g.neuron(a, name="lif", alpha=0.9, leak_bias=np.array([0.2, 0, 0, 0], np.float32))
    g.output(y, 3)
    options = options_of()
    canonical, entries = calibrated(g.model(), options)
    plan = plan_model(canonical, entries, options)

    def make(coarser):
        return quantize_model(canonical, entries, options, coarser=coarser).model

    coarser = narrowed(make, plan, {"x": (6, 1, 8)}, {"lif": 16})
    first, *others = coarser["lif"]
    assert first > 4 + max(others)
    widths = prove_widths(make(coarser), {"x": (6, 1, 8)}, {"lif": 16}, any_length=False)
    check_widths(widths)
    plain, narrow = make({}), make(coarser)
    stored_weights = [
        numpy_helper.to_array(next(t for t in m.graph.initializer if t.name.endswith(".q")))
        for m in (plain, narrow)
    ]
    np.testing.assert_array_equal(stored_weights[0][:, 1:], stored_weights[1][:, 1:])
    assert np.abs(stored_weights[1][:, 0]).max() < np.abs(stored_weights[0][:, 0]).max()


def test_hidden_layers_are_narrower_than_an_encoder():
    result, _ = made_of(deep())
    widths = prove_widths(result.model, {"x": (6, 1, 8)}, {}, any_length=False)
    assert widths.neurons["lif2"].bits < widths.neurons["lif1"].bits
    assert set(widths.currents) == {"fc1", "fc2"}
    told = [widths.told(layer) for layer in result.layers]
    assert [layer.get("proved_bits") is not None for layer in told] == [
        layer["kind"] == "neuron" for layer in told
    ]
    held = IntRange.signed(widths.currents["fc2"])
    bound = next(layer["current_bound"] for layer in result.layers if layer["name"] == "fc2")
    assert held.high <= 2 * bound
