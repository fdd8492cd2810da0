"""SpikingJelly, Norse and sinabs modules: every option that can be expressed, in float exactly."""

import pytest
import torch
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, SingleSpike
from torch import nn
from torch_nets import (
    NorseLoop,
    SinabsNet,
    SpikingJellyLoop,
    functional,
    layer,
    neuron,
    neurons,
    norse,
    parameters,
    read,
    same_as_torch,
    sl,
)

from snnquant.errors import ModelError

pytestmark = pytest.mark.filterwarnings("ignore")
HARD, SOFT, SOFT_CONSTANT = 0, 1, 2


@pytest.mark.parametrize(
    ("make", "ops", "values"),
    [
        (
            lambda: neuron.IFNode(v_threshold=0.8, v_reset=None),
            ["LIF", "LIF"],
            {"alpha": 1.0, "v_threshold": 0.8},
        ),
        (
            lambda: neuron.LIFNode(tau=4.0, v_reset=-0.2, v_threshold=0.25),
            ["LIF", "LIF"],
            {"alpha": 0.75, "leak_bias": -0.05, "v_reset": -0.2, "v_init": -0.2},
        ),
        (
            lambda: neuron.LIFNode(tau=4.0, decay_input=False, v_reset=None),
            ["LIF", "LIF"],
            {"alpha": 0.75, "leak_bias": 0.0},
        ),
        (
            lambda: neuron.ParametricLIFNode(init_tau=2.5, v_threshold=0.5, v_reset=0.1),
            ["LIF", "LIF"],
            {"alpha": 0.6, "leak_bias": 0.04},
        ),
        (lambda: neuron.HalfThresholdIFNode(0.8), ["LIF", "LIF"], {"v_init": 0.4}),
        (
            lambda: neuron.SimpleLIFNode(2.0, True, v_reset=0.1, v_threshold=0.5),
            ["LIF", "LIF"],
            {"v_init": 0.05, "leak_bias": 0.05},
        ),
        (
            lambda: neuron.CUBALIFNode(v_reset=0.1),
            ["CubaLIF", "CubaLIF"],
            {"alpha": 0.75, "alpha_syn": 0.5, "v_init": 0.075},
        ),
    ],
    ids=["if-soft", "lif-hard", "lif-no-decay", "plif", "half", "simple", "cuba"],
)
def test_spikingjelly_step_by_step(make, ops, values):
    net = SpikingJellyLoop(make(), make())
    reading = read(net, 1, 12)
    assert neurons(reading) == ops
    found, choices = parameters(reading, "net.1")
    assert {k: found[k].tolist() for k in values} == {
        k: pytest.approx([v]) for k, v in values.items()
    }
    assert choices["fire_on_equal"] == 1
    same_as_torch(reading, net, 5, 12)


def test_spikingjelly_over_all_steps_at_once():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(layer.Conv2d(1, 4, 3, padding=1), layer.BatchNorm2d(4))
            self.layers = nn.Sequential(
                neuron.LIFNode(tau=2.0),
                layer.MaxPool2d(2),
                layer.Flatten(),
                layer.Linear(16, 5),
                neuron.LIFNode(tau=2.0, v_threshold=float("inf"), store_v_seq=True),
            )
            functional.set_step_mode(self, "m")

        def forward(self, x):
            functional.reset_net(self)
            self.layers(self.conv(x.unsqueeze(0).repeat(4, 1, 1, 1, 1)))
            return self.layers[4].v_seq.mean(0)

    net = Net()
    reading = read(net, 1, 1, 4, 4)
    assert neurons(reading) == ["LIF", "LI"]
    assert "Tile" not in [node.op_type for node in reading.model.graph.node]
    same_as_torch(reading, net, 3, 1, 4, 4, gain=4.0)


def test_spikingjelly_membrane_after_the_last_reset():
    net = SpikingJellyLoop(
        neuron.LIFNode(v_threshold=0.3), neuron.IFNode(v_reset=None, v_threshold=0.3), "v"
    )
    reading = read(net, 1, 12)
    assert neurons(reading) == ["LIF", "LIFMembrane"]
    same_as_torch(reading, net, 4, 12)


def norse_parameters(**values):
    given = {"tau_mem_inv": 300.0, "tau_syn_inv": 400.0, "v_th": 0.3} | values
    return norse.LIFParameters(**{name: torch.as_tensor(v) for name, v in given.items()})


@pytest.mark.parametrize(
    ("first", "second", "ops"),
    [
        (lambda: norse.LIFBoxCell(), lambda: norse.LIBoxCell(), ["LIF", "LI"]),
        (
            lambda: norse.LIFCell(norse_parameters(v_leak=0.05, v_reset=-0.1)),
            lambda: norse.LICell(),
            ["CubaLIF", "LI"],
        ),
        (
            lambda: norse.LIFRecurrentCell(16, 16, norse_parameters()),
            lambda: norse.LILinearCell(6, 4),
            ["CubaLIFRecurrent", "LI"],
        ),
        (lambda: norse.IAFCell(), lambda: norse.LIFCell(norse_parameters()), ["LIF", "CubaLIF"]),
    ],
    ids=["box", "lif", "recurrent", "iaf"],
)
def test_norse_cells(first, second, ops):
    torch.manual_seed(0)
    net = NorseLoop(first(), second())
    reading = read(net, 1, 12)
    assert neurons(reading) == ops
    same_as_torch(reading, net, 4, 12, gain=3.0)


def test_norse_layers_over_time():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = norse.SequentialState(
                nn.Linear(12, 16),
                norse.LIF(norse_parameters()),
                norse.LIFRecurrent(16, 10, norse_parameters()),
                nn.Linear(10, 5),
                norse.LI(),
            )

        def forward(self, x):
            return self.net(x)[0]

    torch.manual_seed(0)
    net = Net()
    reading = read(net, 6, 1, 12, time_axis=0)
    assert neurons(reading) == ["CubaLIF", "CubaLIFRecurrent", "LI"]
    same_as_torch(reading, net, 6, 3, 12, gain=4.0)


@pytest.mark.parametrize(
    ("make", "ops", "choices"),
    [
        (lambda n: sl.LIF(5.0), ["LIF", "LIF"], {"reset": SOFT, "max_spikes": 255}),
        (
            lambda n: sl.LIF(torch.linspace(2, 9, n), spike_fn=MaxSpike(3), norm_input=False),
            ["LIF", "LIF"],
            {"reset": SOFT, "max_spikes": 3},
        ),
        (
            lambda n: sl.LIF(
                5.0, spike_fn=SingleSpike, reset_fn=MembraneReset(0.1), norm_input=False
            ),
            ["LIF", "LIF"],
            {"reset": HARD, "max_spikes": 1},
        ),
        (
            lambda n: sl.IAF(spike_fn=SingleSpike, reset_fn=MembraneSubtract(0.6), min_v_mem=-0.5),
            ["ExtendedLIF", "ExtendedLIF"],
            {"reset": SOFT_CONSTANT, "max_spikes": 1},
        ),
        (
            lambda n: sl.LIF(5.0, tau_syn=3.0, norm_input=False),
            ["CubaLIF", "CubaLIF"],
            {"reset": SOFT, "fire_on_equal": 1},
        ),
        (
            lambda n: sl.LIFRecurrent(5.0, nn.Linear(n, n), norm_input=False),
            ["LIFRecurrent", "LIFRecurrent"],
            {"reset": SOFT},
        ),
        (
            lambda n: sl.ALIF(5.0, 4.0, norm_input=False),
            ["ExtendedLIF", "ExtendedLIF"],
            {"reset": SOFT, "max_spikes": 1},
        ),
    ],
    ids=["multi", "max", "reset", "constant-min", "synaptic", "recurrent", "adaptive"],
)
def test_sinabs_layers(make, ops, choices):
    torch.manual_seed(0)
    net = SinabsNet(make(16), make(6))
    reading = read(net, 1, 12)
    assert neurons(reading) == ops
    found = parameters(reading, "first")[1]
    assert {name: found[name] for name in choices} == choices
    same_as_torch(reading, net, 3, 12)


def test_sinabs_layers_that_take_batch_and_time_as_one():
    steps = 4
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        sl.IAFSqueeze(num_timesteps=steps, min_v_mem=-1.0),
        sl.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
        sl.ExpLeakSqueeze(num_timesteps=steps, tau_mem=10.0),
    )
    reading = read(net, 1, steps, 1, 4, 4, time_axis=1)
    assert neurons(reading) == ["ExtendedLIF", "LI"]
    ops = {node.op_type for node in reading.model.graph.node}
    assert ops.isdisjoint({"Sign", "Abs", "Pow"})
    x = torch.randn(3, steps, 1, 4, 4, generator=torch.Generator().manual_seed(5))

    class Merged(nn.Module):
        def forward(self, seen):
            return net(seen.flatten(0, 1)).unflatten(0, (-1, steps))

    same_as_torch(reading, Merged(), *x.shape)


def test_a_class_that_is_not_known_is_recognised_from_its_operations():
    class Own(neuron.IFNode):
        def single_step_forward(self, x):
            return super().single_step_forward(2.0 * x)

    net = SpikingJellyLoop(Own(v_reset=None), neuron.SLTTLIFNode(v_reset=None))
    reading = read(net, 1, 12)
    assert neurons(reading) == ["LIF", "LIF"]
    assert any("class of module 'net.1' (SpikingJelly IFNode)" in note for note in reading.notes)
    same_as_torch(reading, net, 4, 12)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (
            lambda: SpikingJellyLoop(neuron.QIFNode(), neuron.IFNode()),
            r"recognised .* module 'net.1' \(SpikingJelly QIFNode\) has no counterpart by",
        ),
        (
            lambda: NorseLoop(norse.LIFAdExCell(), norse.LICell()),
            r"recognised .* module 'net.1' \(Norse LIFAdExCell\) has no counterpart by",
        ),
        (
            lambda: SinabsNet(sl.LIF(5.0, tau_syn=3.0, min_v_mem=-1.0), sl.IAF()),
            r"module 'first' \(sinabs LIF\): tau_syn together with min_v_mem",
        ),
        (
            lambda: SinabsNet(sl.LIF(5.0, reset_fn=MembraneSubtract(0.5)), sl.IAF()),
            r"module 'first' \(sinabs LIF\): MultiSpike counts by the threshold",
        ),
        (
            lambda: SinabsNet(sl.IAFSqueeze(batch_size=2), sl.IAF()),
            r"module 'first' \(sinabs IAFSqueeze\): it has a fixed batch_size",
        ),
    ],
    ids=["qif", "adex", "tau-syn-min", "multi-constant", "squeeze-batch"],
)
def test_what_no_neuron_expresses_is_refused_by_its_path(net, reason):
    with pytest.raises(ModelError, match=reason):
        read(net(), 1, 12)
