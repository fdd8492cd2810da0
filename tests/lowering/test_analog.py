"""Values between layers that have no common step: all of them become integers, and stay close."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs import Graph, op_types, options_of, run_everywhere, run_float

from snnquant.calibrate import calibration_points
from snnquant.errors import ModelError
from snnquant.instrument import with_outputs
from snnquant.lowering.plan import InputScale
from snnquant.passes import canonicalise
from snnquant.quantize import QuantizedModel, quantize_model

STEPS, BATCH, SIZE = 5, 3, 6
#: Operations on real values; an integer graph of ours has none but where inputs enter.
REAL = {"QuantizeLinear", "Round", "DequantizeLinear"}


class Net:
    """A graph with currents and spikes to do something with, and a read-out."""

    def __init__(self, seed: int = 0, maps: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.g = Graph()
        features = (2, SIZE, SIZE) if maps else (SIZE,)
        self.maps = maps
        self.x = self.g.input("x", [STEPS, "B", *features])
        self.feeds = {"x": self.rng.normal(size=(STEPS, BATCH, *features)).astype(np.float32)}

    def weight(self, *shape: int) -> str:
        return self.g.const(self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])))

    def current(self, value: str = "") -> str:
        if not self.maps:
            return self.g.op("MatMul", value or self.x, self.weight(SIZE, SIZE))
        flat = self.g.reshape(value or self.x, [-1, 2, SIZE, SIZE])
        made = self.g.op("Conv", flat, self.weight(2, 2, 3, 3), pads=[1, 1, 1, 1])
        return self.g.reshape(made, [STEPS, -1, 2, SIZE, SIZE])

    def spikes(self, value: str = "") -> str:
        return self.g.neuron(value or self.current(), v_threshold=0.4, alpha=0.75)[0]

    def membrane(self) -> str:
        return self.g.neuron(self.current(), "LI", alpha=0.75)[0]

    def finish(self, value: str) -> tuple[QuantizedModel, dict[str, np.ndarray], np.ndarray]:
        """Read out through a synapse, and return the integer model, its values and the float's."""
        self.g.output(self.g.neuron(value, "LI", alpha=0.5, name="out")[0], 3 + 2 * self.maps)
        model = self.g.model()
        canonical = canonicalise(model)
        points = calibration_points(canonical)
        names = [name for name in points if name != "x"]
        seen = run_float(with_outputs(model, names), self.feeds)[1:]
        values = dict(zip(names, seen, strict=True), x=self.feeds["x"])
        scales = {
            name: InputScale(float(np.float32(np.abs(v).max() / 127)), -128, 127)
            for name, v in values.items()
        }
        result = quantize_model(canonical, scales, options_of())
        found, _ = run_everywhere(result.model, self.feeds)
        (expected,) = run_float(model, self.feeds)
        return result, found[model.graph.output[0].name], expected


def residual(n: Net) -> str:
    """A membrane shortcut: currents of two layers, one of which is read by others as well."""
    stem = n.current()
    return n.current(n.g.op("Add", stem, n.current(n.spikes(stem))))


def membranes(n: Net) -> str:
    return n.current(n.g.op("Add", n.membrane(), n.membrane()))


def into_synapse(n: Net) -> str:
    return n.current(n.membrane())


def synaptic_current(n: Net) -> str:
    """A leaky synaptic current, read as a value by a synapse and by a sum."""
    y = n.g.neuron(n.current(), "LI", choices={"synaptic": 1}, alpha=0.75, alpha_syn=0.6)[0]
    return n.g.op("Add", n.current(y), y)


def weighted_spikes(n: Net) -> str:
    return n.current(n.g.op("Add", n.g.op("Mul", n.spikes(), n.g.const(0.7)), n.spikes()))


def difference(n: Net) -> str:
    return n.current(n.g.op("Sub", n.spikes(), n.g.op("Mul", n.spikes(), n.g.const(0.3))))


def constants(n: Net) -> str:
    y = n.g.op("Add", n.spikes(), n.g.const(n.rng.normal(size=SIZE)))
    return n.current(n.g.op("Sub", n.g.const(0.4), y))


def factors(n: Net) -> str:
    return n.current(n.g.op("Mul", n.spikes(), n.g.const(n.rng.normal(size=SIZE))))


def current_factors(n: Net) -> str:
    return n.g.op("Mul", n.current(), n.g.const(n.rng.uniform(0.3, 1.5, size=SIZE)))


def turned(n: Net) -> str:
    y = n.g.op("Mul", n.spikes(), n.g.const(-0.5))
    return n.g.op("Add", n.current(y), n.g.op("Sub", n.g.const(0.2), n.current()))


def currents_of_two_factors(n: Net) -> str:
    return n.g.op("Add", n.g.op("Mul", n.current(), n.g.const(0.3)), n.current())


def gated_current(n: Net) -> str:
    return n.g.op("Mul", n.spikes(), n.current())


def current_times_current(n: Net) -> str:
    return n.current(n.g.op("Mul", n.current(), n.current()))


def joined(n: Net) -> str:
    y = n.g.op("Concat", n.spikes(), n.membrane(), axis=2)
    return n.g.op("MatMul", y, n.weight(2 * SIZE, SIZE))


def scores(n: Net, scale: float, *sides: str) -> str:
    q, k, v = sides
    heads = [n.g.reshape(s, [STEPS, -1, 3, 2]) for s in (q, k, v)]
    turned = n.g.op("Transpose", heads[1], perm=[0, 1, 3, 2])
    attention = n.g.op("Mul", n.g.op("MatMul", heads[0], turned), n.g.const(scale))
    return n.g.reshape(n.g.op("MatMul", attention, heads[2]), [STEPS, -1, SIZE])


def spiking_attention(n: Net) -> str:
    return n.current(n.spikes(scores(n, 0.5, n.spikes(), n.spikes(), n.spikes())))


def attention_of_currents(n: Net) -> str:
    return scores(n, 0.125, n.current(), n.current(), n.spikes())


def attention_shortcut(n: Net) -> str:
    y = scores(n, 0.5, n.current(), n.current(), n.spikes())
    return n.g.op("Add", n.current(), y)


def attention_of_currents_only(n: Net) -> str:
    return n.current(scores(n, 0.5, n.current(), n.current(), n.current()))


CASES: dict[Callable[[Net], str], int] = {
    residual: 1,
    membranes: 1,
    into_synapse: 1,
    synaptic_current: 1,
    weighted_spikes: 1,
    difference: 1,
    constants: 2,
    factors: 1,
    current_factors: 0,
    turned: 0,
    currents_of_two_factors: 0,
    gated_current: 0,
    current_times_current: 2,
    joined: 2,
    spiking_attention: 0,
    attention_of_currents: 2,
    attention_shortcut: 2,
    attention_of_currents_only: 4,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_everything_becomes_an_integer_and_stays_close(case):
    assert len(CASES) == 18
    net = Net()
    result, found, expected = net.finish(case(net))
    assert not result.left
    assert len(result.requantized) == CASES[case]
    rounded = [n for n in result.model.graph.node if n.op_type in REAL]
    assert {n.input[0] for n in rounded} <= {"x"}
    spread = np.abs(expected).max()
    # Spikes may come a step earlier or later; what they carry may not be another thing.
    assert np.median(np.abs(found - expected)) < 0.02 * spread
    assert np.abs(found - expected).mean() < 0.06 * spread


POOLS = {
    "window": lambda g, y: g.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2]),
    "overlap": lambda g, y: g.op(
        "AveragePool", y, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1],
        count_include_pad=1,
    ),
    "map": lambda g, y: g.op("GlobalAveragePool", y),
}  # fmt: skip


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("pool", POOLS)
def test_an_average_of_currents_is_a_finer_current(pool, large):
    net = Net(3, maps=True)
    g = net.g
    weight = net.rng.normal(size=(2, 2, 3, 3)) / 4
    if large:
        # One small weight makes the step so fine that float32 no longer holds the sums.
        weight = np.concatenate([weight, net.rng.normal(size=(2, 2, 3, 3)) * 2.0**-11], 1)[:, 1:3]
    flat = g.reshape(net.x, [-1, 2, SIZE, SIZE])
    small = g.op("Conv", flat, g.const(weight * 2.0**-10), pads=[1, 1, 1, 1]) if large else ""
    current = g.op("Conv", flat, g.const(weight), pads=[1, 1, 1, 1])
    current = g.op("Add", current, small) if large else current
    y = POOLS[pool](g, current)
    shape = {"window": (2, 3, 3), "overlap": (2, 3, 6), "map": (2, 1, 1)}[pool]
    result, found, expected = net.finish(g.reshape(y, [STEPS, -1, *shape]))
    assert not result.left
    assert not result.requantized
    kinds = op_types(result.model)
    assert ("Slice" in kinds) == large
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


def test_an_average_of_large_integers_is_exact():
    """Products of currents are too large for float32 to add up a window of them."""
    net = Net(5, maps=True)
    y = net.g.op("Mul", net.g.op("Mul", net.current(), net.current()), net.current())
    y = net.g.op("AveragePool", net.g.reshape(y, [-1, 2, SIZE, SIZE]), kernel_shape=[3, 3])
    result, found, expected = net.finish(net.g.reshape(y, [STEPS, -1, 2, SIZE - 2, SIZE - 2]))
    assert not result.left
    assert "Slice" in op_types(result.model)
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


def test_large_sums_are_narrowed_in_front_of_what_could_not_add_them_up():
    """Products of products exceed 32 bits: the larger one is brought to input width."""
    net = Net()
    a = net.g.op("Mul", net.current(), net.current())
    b = net.g.op("Mul", net.current(), net.current())
    c = net.g.op("Mul", a, b)
    result, found, expected = net.finish(net.current(net.g.op("Mul", c, net.spikes())))
    assert not result.left
    narrowed = [entry["value"] for entry in result.requantized]
    assert len(narrowed) == len(set(narrowed)) == 5
    assert np.abs(found - expected).mean() < 0.06 * np.abs(expected).max()


def test_a_reader_on_other_steps_does_not_change_what_others_read():
    net = Net()
    stem = net.current()
    total = net.g.op("Add", net.current(stem), net.spikes(stem))
    result, found, expected = net.finish(total)
    assert [entry["value"] for entry in result.requantized] == [stem]
    assert (result.requantized[0]["low"], result.requantized[0]["high"]) == (-128, 127)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_channels_keep_scales_of_their_own():
    net = Net(maps=True)
    weight = net.rng.normal(size=(2, 2, 3, 3)) * np.array([0.01, 3.0]).reshape(2, 1, 1, 1)
    flat = net.g.reshape(net.x, [-1, 2, SIZE, SIZE])
    conv = net.g.op("Conv", flat, net.g.const(weight), pads=[1, 1, 1, 1])
    result, _, _ = net.finish(net.current(net.g.reshape(conv, [STEPS, -1, 2, SIZE, SIZE])))
    (entry,) = result.requantized
    assert entry["channels"] == 2
    assert entry["shift_max"] > entry["shift_min"] or (
        entry["multiplier_max"] > 100 * entry["multiplier_min"]
    )


def test_a_calibration_that_did_not_see_a_value_is_refused():
    net = Net()
    net.g.output(net.g.neuron(into_synapse(net), "LI")[0], 3)
    canonical = canonicalise(net.g.model())
    points = calibration_points(canonical)
    assert len(points) == 2
    scales = {"x": InputScale(0.03, -128, 127)}
    with pytest.raises(ModelError, match=r"no calibrated scale for .*; calibrate this model again"):
        quantize_model(canonical, scales, options_of())


def test_without_analog_values_the_graph_is_as_torch_has_it():
    net = Net()
    net.g.output(net.g.neuron(weighted_spikes(net), "LI")[0], 3)
    canonical = canonicalise(net.g.model())
    scales = {name: InputScale(0.03, -128, 127) for name in calibration_points(canonical)}
    result = quantize_model(canonical, scales, options_of(), analog=False)
    assert [entry.reason for entry in result.left] == ["its sides are integers of different scales"]
    assert not result.requantized


def test_calibration_sees_what_any_scales_may_need():
    """Steps that happen to fit together must not hide a value from calibration."""
    net = Net()
    total = net.g.op("Add", net.x, net.g.op("Mul", net.spikes(), net.g.const(1.0)))
    other = net.g.op("Add", net.current(net.current()), total)
    net.g.output(net.g.neuron(other, "LI")[0], 3)
    canonical = canonicalise(net.g.model())
    points = calibration_points(canonical)
    for step in (1.0, 0.5, 0.03):
        scales = {name: InputScale(step, -128, 127) for name in points}
        assert quantize_model(canonical, scales, options_of()).layers
