"""Quantizable networks that the tests of this folder share, and the plain reference of each layer.

The reference reads the integers that a quantized model holds and computes with numpy's int64:
convolutions by explicit loops, neurons by :func:`snnquant.neurons.simulate.simulate`.
"""

import itertools

import numpy as np
import torch

from snnquant.neurons.simulate import integer_arithmetic, simulate
from snnquant.nn import QIF, QLI, QLIF, QCubaLIF, QExtendedLIF, QModel, Reset

#: The seed's model text, as printed there apart from its first line.
SEED_MODEL = """
class SNN(QModel):
   def __init__(self):
      super(SNN, self).__init__()
      self.linear = QLinear(28 * 28, 10, bias=False)
      self.lif = QLIF(v_th_0=1, v_leaky_alpha=0.5, v_leaky_beta=0, v_reset=0)

   def forward(self, x: torch.Tensor, v: torch.Tensor=None):
      x = x.view(x.size(0), -1)
      x, q_param = self.linear(x)
      out, v = self.lif(x, q_param, v)
      return out, v
"""

GENERIC_ONLY = {"late", "multi", "multi_equal", "none"}
THRESHOLDS = torch.tensor([0.3, 0.5, 0.8, 1.0])
ADAPTIVE = {"v_th_alpha": 0.75, "v_th_beta": 0.01, "v_th_incre": 0.2, "v_l": -0.4}

#: Neurons over four channels, with multi-step or single-step calls.
NEURONS = {
    "if": lambda **o: QIF(v_th_0=0.5, **o),
    "if_soft": lambda **o: QIF(v_th_0=0.4, reset=Reset.SOFT, **o),
    "lif": lambda **o: QLIF(v_th_0=0.5, v_leaky_alpha=0.7, v_leaky_beta=0.03, v_reset=0.1, **o),
    "equal": lambda **o: QLIF(v_th_0=0.5, v_leaky_alpha=0.7, fire_on_equal=True, **o),
    "constant": lambda **o: QLIF(
        v_th_0=0.5, v_leaky_alpha=0.8, dv=0.3, reset=Reset.SOFT_CONSTANT, v_init=0.2, **o
    ),
    "refractory": lambda **o: QLIF(v_th_0=0.3, v_leaky_alpha=0.9, ref_len=2, **o),
    "channels": lambda **o: QLIF(
        v_th_0=THRESHOLDS, v_leaky_alpha=THRESHOLDS, ref_len=torch.tensor([0.0, 1, 2, 3]), **o
    ),
    "none": lambda **o: QLIF(v_th_0=0.5, v_leaky_alpha=0.7, reset=Reset.NONE, **o),
    "late": lambda **o: QLIF(
        v_th_0=0.5, v_leaky_alpha=0.7, reset=Reset.SOFT, reset_after_leak=True, **o
    ),
    "multi": lambda **o: QLIF(v_th_0=0.2, v_leaky_alpha=0.7, reset=Reset.SOFT, max_spikes=4, **o),
    "multi_equal": lambda **o: QIF(
        v_th_0=0.2, reset=Reset.SOFT, max_spikes=255, fire_on_equal=True, **o
    ),
    "cuba": lambda **o: QCubaLIF(alpha=0.7, alpha_syn=0.6, v_threshold=0.5, ref_len=1, **o),
    "extended": lambda **o: QExtendedLIF(v_th_0=0.4, v_leaky_alpha=0.8, **ADAPTIVE, **o),
    "extended_soft": lambda **o: QExtendedLIF(
        v_th_0=THRESHOLDS, v_leaky_alpha=0.8, reset=Reset.SOFT, ref_len=1, **ADAPTIVE, **o
    ),
    "extended_plain": lambda **o: QExtendedLIF(v_th_0=0.4, v_leaky_alpha=0.8, **o),
    "li": lambda **o: QLI(alpha=0.8, leak_bias=0.02, v_init=-0.1, **o),
    "li_synaptic": lambda **o: QLI(alpha=THRESHOLDS, alpha_syn=0.5, **o),
}
RECURRENT = {
    "lif_recurrent": lambda **o: QLIF(v_th_0=0.5, v_leaky_alpha=0.7, recurrent_size=4, **o),
    "cuba_recurrent": lambda **o: QCubaLIF(
        alpha=0.7, alpha_syn=0.6, v_threshold=0.5, recurrent_size=4, ref_len=1, **o
    ),
    "multi_recurrent": lambda **o: QLIF(
        v_th_0=0.2, reset=Reset.SOFT, max_spikes=3, recurrent_size=4, **o
    ),
}


class Layer(QModel):
    """One synapse and one neuron; gives the spikes and the states."""

    def __init__(self, synapse, neuron):
        super().__init__()
        self.synapse = synapse
        self.neuron = neuron

    def forward(self, x, v=None):
        current, q_param = self.synapse(x)
        return self.neuron(current, q_param, v)


class Net(QModel):
    """Layers by name and a forward that is given as a function of the model and its input."""

    def __init__(self, run, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, *arguments, **named):
        return self.run(self, *arguments, **named)


def spikes(*shape, rate=0.4, seed=0):
    """Return 0/1 values."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < rate).float()


def analog(*shape, seed=0):
    """Return values of a normal distribution."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def collect(model, *batches, **options):
    """Take a model with an encoder to integers, by the steps of the workflow."""
    model.collect_q_params()
    for batch in batches:
        model(batch)
    model.calculate_q_params()
    model.quantize(**options)
    return model


def tensors_of(model):
    """Return copies of everything a model holds, parameters and (hidden) buffers by name."""
    held = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in held}


def assert_untouched(model, before, mode=None):
    """Check that a model holds what it held."""
    after = tensors_of(model)
    assert set(after) == set(before)
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype, name
        assert torch.equal(after[name], tensor), name
    assert mode is None or model.mode is mode


# -- the reference -------------------------------------------------------------------------------


def entered(synapse, x):
    """Return the integers that a synapse must see, as QuantizeLinear makes them."""
    settings = synapse.settings
    ratio = x.detach().numpy().astype(np.float32) / np.float32(settings.factor)
    return np.clip(np.rint(ratio), settings.low, settings.high).astype(np.int64)


def reference_current(synapse, x):
    """Return the current of a quantized synapse on ``[B, ...]`` (or ``[T, B, ...]``)."""
    integers = entered(synapse, x)
    weight = synapse.weight_integers.numpy().astype(np.int64)
    bias = synapse.bias_integers.numpy()
    gain = synapse.settings.gain
    if weight.ndim == 2:
        return gain * (integers @ weight.T) + bias
    axes = weight.ndim - 2
    if integers.ndim == axes + 3:
        folded = integers.reshape(-1, *integers.shape[2:])
        y = convolved(synapse, folded, weight)
        y = y.reshape(*integers.shape[:2], *y.shape[1:])
    else:
        y = convolved(synapse, integers, weight)
    return gain * y + bias.reshape(-1, *[1] * axes)


def convolved(conv, x, weight):
    """Return a convolution by explicit loops over the output."""
    axes = weight.ndim - 2
    pads = [(p, p) for p in conv.padding]
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    reach = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, conv.stride, strict=True)]
    out = np.zeros((len(x), len(weight), *size), np.int64)
    inside, outside = weight.shape[1], len(weight) // conv.groups
    for channel in range(len(weight)):
        first = channel // outside * inside
        for place in itertools.product(*map(range, size)):
            window = padded[:, first : first + inside]
            for axis in range(axes):
                start = place[axis] * conv.stride[axis]
                cut = slice(start, start + reach[axis], conv.dilation[axis])
                window = window[(slice(None), slice(None), *[slice(None)] * axis, cut)]
            out[(slice(None), channel, *place)] = (
                (window * weight[channel]).reshape(len(x), -1).sum(1)
            )
    return out


def reference_neuron(neuron, current, states=None):
    """Return output, states and membranes of a quantized neuron on ``[T, B, ...]`` integers."""
    (settings,) = neuron.settings.values()
    target = settings.target
    held = {name: t.numpy() for name, t in neuron.held(settings.group).items()}
    weight = held.pop("recurrent_weight", None)
    axes = current.ndim - 2
    constants = {}
    for parameter in neuron.model.parameters:
        value = held[parameter.name]
        wide = np.broadcast_to(value, current.shape[2:]) if value.size > 1 and axes else value
        constants[parameter.constant_name] = wide.reshape(-1)[:1] if value.size == 1 else wide
        constants[parameter.name] = constants[parameter.constant_name]
    arithmetic = integer_arithmetic(
        {
            "leak_shift": target.leak_shift,
            "leak_rounding": int(target.leak_rounding),
            "current_shift": settings.current_shift,
            "state_bits": target.state_bits,
        }
    )
    return simulate(
        neuron.model,
        arithmetic,
        current,
        constants,
        neuron.choices,
        states=states,
        recurrent_weight=weight,
    )
