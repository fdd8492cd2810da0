"""Scales that were decided beforehand are taken as they are, or refused."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from graphs import Graph, calibrated, options_of, run_everywhere, stored

from snnquant.errors import ModelError
from snnquant.lowering.decided import Decided
from snnquant.lowering.plan import make_plan
from snnquant.quantize import quantize_model

F, C = 6, 5
WEIGHT = np.random.default_rng(0).uniform(-1, 1, (F, C))
RECURRENT = np.random.default_rng(1).uniform(-1, 1, (C, C))
PER_CHANNEL = np.linspace(0.01, 0.05, C)


def single(readout=False):
    g = Graph()
    y = g.op("MatMul", g.input("x", [4, "B", F]), g.const(WEIGHT, name="w"), name="fc")
    g.output(g.neuron(y, "LI" if readout else "LIF", name="lif", alpha=0.5)[0], 3)
    return g.model()


def two(recurrent=True):
    """Two synapses and recurrent weights that feed one neuron."""
    g = Graph()
    x = g.input("x", [4, "B", F])
    a = g.op("MatMul", x, g.const(WEIGHT, name="w"), name="a")
    b = g.op("MatMul", x, g.const(WEIGHT[::-1] / 8, name="u"), name="b")
    both = g.op("Add", a, b)
    op, weight = ("LIFRecurrent", RECURRENT) if recurrent else ("LIF", None)
    g.output(g.neuron(both, op, name="lif", weight=weight, alpha=0.5)[0], 3)
    return g.model()


def loop(steps=3):
    g = Graph()
    x = g.input("x", [steps, "B", F])
    weight, states = g.const(WEIGHT, name="w"), None
    for t in range(steps):
        one = g.op("Slice", x, *(g.const([k], np.int64) for k in (t, t + 1, 0)))
        current = g.op("MatMul", one, weight, name=f"fc{t}")
        if states is None:
            shape = g.op(
                "Slice", g.op("Shape", current), g.const([1], np.int64), g.const([3], np.int64)
            )
            states = [g.op("ConstantOfShape", shape)] * 2
        out, *states = g.neuron(current, "LIFState", name=f"lif{t}", states=states, alpha=0.5)
        g.output(out, 3)
    return g.model()


def quantized(model, decided, target="generic"):
    canonical, scales = calibrated(model, options_of(target), spikes=["x"])
    return quantize_model(canonical, scales, options_of(target), decided=decided)


def run(result, steps=4):
    x = np.random.default_rng(2).integers(0, 2, (steps, 3, F)).astype(np.float32)
    return run_everywhere(result.model, {"x": x})[0]


def neuron_of(result, name="lif"):
    return next(n for n in result.model.graph.node if n.name == name)


@pytest.mark.parametrize("target", ["generic", "tianjic"])
@pytest.mark.parametrize("scale", [[0.02], PER_CHANNEL], ids=["one", "channels"])
def test_decided_scales_and_gains_are_used(scale, target):
    decided = {"fc": Decided(np.array(scale), gain=4, current_shift=2)}
    result = quantized(single(), decided, target)
    full = np.broadcast_to(scale, C)
    low = -128 if target == "tianjic" else -127
    want = np.clip(np.rint(WEIGHT.astype(np.float32) / (4 * full)), low, 127)
    np.testing.assert_array_equal(stored(result.model, "w.q"), want)
    node = neuron_of(result)
    assert {a.name: a.i for a in node.attribute}["current_shift"] == 2
    above = stored(result.model, "lif.fire_above")
    ratios = [1 / Fraction(step / 4) for step in full]
    exact = [round(ratio) if target == "tianjic" else floor(ratio) for ratio in ratios]
    np.testing.assert_array_equal(np.broadcast_to(above, C), exact)
    entry = result.layers[0]
    assert (entry["weight_gain"], entry["current_scale_min"]) == (4, min(scale))
    run(result)


def test_all_members_of_a_group_take_their_gains():
    scale = np.array([0.01])
    decided = {"a": Decided(scale, 8), "b": Decided(scale), "lif": Decided(scale, 16)}
    result = quantized(two(), decided)
    assert [e["weight_gain"] for e in result.layers if e["kind"] == "synapse"] == [8, 1]
    assert stored(result.model, "lif.recurrent_weight.gain") == 16
    run(result)


def test_what_is_not_decided_is_chosen():
    g = Graph()
    y = g.op("MatMul", g.input("x", [4, "B", F]), g.const(WEIGHT), name="fc1")
    z = g.neuron(y, name="lif1", alpha=0.5)[0]
    y = g.op("MatMul", z, g.const(WEIGHT[:C]), name="fc2")
    g.output(g.neuron(y, name="lif2", alpha=0.5)[0], 3)
    free = quantized(g.model(), None)
    fixed = quantized(g.model(), {"fc1": Decided(np.array([0.5]))})
    assert fixed.layers[0]["current_scale_min"] == 0.5 != free.layers[0]["current_scale_min"]
    assert fixed.layers[2] == free.layers[2]


def test_taking_what_was_chosen_gives_the_same_model():
    free = quantized(single(), None)
    entry = free.layers[0]
    assert entry["per_channel"]
    canonical, scales = calibrated(single(), options_of(), spikes=["x"])
    plan = make_plan(canonical, options_of().target, scales)
    scale = plan.groups[0].choose_scale(options_of().target, True)
    fixed = quantized(single(), {"fc": Decided(scale, entry["weight_gain"])})
    assert free.model.SerializeToString(deterministic=True) == fixed.model.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("names", [["fc0"], ["fc0", "fc1", "fc2"]], ids=["first", "all"])
def test_the_first_step_of_a_loop_decides_for_all(names):
    result = quantized(loop(), {name: Decided(PER_CHANNEL, 2) for name in names})
    synapses = [e for e in result.layers if e["kind"] == "synapse"]
    assert [e["weight_gain"] for e in synapses] == [2, 2, 2]
    assert {e["current_scale_max"] for e in synapses} == {PER_CHANNEL[-1]}
    run(result, 3)


def test_a_neuron_without_a_synapse_can_be_decided():
    g = Graph()
    x = g.input("x", [4, "B", F])
    g.output(g.neuron(x, name="lif", alpha=0.5)[0], 3)
    canonical, scales = calibrated(g.model(), options_of())
    decided = {"lif": Decided(np.array([0.125]))}
    result = quantize_model(canonical, scales, options_of(), decided=decided)
    assert stored(result.model, "lif.fire_above") == 8


ONE = np.array([0.01])


@pytest.mark.parametrize(
    ("model", "decided", "message"),
    [
        (single(), {"fd": Decided(ONE)}, "decided for 'fd', which is no synapse"),
        (two(), {"a": Decided(ONE)}, "no scale was decided for 'b', but one for 'a'"),
        (
            two(),
            {"a": Decided(ONE), "b": Decided(ONE)},
            "no scale was decided for 'lif', but one for 'a'",
        ),
        (
            two(False),
            {"a": Decided(ONE), "b": Decided(ONE * 2)},
            "the scales decided for 'a' and 'b' differ",
        ),
        (
            two(False),
            {"a": Decided(ONE), "b": Decided(ONE, current_shift=1)},
            "the scales decided for 'a' and 'b' differ",
        ),
        (loop(), {"fc0": Decided(ONE), "fc2": Decided(ONE * 2)}, "for 'fc0' and 'fc2' differ"),
        (single(), {"fc": Decided(PER_CHANNEL[:3])}, "'fc' has 3 channels, but the layer 5"),
        (single(True), {"fc": Decided(PER_CHANNEL)}, "'fc' differs per channel"),
        (single(), {"fc": Decided(ONE, gain=3)}, "gain decided for 'fc' is 3, no power of two"),
        (single(), {"fc": Decided(ONE, gain=0)}, "gain decided for 'fc' is 0, no power of two"),
        (single(), {"fc": Decided(ONE, current_shift=25)}, "for 'fc' is 25, must be from -31"),
        (single(), {"fc": Decided(ONE * 0)}, "'fc' is not positive"),
        (single(), {"fc": Decided(ONE * np.nan)}, "'fc' is not positive"),
    ],
    ids=[
        "unknown",
        "one_of_two",
        "no_recurrence",
        "scales_differ",
        "shifts_differ",
        "steps_differ",
        "too_few_channels",
        "read_out",
        "gain_3",
        "gain_0",
        "shift_25",
        "zero",
        "nan",
    ],
)
def test_what_does_not_fit_is_refused(model, decided, message):
    with pytest.raises(ModelError, match=message):
        quantized(model, decided)
