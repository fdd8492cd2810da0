"""The golden vectors of the tianjic target, by every way to run them."""

import numpy as np
import pytest
import torch
from single_op import BACKENDS, Case, differences
from tianjic_vectors import REAL_WEIGHTS, VECTORS, WEIGHTS

from snnquant import nn as snn
from snnquant.neurons.simulate import integer_arithmetic, simulate

TIANJIC = {"leak_shift": 8, "leak_rounding": 1, "current_shift": 0, "state_bits": 28}


class Model(snn.QModel):
    def __init__(self, vector, multi_step):
        super().__init__()
        self.synapse = snn.QLinear(4, 1, bias=vector.bias is not None)
        self.neuron = getattr(snn, vector.kind)(multi_step=multi_step, **vector.parameters)
        with torch.no_grad():
            self.synapse.weight.copy_(torch.tensor([REAL_WEIGHTS]))
            if vector.bias is not None:
                self.synapse.bias.fill_(vector.bias)

    def forward(self, x, v=None):
        return self.neuron(*self.synapse(x), v)


def quantized(vector, multi_step=True):
    """Return the model in integers, by the steps of the workflow."""
    model = Model(vector, multi_step)
    if vector.absmax is not None:
        model.collect_q_params()
        # The scale follows the mean of the batches' largest magnitudes.
        for share in (0.625, -1.375):
            model(torch.full((2, 1, 4) if multi_step else (1, 4), vector.absmax * share))
        model.calculate_q_params(target="tianjic")
    model.quantize("tianjic")
    return model


def start_of(vector):
    return None if vector.start is None else torch.tensor([[vector.start]])


def inputs_of(vector):
    return torch.tensor(vector.inputs, dtype=torch.float32).unsqueeze(1)


@pytest.mark.parametrize("name", VECTORS)
def test_the_model_holds_the_integers(name):
    vector = VECTORS[name]
    model = quantized(vector)
    assert model.synapse.weight_integers.tolist() == [WEIGHTS]
    (group,) = model.neuron.settings
    held = {k: t.flatten().tolist() for k, t in model.neuron.held(group).items()}
    for constant, value in vector.constants.items():
        assert held[constant] == [value], constant
    current, _ = model.synapse(inputs_of(vector))
    assert current.flatten().tolist() == vector.currents


@pytest.mark.parametrize("name", VECTORS)
def test_the_quantized_model_gives_the_vector(name):
    vector = VECTORS[name]
    spikes, _ = quantized(vector)(inputs_of(vector), start_of(vector))
    assert spikes.flatten().tolist() == vector.spikes
    model, v = quantized(vector, multi_step=False), start_of(vector)
    for t, step in enumerate(inputs_of(vector)):
        spike, v = model(step, v)
        assert spike.item() == vector.spikes[t]
        states = v if isinstance(v, dict) else {"v": v}
        wanted = {"v": vector.v, **vector.others}
        assert {**wanted, **states}.keys() - {"r", "a", "i"} == {"v"}
        for state, values in wanted.items():
            assert states[state].item() == values[t], (state, t)


@pytest.mark.parametrize("name", VECTORS)
def test_aware_mode_gives_the_vector(name):
    vector = VECTORS[name]
    model = quantized(vector)
    model.dequantize()
    model.aware("tianjic")
    assert model(inputs_of(vector), start_of(vector))[0].flatten().tolist() == vector.spikes


def _call(vector):
    """Return model, constants (by the step's names) and choices of a quantized vector."""
    neuron = quantized(vector).neuron
    (group,) = neuron.settings
    held = neuron.held(group)
    constants = {p.constant_name: held[p.name].numpy() for p in neuron.model.parameters}
    first = held["v_init"].item() if vector.start is None else vector.start
    constants["v_init"] = np.array([first])
    return neuron.model, constants, neuron.choices


@pytest.mark.parametrize("name", VECTORS)
def test_the_reference_gives_the_vector(name):
    vector = VECTORS[name]
    model, constants, choices = _call(vector)
    current = np.array(vector.currents).reshape(-1, 1, 1)
    for count in range(1, len(current) + 1):
        spikes, states, membranes = simulate(
            model, integer_arithmetic(TIANJIC), current[:count], constants, choices
        )
        assert membranes.flatten().tolist() == vector.v3[:count]
        assert spikes.flatten().tolist() == vector.spikes[:count]
        for state, values in {"v": vector.v, **vector.others}.items():
            assert states[state].item() == values[count - 1], (state, count)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", VECTORS)
def test_the_op_gives_the_vector(name, backend):
    vector = VECTORS[name]
    model, constants, choices = _call(vector)
    attributes = {**TIANJIC, **{c.name: choices[c.name] for c in model.integer_choices()}}
    feeds = {k: v.astype(np.int32) for k, v in constants.items() if k != "v_init"}
    feeds["current"] = np.array(vector.currents, np.int32).reshape(-1, 1, 1)
    for state in model.states:
        start = constants["v_init"] if state.name == "v" else np.zeros(1)
        feeds[state.name] = start.astype(np.int32).reshape(1, 1)
    case = Case(f"Q{model.name}StateMembrane", attributes, feeds)
    absent = {s.name: [0] for s in model.states if s.name not in vector.others}
    last = {**absent, **vector.others, "v": vector.v}
    wanted = [np.array(vector.spikes).reshape(-1, 1, 1)]
    wanted += [np.array([[last[s.name][-1]]]) for s in model.states]
    wanted.append(np.array(vector.v3).reshape(-1, 1, 1))
    assert not differences(case, BACKENDS[backend](case), wanted)
