"""Whatever the step of a neuron may use runs in all arithmetics, in aware mode like in integers."""

import inspect

import numpy as np
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from snnquant.neurons import NEURONS, constants_of
from snnquant.neurons.arithmetic import Arithmetic, FloatArithmetic, IntegerArithmetic
from snnquant.neurons.definition import Constants
from snnquant.neurons.numpy_backend import NumpyBackend
from snnquant.nn.quantized.aware import AwareArithmetic, Pair
from snnquant.nn.torch_backend import TorchBackend
from snnquant.ops.trace import OnnxBackend, Scope

SCALE = 2.0**-6
NUMERIC = {"leak_shift": 8, "leak_rounding": 0, "current_shift": 0, "bits": 16}


def integers(backend, current_shift=0):
    return IntegerArithmetic.of_width(backend, **{**NUMERIC, "current_shift": current_shift})


def aware():
    scale = torch.tensor(SCALE)
    return AwareArithmetic(integers(TorchBackend()), FloatArithmetic(TorchBackend()), scale)


def pair(whole, step=SCALE):
    whole = torch.as_tensor(np.asarray(whole))
    return Pair(whole, (whole * step).float())


class Watched:
    """Notes which functions of an arithmetic a step used."""

    def __init__(self, arithmetic):
        self.arithmetic, self.used = arithmetic, set()

    def __getattr__(self, name):
        self.used.add(name)
        return getattr(self.arithmetic, name)


def everything(ops, state, current, p):
    """A step that means nothing and uses all that a step may."""
    u = ops.align(current)
    v = ops.saturate(2 * u + state * 1 - (0 - u) + (-u) + (0 + u) - u * 1)
    v = ops.add(ops.scale(p.alpha, v), p.bias)
    spike = ops.fire(v, p.threshold, p.threshold, p)
    v = ops.where(ops.equal(spike, 0), v, p.bias)
    v = ops.where(ops.equal(spike, state), ops.zeros_like(v), v)
    v = ops.where(ops.equal(spike, 1), 0, v)
    left = ops.maximum(1 - spike, 0)
    return ops.maximum(ops.saturate(v - left * p.bias), p.bias)


NUMBERS = {"alpha": 128, "bias": -8, "threshold": 40}
SEEN = np.random.default_rng(3).integers(-90, 90, 200)
STATE = np.random.default_rng(4).integers(-2, 3, 200)


def constants(make, alpha):
    values = {name: make(np.array([value])) for name, value in NUMBERS.items()}
    return Constants(**{**values, "alpha": alpha}, max_spikes=1, fire_on_equal=0)


def in_numpy():
    return everything(integers(NumpyBackend()), STATE, SEEN, constants(np.asarray, 128))


def traced(scope, value):
    return scope.constant(value)


def test_a_step_may_use_all_of_the_protocol_in_every_arithmetic():
    listed = {n for n, _ in inspect.getmembers(Arithmetic, inspect.isfunction) if n[0] != "_"}
    expected = in_numpy()
    assert len(set(expected)) > 10
    tensor = everything(
        integers(TorchBackend()),
        torch.from_numpy(STATE),
        torch.from_numpy(SEEN),
        constants(torch.from_numpy, torch.tensor([128])),
    )
    assert tensor.tolist() == expected.tolist()
    watched = Watched(aware())
    both = everything(watched, pair(STATE), pair(SEEN), constants(pair, pair([128], 2.0**-8)))
    assert both.integer.tolist() == expected.tolist()
    assert both.real.tolist() == (expected * SCALE).tolist()
    assert watched.used == listed
    for backend, dtype in ((NumpyBackend(), np.asarray), (TorchBackend(), torch.as_tensor)):
        real = everything(
            FloatArithmetic(backend), dtype(STATE * SCALE), dtype(SEEN * SCALE),
            constants(lambda v, d=dtype: d(v * SCALE), dtype(np.array([0.5]))),
        )  # fmt: skip
        assert real.shape == (200,)


def test_the_tracer_has_all_of_the_protocol():
    scope = Scope(np.int64)
    value = lambda array: OnnxBackend(scope)._node("Identity", array)  # noqa: E731
    result = everything(
        integers(OnnxBackend(scope)), value(STATE), value(SEEN), constants(value, value([128]))
    )
    output = helper.make_tensor_value_info(result.name, TensorProto.INT64, None)
    graph = helper.make_graph(scope.nodes, "step", [], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (found,) = ort.InferenceSession(model.SerializeToString()).run(None, {})
    assert found.tolist() == in_numpy().tolist()


def _choices(model):
    """Yield every choice of a neuron at both ends, one after the other."""
    yield {}
    for choice in model.integer_choices():
        for value in {choice.low, min(choice.low + 1, choice.high), min(choice.high, 5)}:
            yield {choice.name: value}


@pytest.mark.parametrize("current_shift", [0, 2, -2])
@pytest.mark.parametrize("model", NEURONS, ids=lambda m: m.name)
def test_every_neuron_in_aware_mode_is_the_integer_one(model, current_shift):
    random = np.random.default_rng(6)
    for choices in _choices(model):
        whole = {p.constant_name: random.integers(1, 200, (1, 5)) for p in model.parameters}
        state = {s.name: random.integers(0, 60, (3, 5)) for s in model.states}
        p = constants_of(model, whole, choices)
        q = constants_of(model, {name: pair(value) for name, value in whole.items()}, choices)
        both = {name: pair(value) for name, value in state.items()}
        ops = aware()
        ops.exact = integers(TorchBackend(), current_shift)
        for _ in range(4):
            current = random.integers(-200, 300, (3, 5))
            out, state, membrane = model.step(
                integers(NumpyBackend(), current_shift), state, current, p
            )
            out2, both, membrane2 = model.step(ops, both, pair(current), q)
            assert np.array_equal(out, out2.integer.numpy()), choices
            assert np.array_equal(membrane, membrane2.integer.numpy())
            for name, value in state.items():
                assert np.array_equal(
                    np.broadcast_to(value, (3, 5)), both[name].integer.expand(3, 5).numpy()
                )
