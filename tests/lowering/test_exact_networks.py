"""Where integers can hold everything, the integer network is the float network, spike by spike."""

import numpy as np
import pytest
from graphs import Graph, options_of, quantize, run_everywhere, run_float
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from snnquant.neurons import Reset

T = 4


def dyadic(rng, *shape, axis=0):
    """Weights k/64 with k in -127..127, each channel with one of the two ends."""
    steps = rng.integers(-127, 128, shape)
    rows = np.moveaxis(steps, axis, 0).reshape(shape[axis], -1)
    rows[:, rng.integers(rows.shape[1])] = rng.choice([-127, 127], len(rows))
    full = rows.reshape(shape[axis], *[s for k, s in enumerate(shape) if k != axis % len(shape)])
    return np.moveaxis(full, 0, axis) / 64


def network(seed, choices, op, gain, analog):
    """Convolution, pooling, a residual, a recurrent layer and a membrane, all in steps of 1/64."""
    rng = np.random.default_rng(seed)
    g = Graph()
    x = g.input("x", [T, "B", 2, 4, 4])

    def neuron(current, op=op, **more):
        dv = 70 if choices["reset"] == Reset.SOFT_CONSTANT else 130
        steps = {"v_threshold": 130, "dv": dv, "v_reset": 5, "v_init": -3, "leak_bias": 2}
        real = {k: v / 64 for k, v in steps.items()}
        if op == "LI":
            real = {"leak_bias": 2 / 64, "v_init": -3 / 64}
        elif op == "ExtendedLIF":
            real |= {"v_min": -500 / 64, "threshold_decay": gain, "threshold_increment": 9 / 64}
        else:
            more["alpha"] = gain
        if op == "CubaLIF":
            real["alpha_syn"] = 1.0 - gain
        return g.neuron(current, op, choices=None if op == "LI" else choices, **real, **more)[0]

    y = g.reshape(x, [-1, 2, 4, 4])
    bias = g.const(rng.integers(-60, 60, 3) / 64)
    y = g.op("Conv", y, g.const(dyadic(rng, 3, 2, 3, 3)), bias, pads=[1, 1, 1, 1])
    first = neuron(g.reshape(y, [T, -1, 3, 4, 4]))
    y = g.op("AveragePool", g.reshape(first, [-1, 3, 4, 4]), kernel_shape=[2, 2], strides=[2, 2])
    flat = g.reshape(y, [T, -1, 12])
    second = neuron(g.op("MatMul", flat, g.const(dyadic(rng, 12, 5, axis=1))))
    y = g.op("MatMul", second, g.const(dyadic(rng, 5, 5, axis=1)))
    third = neuron(g.op("Add", y, second))
    both = g.op("Concat", g.op("Mul", second, third), g.op("Add", second, third), axis=2)
    y = g.op("MatMul", both, g.const(dyadic(rng, 10, 4, axis=1)))
    fourth = neuron(y, "LIFRecurrent", weight=dyadic(rng, 4, 4, axis=1))
    read = neuron(g.op("MatMul", fourth, g.const(np.full((4, 1), 127 / 64))), "LI")
    for value, rank in ((first, 5), (second, 3), (third, 3), (fourth, 3), (read, 3)):
        g.output(value, rank)
    shape = (T, 3, 2, 4, 4)
    data = rng.integers(-128, 128, shape) / 32 if analog else rng.integers(0, 2, shape)
    return g.model(), {"x": data.astype(np.float32)}


@pytest.mark.parametrize("op", ["LIF", "CubaLIF", "ExtendedLIF"])
@given(
    seed=st.integers(0, 2**16),
    max_spikes=st.sampled_from([1, 3]),
    choices=st.fixed_dictionaries(
        {
            "reset": st.integers(0, 3),
            "reset_after_leak": st.integers(0, 1),
            "fire_on_equal": st.integers(0, 1),
            "refractory": st.integers(0, 1),
        }
    ),
    gain=st.sampled_from([0.0, 1.0]),
    analog=st.booleans(),
)
@settings(max_examples=10, phases=[Phase.explicit, Phase.generate])
def test_integer_network_is_the_float_network(op, seed, max_spikes, choices, gain, analog):
    # How many spikes a step has is only defined for a reset by the threshold.
    soft_constant = choices["reset"] == Reset.SOFT_CONSTANT
    choices = {**choices, "max_spikes": 1 if soft_constant else max_spikes}
    model, feeds = network(seed, choices, op, gain, analog)
    expected = run_float(model, feeds)
    result = quantize(model, options_of(), spikes=() if analog else ["x"])
    values, _ = run_everywhere(result.model, feeds)
    assert not result.left
    assert expected[0].any()
    for value, float_value in zip(model.graph.output, expected, strict=True):
        np.testing.assert_array_equal(values[value.name], float_value, err_msg=value.name)


@pytest.mark.parametrize("seed", range(5))
def test_seed_arithmetic_of_a_seed_network_is_exact_too(seed):
    """On tianjic the end of the grid is -128, and a leak of 1/2 floors even numbers exactly."""
    rng = np.random.default_rng(seed)
    g = Graph()
    x = g.input("x", [2, "B", 6])
    weight = rng.integers(-63, 64, (6, 5)) * 2
    weight[rng.integers(6), rng.integers(5)] = -128
    y = g.op("MatMul", x, g.const(weight / 64))
    spikes = g.neuron(y, alpha=0.5, v_threshold=1.0, v_reset=-2 / 64, v_init=4 / 64)[0]
    g.output(spikes, 3)
    model = g.model()
    feeds = {"x": rng.integers(0, 2, (2, 4, 6)).astype(np.float32)}
    result = quantize(model, options_of("tianjic"), spikes=["x"])
    values, _ = run_everywhere(result.model, feeds)
    (expected,) = run_float(model, feeds)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(values[spikes], expected)
