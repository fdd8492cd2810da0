"""snnTorch modules: every neuron and reset becomes what it computes, or is refused by its path."""

import pytest
import torch
from torch import nn
from torch_nets import SnnTorchLoop, neurons, parameters, read, same_as_torch, snntorch

from snnquant.errors import ModelError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore")
SOFT, HARD, NONE = 1, 0, 3


def leaky(size, **options):
    return snntorch.Leaky(torch.linspace(0.5, 0.95, size), threshold=0.8, **options)


@pytest.mark.parametrize(
    ("make", "ops", "choices"),
    [
        (lambda n: leaky(n), ["LIF", "LIF"], {"reset": SOFT, "reset_after_leak": 1}),
        (
            lambda n: leaky(n, reset_mechanism="zero"),
            ["LIF", "LIF"],
            {"reset": HARD, "refractory": 0},
        ),
        (
            lambda n: leaky(n, reset_mechanism="zero", reset_delay=False),
            ["LIF", "LIF"],
            {"reset": HARD, "reset_after_leak": 0},
        ),
        (lambda n: leaky(n, reset_mechanism="none"), ["LIF", "LIF"], {"reset": NONE}),
        (
            lambda n: snntorch.Lapicque(beta=0.7, reset_mechanism="zero", threshold=0.2),
            ["LIF", "LIF"],
            {"reset": HARD, "refractory": 1},
        ),
        (
            lambda n: snntorch.Synaptic(0.7, 0.9),
            ["CubaLIF", "CubaLIF"],
            {"reset": SOFT, "reset_after_leak": 1},
        ),
        (
            lambda n: snntorch.Synaptic(0.7, 0.9, reset_mechanism="zero"),
            ["CubaLIF", "CubaLIF"],
            {"reset": HARD, "refractory": 1},
        ),
        (
            lambda n: snntorch.RLeaky(0.9, linear_features=n, reset_mechanism="zero"),
            ["LIFRecurrent", "LIFRecurrent"],
            {"reset": HARD, "refractory": 1},
        ),
        (
            lambda n: snntorch.RSynaptic(0.7, 0.9, all_to_all=False, V=torch.linspace(-1, 1, n)),
            ["CubaLIFRecurrent", "CubaLIFRecurrent"],
            {"reset": SOFT},
        ),
    ],
    ids=[
        "leaky-subtract",
        "leaky-zero",
        "leaky-zero-now",
        "leaky-none",
        "lapicque",
        "synaptic",
        "synaptic-zero",
        "rleaky",
        "rsynaptic",
    ],
)
def test_every_neuron_computes_what_it_did(make, ops, choices):
    torch.manual_seed(0)
    net = SnnTorchLoop(make(16), make(6))
    reading = read(net, 1, 12)
    assert neurons(reading) == ops
    found = parameters(reading, "lif1")[1]
    assert {name: found[name] for name in choices} == choices
    assert [origin.found_at for origin in reading.origins] == [("lif1",), ("lif2",)]
    same_as_torch(reading, net, 7, 12)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: leaky(n, graded_spikes_factor=0.5),
        lambda n: snntorch.RLeaky(0.9, linear_features=n, reset_mechanism="zero"),
    ],
    ids=["leaky", "rleaky"],
)
def test_graded_spikes_are_spikes_times_a_factor(make):
    torch.manual_seed(0)
    net = SnnTorchLoop(make(16), make(6))
    net.lif1.graded_spikes_factor = torch.tensor(0.5)
    net.lif2.graded_spikes_factor = torch.tensor(2.0)
    same_as_torch(read(net, 1, 12), net, 7, 12)


def test_parameters_are_those_of_the_module():
    net = SnnTorchLoop(leaky(16), snntorch.Leaky(1.5, threshold=0.8), "both")
    reading = read(net, 1, 12)
    values, _ = parameters(reading, "lif1")
    assert values["alpha"].tolist() == pytest.approx(torch.linspace(0.5, 0.95, 16).tolist())
    assert values["v_threshold"].tolist() == pytest.approx([0.8])
    assert parameters(reading, "lif2")[0]["alpha"].tolist() == [1.0]  # clamped, as forward does
    assert neurons(reading) == ["LIF", "LIFMembrane"]
    same_as_torch(reading, net, 4, 12)


@pytest.mark.parametrize(("read_out", "steps"), [("last", 5), ("all", 4)])
def test_membranes_without_a_reset_are_a_read_out(read_out, steps):
    second = snntorch.Leaky(0.8, reset_mechanism="none")
    net = SnnTorchLoop(snntorch.Leaky(0.9), second, read_out, steps)
    reading = read(net, 1, 12, timesteps=steps)
    assert neurons(reading) == ["LIF", "LI"]
    same_as_torch(reading, net, 3, 12, gain=4.0)


def test_a_step_per_call_is_called_for_every_step():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        snntorch.Leaky(0.9, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
        snntorch.Leaky(0.9, init_hidden=True, output=True),
    )
    with pytest.raises(UsageError, match="is one time step; give --timesteps"):
        read(net, 1, 1, 4, 4)
    reading = read(net, 1, 1, 4, 4, timesteps=3)
    assert neurons(reading) == ["LIF", "LIFMembrane"]
    shapes = [
        [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in reading.model.graph.output
    ]
    assert shapes == [[3, 0, 5], [3, 0, 5]]  # the batch is dynamic
    assert any("called for 3 steps" in note for note in reading.notes)


@pytest.mark.parametrize(("axis", "shape"), [(0, (4, 3, 12)), (1, (3, 4, 12))])
@pytest.mark.parametrize("spelling", ["index", "unbind"])
def test_steps_that_the_loop_picks_are_taken_together(axis, shape, spelling):
    class Net(SnnTorchLoop):
        def forward(self, x):
            mem = self.lif1.reset_mem()
            spikes = []
            steps = x.unbind(axis) if spelling == "unbind" else range(x.shape[axis])
            for step in steps:
                seen = step if spelling == "unbind" else x.select(axis, step)
                out, mem = self.lif1(self.fc1(seen), mem)
                spikes.append(out)
            return torch.stack(spikes, axis)

    net = Net(snntorch.Leaky(0.9), snntorch.Leaky(0.9))
    reading = read(net, *shape, time_axis=axis)
    assert neurons(reading) == ["LIF"]
    assert sum(node.op_type in ("Gemm", "MatMul") for node in reading.model.graph.node) == 1
    same_as_torch(reading, net, *shape)


def test_stale_states_do_not_leak_in():
    net = SnnTorchLoop(snntorch.Leaky(0.9), snntorch.Leaky(0.9))
    net.lif1.mem = torch.full((1, 16), 100.0)
    same_as_torch(read(net, 1, 12), net, 3, 12)


@pytest.mark.parametrize(
    ("neuron", "reason"),
    [
        (lambda: snntorch.Leaky(0.9, reset_delay=False), "reset_delay=False with 'subtract'"),
        (lambda: snntorch.Leaky(0.9, inhibition=True), "only one neuron of a layer"),
        (lambda: snntorch.Leaky(0.9, state_quant=torch.round), "state_quant rounds"),
        (lambda: snntorch.Leaky(float("nan")), "beta is not finite"),
    ],
    ids=["reset-delay", "inhibition", "state-quant", "nan"],
)
def test_what_no_neuron_expresses_is_refused_by_its_path(neuron, reason):
    with pytest.raises(ModelError, match=r"module 'lif1' \(snnTorch \w+\)") as caught:
        read(SnnTorchLoop(neuron(), snntorch.Leaky(0.9)), 1, 12)
    assert reason in str(caught.value)


def test_a_membrane_from_elsewhere_is_refused():
    class Net(SnnTorchLoop):
        def forward(self, x):
            return self.lif1(self.fc1(x), torch.ones(x.shape[0], 16))[0]

    with pytest.raises(ModelError, match=r"module 'lif1'.*neither zero nor its own last one"):
        read(Net(snntorch.Leaky(0.9), snntorch.Leaky(0.9)), 1, 12, timesteps=2)


def test_a_reset_of_another_checkpoint_is_refused():
    net = SnnTorchLoop(snntorch.Leaky(0.9), snntorch.Leaky(0.9))
    net.lif1.reset_mechanism_val = torch.tensor(1)
    with pytest.raises(ModelError, match="reset_mechanism is another than the module's"):
        read(net, 1, 12)
