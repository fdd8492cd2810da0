"""Leaks of a target: the best shift, the shift's arithmetic, and what rounding adds up to."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import Graph, options_of, quantize, stored

from snnquant.lowering.decided import Decided
from snnquant.lowering.leak import centred, mean_error, membrane_offset
from snnquant.lowering.plan import InputScale
from snnquant.neurons.arithmetic import IntegerArithmetic
from snnquant.neurons.numpy_backend import NumpyBackend
from snnquant.numerics import Rounding, quantize_shift
from snnquant.passes import canonicalise
from snnquant.quantize import quantize_model
from snnquant.target import load_target

FLOOR = replace(load_target("generic"), state_bits=16, leak_rounding=Rounding.FLOOR)
SHIFT = replace(FLOOR, leak_rounding=Rounding.CEIL, leak_form="shift")
REAL = {"leak_bias": 0.0, "v_threshold": 1.0, "dv": 1.0, "v_reset": 0.0, "v_init": 0.0}


def arithmetic(shift, rounding, bits=16):
    return IntegerArithmetic.of_width(
        NumpyBackend(), leak_shift=shift, leak_rounding=rounding, current_shift=0, bits=bits
    )


@pytest.mark.parametrize("s", range(9))
def test_ceil_of_a_shift_is_the_subtraction_of_a_shifted_state(s):
    v = np.arange(-(2**12), 2**12)
    k = int(2**8 - 2 ** (8 - s))
    assert (arithmetic(8, Rounding.CEIL).scale(k, v) == v - (v >> s)).all()


def test_the_best_shift_is_closest_in_what_is_remembered():
    n = np.arange(20000)
    shifts = 1 - 2.0 ** -np.arange(9)
    kernels = [np.where(n == 0, 1.0, b**n) for b in shifts]
    for alpha in (0.0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.9, 0.93, 0.97, 0.98, 0.99, 0.995):
        real = np.where(n == 0, 1.0, alpha**n)
        alike = [kernel @ real / np.linalg.norm(kernel) for kernel in kernels]
        (k,) = quantize_shift([alpha], 8)
        assert 1 - k / 256 == 2.0 ** -int(np.argmax(alike))
    assert quantize_shift([1.0, 0.9999999, 0.97], 8).tolist() == [256, 255, 248]
    assert quantize_shift(0.97, 15) == 2**15 - 2**10


@pytest.mark.parametrize("rounding", [r for r in Rounding if r is not Rounding.TOWARD_ZERO])
def test_the_mean_error_is_that_over_all_states(rounding):
    v = np.arange(-64, 64)
    for k in range(65):
        given = arithmetic(6, rounding).scale(k, v)
        assert mean_error(np.array(k), 6, rounding) == (given - k * v / 64).mean()


@pytest.mark.parametrize("target", [FLOOR, SHIFT], ids=["floor", "shift"])
@pytest.mark.parametrize("leak_bias", [0.0, 0.03])
def test_centred_membranes_lie_where_exact_ones_do(target, leak_bias):
    scale, rng = np.array([1 / 40]), np.random.default_rng(1)
    alpha = 1 - 2.0**-5
    real = {n: np.array([v]) for n, v in (REAL | {"alpha": alpha, "leak_bias": leak_bias}).items()}
    moved = centred(real, 1.0, scale, target, 1)
    offset = membrane_offset(real, scale, target, 1)
    assert abs(offset[0]) > 5
    ops, bias = arithmetic(15, target.leak_rounding), int(np.rint(leak_bias * 40))
    v = np.full(4000, np.rint(moved["v_init"] / scale))
    exact, errors = np.zeros(4000), []
    for _ in range(150):
        u = rng.integers(-40, 41, 4000)
        exact = alpha * (exact + u) + leak_bias * 40
        v = ops.scale(int(alpha * 2**15), v.astype(np.int64) + u) + bias
        errors.append((v - exact).mean())
    assert np.abs(np.array(errors) - offset).max() < 1.1
    for name in ("v_threshold", "v_reset", "v_init"):
        assert moved[name] == pytest.approx(real[name] + offset * scale)
    assert moved["dv"] == real["dv"]


def test_a_neuron_is_emitted_with_moved_levels():
    g = Graph()
    x = g.input("x", [6, "B", 2])
    current = g.op("MatMul", x, g.const(np.eye(2)), name="fc")
    g.output(g.neuron(current, "LIF", name="n", alpha=1 - 2**-5, v_threshold=1.0)[0], 3)
    model, options = canonicalise(g.model()), options_of(FLOOR)
    scale = np.array([1 / 64])
    plain, moved = (
        quantize_model(
            model,
            {"x": InputScale(1.0, 0, 1)},
            options,
            decided={"fc": Decided(scale), "n": Decided(scale, centred=share)},
        ).model
        for share in (0.0, 1.0)
    )
    # floor errs by 31/64 of a step, 32 times: 15.5 steps.
    for name, before, after in (("v_reset", 0, -16), ("v_init", 0, -16), ("fire_above", 64, 48)):
        assert stored(plain, f"n.{name}").tolist() == [before]
        assert stored(moved, f"n.{name}").tolist() == [after]
    assert stored(moved, "n.reset_by").tolist() == [64]


def test_a_shift_target_gives_shifts_to_every_leak():
    g = Graph()
    x = g.input("x", [6, "B", 2])
    current = g.op("MatMul", x, g.const(np.eye(2)))
    spikes = g.neuron(current, "CubaLIF", name="n", alpha=0.97, alpha_syn=0.8, v_threshold=1.0)[0]
    g.output(spikes, 3)
    model = quantize(g.model(), options_of(SHIFT)).model
    assert stored(model, "n.alpha").tolist() == [2**15 - 2**10]
    assert stored(model, "n.alpha_syn").tolist() == [2**15 - 2**13]
