"""The seed's operations alone, and neurons composed of them by hand."""

import pytest
import torch
from neuron_cases import currents
from torch import nn

import snnquant.nn as snn
from snnquant.errors import UsageError
from snnquant.nn import Reset

OPERATIONS = {
    name: value
    for name, value in vars(snn).items()
    if isinstance(value, type) and issubclass(value, snn.Operation) and value is not snn.Operation
}


class HandMadeLIF(nn.Module):
    """LIF with refractory time out of basic operations, hard or soft reset."""

    def __init__(self, soft=False):
        super().__init__()
        self.accumulate = snn.AccumulateWithRefractory(v_init=0.25)
        self.fire = snn.FireWithConstantThreshold(v_th_0=0.9, surrogate="sigmoid")
        self.hard = None if soft else snn.HardUpdateAfterSpike(-0.3)
        self.soft = snn.SoftUpdateAfterSpike(-0.9) if soft else None
        self.leak = snn.Leaky(v_leaky_alpha=0.7, v_leaky_beta=0.1)
        self.refractory = snn.Refractory(ref_len=2)

    def forward(self, current):
        v, r, spikes = None, torch.zeros_like(current[0]), []
        for u in current:
            v = self.accumulate(u, v, r)
            spike = self.fire(v)
            v = self.leak((self.soft or self.hard)(v, spike))
            r = self.refractory(r, spike)
            spikes.append(spike)
        return torch.stack(spikes), {"v": v, "r": r}


class HandMadeExtendedLIF(nn.Module):
    """ExtendedLIF out of operations of both levels."""

    def __init__(self, reset, dv):
        super().__init__()
        self.accumulate = snn.AccumulateWithRefractory(v_init=0.25)
        self.threshold = snn.ThresholdAccumulateWithSaturate(v_th_0=0.9, v_l=-0.4)
        self.fire = snn.Fire()
        self.reset = snn.ResetAfterSpike(-0.3, dv, reset=reset)
        self.leak = snn.Leaky(0.7, -0.1)
        self.saturate = snn.Saturate(v_l=-0.4)
        self.refractory = snn.Refractory(1)
        self.adapt = snn.ThresholdDynamics(v_th_alpha=0.8, v_th_beta=-0.05, v_th_incre=0.3)

    def forward(self, current):
        v, r, a, spikes = None, torch.zeros_like(current[0]), torch.zeros_like(current[0]), []
        for u in current:
            threshold = self.threshold(a)
            v = self.accumulate(u, v, r)
            spike = self.fire(v, threshold)
            v = self.saturate(self.leak(self.reset(v, spike, threshold)))
            a = self.adapt(a, spike)
            r = self.refractory(r, spike)
            spikes.append(spike)
        return torch.stack(spikes), {"v": v, "r": r, "a": a}


def assert_same(hand, layer):
    """Hold outputs, states and gradients of both equal."""
    results = []
    for run in (hand, lambda x: layer(x, return_state=True)):
        current = (torch.from_numpy(currents(steps=12)) * 0.3).requires_grad_()
        spikes, state = run(current)
        (spikes.sum() + state["v"].square().sum()).backward()
        results.append((spikes, state, current.grad))
    (spikes, state, gradient), (wanted, wanted_state, wanted_gradient) = results
    assert 0.02 < spikes.detach().mean() < 0.9
    assert torch.equal(spikes, wanted)
    assert set(state) == set(wanted_state)
    assert all(torch.equal(state[name], wanted_state[name]) for name in state)
    torch.testing.assert_close(gradient, wanted_gradient)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_a_lif_composed_by_hand_is_the_layer(soft):
    layer = snn.LIF(
        alpha=0.7, leak_bias=0.1, v_threshold=0.9, v_init=0.25, v_reset=-0.3, refractory_steps=2,
        reset=Reset.SOFT if soft else Reset.HARD, surrogate="sigmoid",
    )  # fmt: skip
    assert_same(HandMadeLIF(soft), layer)


@pytest.mark.parametrize("reset", list(Reset), ids=[r.name for r in Reset])
def test_an_extended_lif_composed_by_hand_is_the_layer(reset):
    dv = {"dv": 0.6} if reset is Reset.SOFT_CONSTANT else {}
    layer = snn.ExtendedLIF(
        alpha=0.7, leak_bias=-0.1, v_threshold=0.9, v_init=0.25, v_reset=-0.3, v_min=-0.4,
        refractory_steps=1, threshold_decay=0.8, threshold_bias=-0.05, threshold_increment=0.3,
        reset=reset, **dv,
    )  # fmt: skip
    assert_same(HandMadeExtendedLIF(reset, dv.get("dv")), layer)


#: Operation, operands and the result.
EXAMPLES = {
    "accumulate": (snn.Accumulate(), (0.5, 0.25), 0.75),
    "accumulate_first": (snn.Accumulate(v_init=1.0), (0.5,), 1.5),
    "accumulate_blocked": (snn.AccumulateWithRefractory(), (0.5, 0.25, 2.0), 0.25),
    "accumulate_free": (snn.AccumulateWithRefractory(), (0.5, 0.25, 0.0), 0.75),
    "accumulate_no_counter": (snn.AccumulateWithRefractory(1.0), (0.5,), 1.5),
    "leaky": (snn.Leaky(alpha=0.5, leak_bias=0.25), (3.0,), 1.75),
    "fire": (snn.Fire(), (1.0, 0.75), 1.0),
    "fire_equal": (snn.Fire(), (1.0, 1.0), 0.0),
    "fire_constant": (snn.FireWithConstantThreshold(0.5), (0.75,), 1.0),
    "hard": (snn.HardUpdateAfterSpike(-1.0), (3.0, 1.0), -1.0),
    "hard_silent": (snn.HardUpdateAfterSpike(-1.0), (3.0, 0.0), 3.0),
    "soft": (snn.SoftUpdateAfterSpike(-1.0), (3.0, 2.0), 1.0),
    "soft_update": (snn.SoftUpdateAfterSpike(), (3.0, 2.0, 0.5), 4.0),
    "saturate": (snn.Saturate(v_min=-1.0), (-3.0,), -1.0),
    "saturate_above": (snn.Saturate(v_l=-1.0), (3.0,), 3.0),
    "saturate_none": (snn.Saturate(v_l=None), (-1000.0,), -1000.0),
    "threshold": (snn.ThresholdAccumulate(v_th_0=1.0), (0.5,), 1.5),
    "threshold_floor": (snn.ThresholdAccumulateWithSaturate(1.0, 0.75), (-0.5,), 0.75),
    "threshold_free": (snn.ThresholdAccumulateWithSaturate(1.0, 0.75), (0.5,), 1.5),
    "refractory": (snn.Refractory(3), (2.0, 0.0), 1.0),
    "refractory_end": (snn.Refractory(3), (0.0, 0.0), 0.0),
    "refractory_start": (snn.Refractory(3), (2.0, 1.0), 3.0),
    "dynamics": (snn.ThresholdDynamics(0.5, 0.25, 2.0), (1.0, 1.0), 2.75),
    "reset_hard": (snn.ResetAfterSpike(v_reset=0.5), (3.0, 1.0), 0.5),
    "reset_soft": (snn.ResetAfterSpike(reset=Reset.SOFT), (3.0, 2.0, 1.25), 0.5),
    "reset_constant": (snn.ResetAfterSpike(dv=0.5, reset=Reset.SOFT_CONSTANT), (3.0, 2.0), 2.0),
    "reset_none": (snn.ResetAfterSpike(reset=Reset.NONE), (3.0, 1.0), 3.0),
}


def test_every_operation_of_the_seed_has_an_example():
    assert len(OPERATIONS) == 13
    assert {type(operation) for operation, *_ in EXAMPLES.values()} == set(OPERATIONS.values())


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 1)], ids=["scalar", "vector", "step"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_operations_work_on_any_shape(name, shape):
    operation, operands, expected = EXAMPLES[name]
    result = operation(*(torch.full(shape, value) for value in operands))
    assert result.shape == shape
    assert (result == torch.tensor(expected)).all()


SMOOTH = [name for name in EXAMPLES if not name.startswith(("fire", "refractory"))]


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_finite_differences(name):
    operation, operands, _ = EXAMPLES[name]
    first, *others = (torch.tensor([value], dtype=torch.float64) for value in operands)

    def call(x):
        return operation.double()(x, *others)

    assert torch.autograd.gradcheck(call, (first.requires_grad_(),))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("fire")])
def test_firing_has_the_gradient_of_its_surrogate(name):
    operation, operands, _ = EXAMPLES[name]
    tensors = [torch.tensor([value], requires_grad=True) for value in operands]
    operation(*tensors).backward()
    threshold = operands[1] if len(operands) > 1 else operation.v_threshold.item()
    wanted = snn.Arctan().derivative(torch.tensor([operands[0] - threshold]))
    torch.testing.assert_close(tensors[0].grad, wanted)
    assert all(torch.equal(t.grad, -tensors[0].grad) for t in tensors[1:])


def test_parameters_may_differ_along_the_operand_and_be_learned():
    leak = snn.Leaky(alpha=torch.tensor([0.5, 0.25]), learn=["alpha"])
    v = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    leak(v).sum().backward()
    assert leak(v).tolist() == [[0.5, 0.5], [1.5, 1.0]]
    assert leak.alpha.grad.tolist() == [4.0, 6.0]
    assert set(leak.state_dict()) == {"alpha", "leak_bias"}
    assert repr(leak) == "Leaky(alpha=[2], leak_bias=0)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.Leaky(1.5), r"Leaky: alpha is 1.5, must be in \[0, 1\]"),
        (lambda: snn.Leaky(v_leaky_alpha=-0.5), "Leaky: alpha is -0.5"),
        (lambda: snn.Leaky(0.5, float("nan")), "Leaky: leak_bias is nan, must be finite"),
        (lambda: snn.Accumulate(v_init=float("inf")), "Accumulate: v_init is inf"),
        (lambda: snn.Refractory(-1), "Refractory: refractory_steps is -1, must be a whole number"),
        (lambda: snn.Refractory(ref_len=1.5), "Refractory: refractory_steps is 1.5"),
        (lambda: snn.ThresholdDynamics(v_th_alpha=2), "ThresholdDynamics: threshold_decay is 2"),
        (lambda: snn.FireWithConstantThreshold("x"), "v_threshold is 'x', must be a number"),
        (lambda: snn.Saturate(torch.tensor([])), "Saturate: v_min is empty"),
        (lambda: snn.Leaky(beta=0.5), "Leaky has no parameter beta; it takes alpha, leak_bias"),
        (lambda: snn.Fire(0.5), "Fire takes no parameters; 1 values are given"),
        (lambda: snn.Leaky(0.5, alpha=0.5), "alpha is given by position and by name"),
        (lambda: snn.Leaky(alpha=0.5, v_leaky_alpha=0.5), "two names of one parameter"),
        (lambda: snn.Fire(surrogate="atan"), "Fire: surrogate is 'atan'"),
        (lambda: snn.Refractory(learn=["refractory_steps"]), "what can be learned is nothing"),
        (lambda: snn.ResetAfterSpike(learn=["dv"]), "what can be learned is v_reset"),
        (lambda: snn.ResetAfterSpike(dv=1.0), "dv belongs to reset=Reset.SOFT_CONSTANT"),
        (lambda: snn.ResetAfterSpike(reset=Reset.SOFT_CONSTANT), "dv is None"),
        (
            lambda: snn.ResetAfterSpike(reset=9),
            "reset is 9, must be a snnquant.nn.Reset or one of hard",
        ),
        (
            lambda: snn.ResetAfterSpike(reset=Reset.SOFT)(torch.ones(1), torch.ones(1)),
            "Reset.SOFT subtracts the threshold",
        ),
        (lambda: snn.SoftUpdateAfterSpike()(torch.ones(1), torch.ones(1)), "not neither"),
        (lambda: snn.SoftUpdateAfterSpike(1.0)(torch.ones(1), torch.ones(1), 1.0), "not both"),
    ],
)
def test_errors_name_the_operation_and_its_parameter(make, message):
    with pytest.raises(UsageError, match=message):
        make()
