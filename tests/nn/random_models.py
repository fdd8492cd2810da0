"""Random quantizable models: every layer type, topology, input and target that torch can say."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import torch
from torch import nn

from snnquant import nn as snn
from snnquant.nn import Reset

INPUTS = ("analog", "analog sequence", "spikes", "counts", "signed")
SYNAPSES = ("linear", "conv1d", "conv2d")
NEURONS = ("QIF", "QLIF", "QCubaLIF", "QExtendedLIF")
TOPOLOGIES = ("chain", "residual spikes", "two currents", "recurrent")
READ_OUTS = ("spikes", "membrane", "current")
POOLINGS = ("none", "max", "average")


@dataclass(frozen=True)
class Spec:
    """What a random model is made of.

    Attributes:
        seed: of weights and data.
        inputs: kind of the input.
        synapse: kind of the first synapses; the rest is linear.
        neurons: kind of each neuron.
        topology: how the layers are joined.
        read_out: what the model returns.
        pooling: behind the first neuron of a convolution.
        timesteps: number of steps.
        batch: number of samples.
        single_step: forward loops over time and calls the layers step by step.
        norm: batch normalization behind the first synapse.
        quantize: arguments of ``quantize``.
    """

    seed: int
    inputs: str
    synapse: str
    neurons: tuple[str, ...]
    topology: str
    read_out: str
    pooling: str
    timesteps: int
    batch: int
    single_step: bool
    norm: bool
    quantize: dict = field(hash=False)

    @property
    def static(self):
        """Whether one input serves all steps."""
        return self.inputs == "analog"


def draw_spec(pick: random.Random) -> Spec:
    """Draw the parts of a model."""
    if pick.random() < 0.5:
        options = {"target": "tianjic"}
    else:
        options = {
            "target": "generic",
            "weight_bits": pick.choice((2, 3, 4, 8, 8)),
            "per_channel": pick.random() < 0.7,
        }
    options["input_bits"] = pick.choice((4, 8, 8))
    synapse = pick.choice(SYNAPSES)
    return Spec(
        seed=pick.randrange(2**31),
        inputs=pick.choice(INPUTS),
        synapse=synapse,
        neurons=tuple(pick.choice(NEURONS) for _ in range(3)),
        topology=pick.choice(TOPOLOGIES),
        read_out=pick.choice(READ_OUTS),
        pooling=pick.choice(POOLINGS) if synapse != "linear" else "none",
        timesteps=pick.choice((1, 2, 3, 5)),
        batch=pick.choice((1, 2, 3)),
        single_step=pick.random() < 0.25,
        norm=pick.random() < 0.3,
        quantize=options,
    )


class RandomModel(snn.QModel):
    """A model of three neurons between synapses, as the spec says."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        pick = random.Random(spec.seed)
        torch.manual_seed(spec.seed)
        self.spec = spec
        self.first, self.pool, features = self._front(pick)
        channels = self.first.weight.shape[0]
        self.norm = _norm(spec, channels) if spec.norm else None
        self.lif0 = self._neuron(spec.neurons[0], pick, channels)
        width = pick.choice((3, 6))
        self.fc1 = snn.QLinear(features, width, bias=pick.random() < 0.5)
        self.fc1b = snn.QLinear(features, width) if spec.topology == "two currents" else None
        recurrent = width if spec.topology == "recurrent" else None
        self.lif1 = self._neuron(spec.neurons[1], pick, width, recurrent)
        self.fc2 = snn.QLinear(width, width, bias=pick.random() < 0.5)
        self.lif2 = self._neuron(spec.neurons[2], pick, width)
        self.out = None if spec.read_out == "spikes" else snn.QLinear(width, 4)
        self.li = None
        if spec.read_out == "membrane":
            self.li = snn.QLI(
                alpha=pick.choice((1.0, 0.9)),
                alpha_syn=pick.choice((None, 0.5)),
                multi_step=not spec.single_step,
            )
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(pick.choice((0.7, 1.5, 3.0)))

    def _front(self, pick):
        """Return the first synapse, its pooling and the number of features behind both."""
        spec = self.spec
        if spec.synapse == "linear":
            return snn.QLinear(6, 5, bias=pick.random() < 0.5), None, 5
        flat = spec.synapse == "conv1d"
        make = snn.QConv1d if flat else snn.QConv2d
        groups = pick.choice((1, 2))
        conv = make(
            2,
            4,
            pick.choice((1, 2, 3)),
            stride=pick.choice((1, 2)),
            padding=pick.choice((0, 1)),
            dilation=pick.choice((1, 2)),
            groups=groups,
            bias=pick.random() < 0.5,
        )
        pools = {
            "none": None,
            "max": (snn.QMaxPool1d if flat else snn.QMaxPool2d)(2, 1),
            "average": (snn.QAvgPool1d if flat else snn.QAvgPool2d)(2, 1),
        }
        pool = pools[spec.pooling]
        probe = conv.real_current(self.example(1)[:1] if spec.static else self.example(1)[0])
        if min(probe.shape[2:]) < 2:
            pool = None
        probe = probe if pool is None else pool(probe)
        return conv, pool, probe[0].numel()

    def _neuron(self, kind, pick, channels, recurrent=None):
        """Return a neuron with random parameters; vectors per channel now and then."""
        tianjic = self.spec.quantize["target"] == "tianjic"

        def value(low, high):
            if pick.random() < 0.3:
                return torch.empty(channels).uniform_(low, high)
            return pick.uniform(low, high)

        reset = pick.choice((Reset.HARD, Reset.SOFT, Reset.SOFT_CONSTANT))
        if not tianjic and pick.random() < 0.1:
            reset = Reset.NONE
        options = {
            "v_threshold": value(0.2, 1.2),
            "leak_bias": pick.choice((0.0, 0.05)),
            "reset": reset,
            "fire_on_equal": pick.random() < 0.3,
            "refractory_steps": pick.choice((0, 0, 1, 3)),
            "v_init": value(-0.2, 0.3),
            "multi_step": not self.spec.single_step,
        }
        if reset == Reset.HARD:
            options["v_reset"] = value(-0.2, 0.1)
        if reset == Reset.SOFT_CONSTANT:
            options["dv"] = value(0.1, 1.0)
        if not tianjic:
            options["reset_after_leak"] = pick.random() < 0.2
            options["max_spikes"] = pick.choice((1, 1, 3))
        if kind != "QIF":
            options["alpha"] = value(0.5, 1.0)
        if kind == "QCubaLIF":
            options["alpha_syn"] = value(0.0, 0.9)
        if kind == "QExtendedLIF":
            options |= {
                "v_min": pick.choice((-1.0, -0.3)),
                "threshold_decay": pick.choice((0.5, 0.9)),
                "threshold_bias": pick.choice((0.0, 0.01)),
                "threshold_increment": pick.choice((0.0, 0.3)),
            }
        if recurrent:
            options["recurrent_size"] = recurrent
        return getattr(snn, kind)(**options)

    def example(self, seed: int) -> torch.Tensor:
        """Return an input: ``[B, ...]`` for a static one, else ``[T, B, ...]``."""
        spec = self.spec
        shape = {"linear": (6,), "conv1d": (2, 9), "conv2d": (2, 7, 6)}[spec.synapse]
        lead = (spec.batch,) if spec.static else (spec.timesteps, spec.batch)
        source = torch.Generator().manual_seed(spec.seed % 1000 + seed)
        if spec.inputs == "spikes":
            return (torch.rand(*lead, *shape, generator=source) < 0.4).float()
        if spec.inputs == "counts":
            return torch.randint(0, 6, (*lead, *shape), generator=source).float()
        if spec.inputs == "signed":
            return torch.randint(-2, 3, (*lead, *shape), generator=source).float()
        return torch.randn(*lead, *shape, generator=source)

    def forward(self, x):
        """Return the read-out ``[B, ...]``, and with single steps the last membrane."""
        steps = self.spec.timesteps
        if not self.spec.single_step:
            current, q_param = self.first(x)
            current = current if self.norm is None else _normed(self.norm, current, self.spec)
            if self.spec.static:
                current = snn.repeat(current, steps)
            outputs, _ = self._rest(current, q_param, {})
            return outputs.sum(0)
        states = {}
        total = 0
        for t in range(steps):
            current, q_param = self.first(x if self.spec.static else x[t])
            current = current if self.norm is None else self.norm(current)
            output, states = self._rest(current, q_param, states)
            total = total + output
        return total

    def _rest(self, current, q_param, states):
        spikes, v0 = self.lif0(current, q_param, states.get("lif0"))
        if self.pool is not None:
            spikes = self.pool(spikes)
        spikes = spikes.flatten(1 if self.spec.single_step else 2)
        current, q_param = self.fc1(spikes)
        if self.fc1b is not None:
            current = current + self.fc1b(spikes)[0]
        first, v1 = self.lif1(current, q_param, states.get("lif1"))
        current, q_param = self.fc2(first)
        second, v2 = self.lif2(current, q_param, states.get("lif2"))
        if self.spec.topology == "residual spikes":
            second = second + first
        after = {"lif0": v0, "lif1": v1, "lif2": v2}
        if self.out is None:
            return second, after
        current, q_param = self.out(second)
        if self.li is None:
            return current, after
        membrane, after["li"] = self.li(current, q_param, states.get("li"))
        return membrane, after


def _norm(spec, channels):
    layer = nn.BatchNorm2d(channels) if spec.synapse == "conv2d" else nn.BatchNorm1d(channels)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.uniform_(layer.bias, -0.3, 0.3)
    layer.running_mean.uniform_(-0.3, 0.3)
    layer.running_var.uniform_(0.5, 2.0)
    return layer


def _normed(norm, current, spec):
    return norm(current) if spec.static else snn.Folded(norm)(current)


def ready(spec: Spec) -> RandomModel:
    """Return a model with its statistics collected, batch normalization fused."""
    model = RandomModel(spec).eval()
    with torch.no_grad():
        snn.fuse_conv_bn(model, model.example(0))
        model.collect_q_params()
        for seed in range(3):
            model(model.example(seed))
        model.calculate_q_params()
    return model


def spikes_by_layer(model: RandomModel, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run a model and return what every spiking layer fired, by the name in the graph."""
    seen = {}

    def keep(name):
        def hook(module, arguments, outputs):
            calls = sum(1 for known in seen if known.split(".")[0].split("_")[0] == name)
            node = name if not calls else f"{name}_{calls + 1}"
            seen[f"{node}.spikes"] = outputs[0].detach()

        return hook

    hooks = [
        getattr(model, name).register_forward_hook(keep(name)) for name in ("lif0", "lif1", "lif2")
    ]
    with torch.no_grad():
        seen["output"] = model(x)
    for hook in hooks:
        hook.remove()
    return seen
