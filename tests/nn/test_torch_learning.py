"""Parameters of neurons that training changes."""

import onnx
import pytest
import torch
from neuron_cases import CASES, currents

import snnquant.nn as snn
from snnquant.errors import UsageError
from snnquant.neurons import Quantization
from snnquant.nn import CubaLIF, ExtendedLIF, Reset
from snnquant.nn.parameters import make_learnable

#: Parameter, and a layer whose output is a smooth function of it.
LEARNED = [
    ("alpha", lambda **o: snn.LI(alpha=0.5, **o)),
    ("alpha_syn", lambda **o: snn.LI(alpha=0.5, alpha_syn=0.5, **o)),
    ("leak_bias", lambda **o: snn.LI(alpha=0.5, leak_bias=0.25, **o)),
    ("v_init", lambda **o: snn.LI(alpha=0.5, v_init=0.25, **o)),
]


@pytest.mark.parametrize("case", CASES)
def test_a_learnable_layer_computes_what_a_fixed_one_does(case):
    fixed = CASES[case]()
    names = [
        p.name
        for p in fixed.model.parameters
        if p.rule is not Quantization.STEPS and p.name in fixed.state_dict()
    ]
    learnable = CASES[case]()
    make_learnable(learnable, learnable.model.parameters, names)
    learnable.load_state_dict(fixed.state_dict())
    assert set(learnable.state_dict()) == set(fixed.state_dict())
    assert set(names) <= {name for name, _ in learnable.named_parameters()}
    current = torch.from_numpy(currents())
    assert torch.equal(learnable(current), fixed(current))


@pytest.mark.parametrize(("name", "make"), LEARNED, ids=[name for name, _ in LEARNED])
def test_gradients_of_a_smooth_neuron_are_those_of_finite_differences(name, make):
    layer = make(learn=(name,)).double()
    current = torch.from_numpy(currents()).double()
    weights = torch.linspace(-1, 1, current.numel(), dtype=torch.float64).view_as(current)

    def loss(value):
        return (torch.func.functional_call(layer, {name: value}, (current,)) * weights).sum()

    assert torch.autograd.gradcheck(loss, (layer.parameter_value(name),))


@pytest.mark.parametrize("reset", list(Reset), ids=[r.name for r in Reset])
def test_gradients_reach_every_parameter_of_spiking_neurons(reset):
    adaptive = ["threshold_decay", "threshold_bias", "threshold_increment"]
    learn = ["alpha", "leak_bias", "v_threshold", "v_init", "v_min", *adaptive]
    if reset is Reset.HARD:
        learn.append("v_reset")
    dv = {"dv": 0.75} if reset is Reset.SOFT_CONSTANT else {}
    layer = ExtendedLIF(
        alpha=0.5, threshold_increment=0.25, threshold_decay=0.5, v_min=-0.25, leak_bias=-0.125,
        reset=reset, learn=[*learn, *dv], **dv,
    )  # fmt: skip
    layer(torch.from_numpy(currents())).sum().backward()
    for name in [*learn, *dv]:
        gradient = layer.get_parameter(name).grad
        assert gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name


def test_a_soft_reset_moves_the_threshold_that_it_subtracts():
    layer = snn.LIF(reset=Reset.SOFT, learn=["v_threshold"])
    _, state = layer(torch.full((1, 1, 1), 1.5), return_state=True)
    state["v"].sum().backward()
    alone = snn.LIF(reset=Reset.SOFT_CONSTANT, dv=1.0, learn=["v_threshold", "dv"])
    _, state = alone(torch.full((1, 1, 1), 1.5), return_state=True)
    state["v"].sum().backward()
    parts = alone.v_threshold.grad + alone.dv.grad
    torch.testing.assert_close(layer.v_threshold.grad, parts)
    assert alone.dv.grad.item() == -1


def test_training_learns_the_leak_of_another_neuron():
    torch.manual_seed(0)
    current = torch.rand(12, 32, 4) * 0.6
    teacher = CubaLIF(alpha=torch.tensor([0.2, 0.5, 0.8, 0.95]), alpha_syn=0.3)
    student = CubaLIF(alpha=torch.full((4,), 0.5), alpha_syn=0.3, learn=["alpha"])
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    with torch.no_grad():
        wanted = teacher(current).cumsum(0)
        before = (student(current).cumsum(0) - wanted).square().mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = (student(current).cumsum(0) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < before / 4
    assert (student.alpha - teacher.alpha).abs().max() < 0.1


def test_a_learned_layer_exports_its_values(tmp_path):
    layer = snn.LIF(alpha=0.5, learn="alpha")
    with torch.no_grad():
        layer.alpha.fill_(0.75)
    model = snn.export_onnx(layer, None, torch.rand(4, 2, 3), time_axis=0)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert [v.tolist() for name, v in values.items() if name.endswith("alpha")] == [[0.75]]
    assert repr(layer) == "LIF(alpha=0.75, learn=('alpha',))"


def test_a_value_that_left_its_range_is_an_error_where_it_would_be_believed():
    layer = snn.LIF(alpha=0.5, learn=["alpha"])
    with torch.no_grad():
        layer.alpha.fill_(1.25)
    layer(torch.rand(2, 1, 3))
    message = r"LIF: alpha is 1.25, must be in \[0, 1\]"
    with pytest.raises(UsageError, match=message):
        snn.export_onnx(layer, None, torch.rand(4, 2, 3), time_axis=0)
    with pytest.raises(UsageError, match=message):
        snn.LIF().load_state_dict(layer.state_dict())


def test_a_changed_buffer_is_read_again():
    layer = snn.LIF(alpha=0.5)
    current = torch.full((2, 1, 1), 0.75)
    assert layer(current).flatten().tolist() == [0, 1]
    with torch.no_grad():
        layer.v_threshold.fill_(0.5)
    assert layer(current).flatten().tolist() == [1, 1]
    layer.v_threshold = torch.tensor([5.0])
    assert layer(current).flatten().tolist() == [0, 0]


def test_layers_run_under_the_function_transforms_of_torch():
    layers = [snn.LIF(alpha=0.5, v_threshold=t) for t in (0.5, 1.0, 1.5)]
    current = torch.from_numpy(currents())
    parameters, buffers = torch.func.stack_module_state(layers)

    def call(parameters, buffers):
        return torch.func.functional_call(layers[0], (parameters, buffers), (current,))

    together = torch.func.vmap(call)(parameters, buffers)
    assert torch.equal(together, torch.stack([layer(current) for layer in layers]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.LIF(learn=["beta"]), "LIF: learn has beta; what can be learned is alpha"),
        (lambda: snn.LIF(learn=["refractory_steps"]), "learn has refractory_steps"),
        (lambda: snn.LIF(learn=["dv"]), "dv is read with reset=Reset.SOFT_CONSTANT only"),
        (lambda: snn.LI(learn=["v_threshold"]), "LI: learn has v_threshold"),
    ],
    ids=["unknown", "steps", "dv", "other_neuron"],
)
def test_what_cannot_be_learned_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
