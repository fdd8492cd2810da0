"""Where the integers of whole models stay: nothing that any of them gives is outside."""

import numpy as np
import pytest
from graphs import load_session, with_outputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import PHASES, TARGETS, quantized_networks
from onnx import TensorProto, helper, numpy_helper

from snnquant.bounds import Interval, graph_reach
from snnquant.bounds.operations import anything, constant, follow
from snnquant.bounds.synapses import open_synapse
from snnquant.self_check import integer_values


def hostile(feeds, rng):
    """Inputs that no calibration saw: far beyond, at the ends, everything on."""
    yield feeds
    for size in (1e-3, 3.0, 1e3, 1e30):
        yield {
            name: (rng.choice([-1, 1, 1], value.shape) * size * rng.random(value.shape)).astype(
                value.dtype
            )
            for name, value in feeds.items()
        }
    yield {name: np.ones_like(value) for name, value in feeds.items()}


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@given(data=st.data())
@settings(max_examples=12, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
def test_nothing_that_a_model_gives_is_outside(target, data):
    network, result = data.draw(quantized_networks(target))
    model = result.model
    names = integer_values(model)
    shapes = {name: value.shape for name, value in network.feeds.items()}
    known = graph_reach(model, shapes, watch=names)
    opened = graph_reach(model, shapes, any_length=True)
    assert set(known.values) == set(names)
    assert known.neurons.keys() == opened.neurons.keys()
    session = load_session(with_outputs(model, names).SerializeToString(), threads=1)
    rng = np.random.default_rng(0)
    for feeds in hostile(network.feeds, rng):
        for name, seen in zip(names, session.run(names, dict(feeds)), strict=True):
            interval = known.values[name]
            assert seen.shape == interval.low.shape, name
            assert (seen >= interval.low).all(), name
            assert (seen <= interval.high).all(), name
    for name, reach in known.neurons.items():
        assert not opened.neurons[name].settled or opened.neurons[name].bits >= reach.bits


def product(op, x, weight, bias=None, **attributes):
    names = ["x", "w", *([] if bias is None else ["b"])]
    node = helper.make_node(op, names, ["y"], name="synapse", **attributes)
    held = [Interval(*(np.asarray(end, np.float32) for end in x)), constant(weight)]
    return open_synapse(node, [*held, *([] if bias is None else [constant(bias)])], 17).current()


def test_partial_sums_are_wider_than_what_they_end_in():
    # 3 - 2 with inputs that are always 1: the sum is 1, but 3 or -2 may come first.
    one = np.ones((1, 2))
    total, passed = product("MatMul", (one, one), np.array([[3.0], [-2.0]], np.float32))
    assert (total.low.item(), total.high.item()) == (1, 1)
    assert (passed.low.item(), passed.high.item()) == (-2, 3)


def test_a_bias_may_come_first_or_last():
    one = np.ones((1, 1))
    weight, bias = np.array([[5.0]], np.float32), np.array([-9.0], np.float32)
    total, passed = product("Gemm", (0 * one, one), weight, bias)
    assert (total.low.item(), total.high.item()) == (-9, -4)
    assert (passed.low.item(), passed.high.item()) == (-9, 5)


def test_digits_of_weights_meet_again():
    """Weights of -1 in digits are 15 and -16: their bounds apart would be 16 times as wide."""
    g = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "low"], ["a"], "first"),
            helper.make_node("Cast", ["a"], ["ai"], to=TensorProto.INT32),
            helper.make_node("MatMul", ["x", "high"], ["b"], "second"),
            helper.make_node("Cast", ["b"], ["bi"], to=TensorProto.INT32),
            helper.make_node("Mul", ["bi", "sixteen"], ["bs"]),
            helper.make_node("Add", ["ai", "bs"], ["y"]),
            helper.make_node("Identity", ["y"], ["z"]),
        ],
        "digits",
        [helper.make_tensor_value_info("u", TensorProto.UINT8, [1, 3])],
        [helper.make_tensor_value_info("z", TensorProto.INT32, [1, 2])],
        [
            numpy_helper.from_array(np.full((3, 2), 15, np.float32), "low"),
            numpy_helper.from_array(np.full((3, 2), -1, np.float32), "high"),
            numpy_helper.from_array(np.array(16, np.int32), "sixteen"),
        ],
    )
    g.node.insert(0, helper.make_node("Cast", ["u"], ["x"], to=TensorProto.FLOAT))
    model = helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)])
    found = graph_reach(model, {"u": (1, 3)}, watch=["z"])
    assert found.values["z"].low.tolist() == [[-765, -765]]
    assert found.values["z"].high.tolist() == [[0, 0]]
    assert found.currents == {"first": 11}


def ends(op, *inputs, **attributes):
    names = [f"i{k}" for k in range(len(inputs))]
    node = helper.make_node(op, names, ["y"], **attributes)
    return follow(node, inputs, 17)[0]


def interval(low, high, kind=np.int32):
    return Interval(np.array(low, kind), np.array(high, kind))


def test_what_rises_and_falls():
    a, b = interval([-3, 1], [5, 2]), interval([-2, 2], [4, 3])
    assert ends("Add", a, b).low.tolist() == [-5, 3]
    assert ends("Sub", a, b).low.tolist() == [-7, -2]
    assert ends("Sub", a, b).high.tolist() == [7, 0]
    assert ends("Mul", a, b).low.tolist() == [-12, 2]
    assert ends("Mul", a, b).high.tolist() == [20, 6]
    assert ends("Neg", a).low.tolist() == [-5, -2]
    assert ends("Abs", a).low.tolist() == [0, 1]
    assert ends("Abs", a).high.tolist() == [5, 2]
    chosen = ends("Where", constant(np.array([True, False])), a, b)
    assert chosen.low.tolist() == [-3, 2]
    either = ends("Where", interval([0, 0], [1, 1], np.bool_), a, b)
    assert (either.low.tolist(), either.high.tolist()) == ([-3, 1], [5, 3])


def test_what_a_type_cannot_hold_can_be_anything_of_it():
    wrapped = ends("Cast", interval([-1], [3]), to=TensorProto.UINT8)
    assert (wrapped.low.item(), wrapped.high.item()) == (0, 255)
    assert ends("Cast", interval([1], [3]), to=TensorProto.UINT8).high.item() == 3


def test_zero_is_among_what_becomes_a_truth_value():
    either = ends("Cast", interval([-1], [1]), to=TensorProto.BOOL)
    assert (either.low.item(), either.high.item()) == (0, 1)


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND"])
def test_what_data_picks_from_a_table_can_be_any_of_it(op):
    """Not only what lies at the ends of the index."""
    table, index = constant(np.array([0, 7, -9, 0], np.int32)), interval([0], [3], np.int64)
    picked = ends(op, table, index)
    assert (picked.low.item(), picked.high.item()) == (-9, 7)
    known = ends(op, interval([0, 1, 2], [0, 5, 6]), constant(np.array([1])))
    assert (known.low.item(), known.high.item()) == (1, 5)


def test_places_that_data_chooses_can_hold_anything():
    start, end = interval([0], [1], np.int64), constant(np.array([2], np.int64))
    data = interval([1, 2, 3, 4], [1, 2, 3, 4], np.uint8)
    cut = ends("Slice", data, start, end)
    assert (cut.low.max(), cut.high.min()) == (0, 255)


def test_what_no_rule_knows_can_be_anything():
    unknown = ends("Sin", interval([0.0], [1.0], np.float32))
    assert unknown.low.item() == -np.inf
    entered = ends(
        "QuantizeLinear",
        unknown,
        constant(np.array(0.5, np.float32)),
        constant(np.array(0, np.int8)),
    )
    assert (entered.low.item(), entered.high.item()) == (-128, 127)
    assert ends("Div", interval([1], [2]), interval([-1], [1])).high.item() == 2**31 - 1


def test_real_sums_are_not_trusted():
    """The runtime adds in an order of its own, so that the last bit of an end may be another."""
    real = interval([[0.1, 0.2]], [[0.3, 0.4]], np.float32)
    assert np.isinf(ends("ReduceMean", real, axes=[1]).high).all()
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    found = open_synapse(node, [real, constant(np.ones((2, 1), np.float32))], 17)
    assert isinstance(found, Interval)
    assert np.isinf(found.low).all()


def test_shapes_are_known_whatever_the_values():
    shape = ends("Shape", anything(np.zeros((2, 5), np.float32)))
    assert shape.low is shape.high
    assert shape.low.tolist() == [2, 5]


def test_nothing_is_proved_behind_what_cannot_be_followed():
    lif = {"leak_shift": 8, "leak_rounding": 0, "current_shift": 0, "state_bits": 32}
    lif |= {"reset": 0, "reset_after_leak": 0, "max_spikes": 1, "refractory": 0}
    constants = {"alpha": 230, "leak_bias": 0, "fire_above": 4, "reset_by": 4, "v_reset": 0}
    constants |= {"refractory_steps": 0, "v_init": 0}

    def neuron(name, current):
        made = helper.make_node("QLIF", [current, *constants], [f"{name}.s"], name, **lif)
        made.domain = "snnquant"
        return made

    lost = helper.make_node("Foreign", ["x"], ["lost"], domain="elsewhere")
    graph = helper.make_graph(
        [neuron("first", "x"), lost, neuron("second", "lost"), neuron("third", "x")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.INT32, [3, 1, 2])],
        [helper.make_tensor_value_info("third.s", TensorProto.UINT8, [3, 1, 2])],
        [numpy_helper.from_array(np.array([v], np.int32), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert list(graph_reach(model, {"x": (3, 1, 2)}).neurons) == ["first", "third"]
