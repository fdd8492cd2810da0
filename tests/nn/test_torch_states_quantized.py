"""From a torch model with states to integers: steps, loops and whole runs give the same spikes."""

from functools import cache

import numpy as np
import onnx
import pytest
import torch
from graphs import options_of, quantize, run_everywhere
from torch import nn

import snnquant.nn as snn

T, B, F, C = 3, 4, 6, 5
NEURONS = {
    "lif": lambda: snn.LIF(
        alpha=0.5, v_threshold=0.3, v_init=0.125, v_reset=0.0625, refractory_steps=1
    ),
    "cubalif": lambda: snn.CubaLIF(alpha=0.5, alpha_syn=0.25, v_threshold=0.25),
    "extendedlif": lambda: snn.ExtendedLIF(
        alpha=0.75,
        v_threshold=torch.linspace(0.2, 0.4, C),
        v_min=-0.5,
        threshold_decay=0.5,
        threshold_increment=0.125,
    ),
    "recurrent": lambda: snn.LIF(alpha=0.5, v_threshold=0.25, recurrent_size=C),
}


class Net(nn.Module):
    """Two layers, one of which has states that are passed on, in three ways to run over time."""

    def __init__(self, make):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(F, C)
        self.neuron = make()
        self.readout = nn.Linear(C, 2)
        self.li = snn.LI(alpha=0.5)


class Whole(Net):
    def forward(self, x):
        spikes = self.neuron(self.linear(x))
        return self.li(self.readout(spikes)), spikes


class Step(Net):
    def forward(self, x, state=None, memory=None):
        spikes, state = self.neuron(self.linear(x).unsqueeze(0), state, return_state=True)
        out, memory = self.li(self.readout(spikes), memory, return_state=True)
        return out.squeeze(0), spikes.squeeze(0), state, memory


class Loop(Step):
    def forward(self, x):
        state, memory, outs, all_spikes = None, None, [], []
        for one in x:
            out, spikes, state, memory = super().forward(one, state, memory)
            outs.append(out)
            all_spikes.append(spikes)
        return torch.stack(outs), torch.stack(all_spikes), state, memory


def data(seed=0, spikes=True):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (T, B, F)) if spikes else rng.uniform(-1, 1, (T, B, F))
    return x.astype(np.float32)


@cache
def exported(kind, case, given=False):
    """Export each net once; a step that is given its states has them as inputs."""
    net = kind(NEURONS[case])
    if kind is not Step:
        return snn.export_onnx(net, None, torch.rand(T, B, F), time_axis=0)
    states = [None, None]
    if given:
        for k, (layer, size) in enumerate(((net.neuron, C), (net.li, 2))):
            initial = layer.initial_state(torch.zeros(1, B, size))
            states[k] = {name: value.contiguous() for name, value in initial.items()}
    return snn.export_onnx(net, None, (torch.rand(B, F), *states))


def integers(model, target, spikes=True):
    options = options_of(target, readout_as="int")
    result = quantize(model, options, spikes=["input"] if spikes else [])
    assert not result.left
    return result


def outputs_of(result, feeds):
    values, compared = run_everywhere(result.model, feeds)
    assert compared
    return [values[v.name] for v in result.model.graph.output]


@pytest.mark.parametrize("target", ["generic", "tianjic"])
@pytest.mark.parametrize("case", NEURONS)
@pytest.mark.parametrize("spikes", [True, False], ids=["spikes", "analog"])
def test_a_loop_gives_the_integers_of_the_whole_run(case, target, spikes):
    x = {"input": data(spikes=spikes)}
    whole = integers(exported(Whole, case), target, spikes)
    loop = integers(exported(Loop, case), target, spikes)
    expected = outputs_of(whole, x)
    got = outputs_of(loop, x)
    for value, wanted in zip(got[:2], expected, strict=True):
        np.testing.assert_array_equal(value, wanted)
    assert 0 < expected[1].mean() < 1
    scales = [entry["current_scale_min"] for entry in whole.layers if "current_scale_min" in entry]
    assert [
        entry["current_scale_min"] for entry in loop.layers if "current_scale_min" in entry
    ] == scales * T


@pytest.mark.parametrize("target", ["generic", "tianjic"])
@pytest.mark.parametrize("case", NEURONS)
def test_steps_with_states_give_the_integers_of_the_whole_run(case, target):
    begin = integers(exported(Step, case), target)
    go_on = integers(exported(Step, case, given=True), target)
    expected = outputs_of(integers(exported(Whole, case), target), {"input": data()})
    state = NEURONS[case]().initial_state(torch.zeros(1, B, C))
    expected_names = [*(f"state.{name}" for name in state), "memory.v", "memory.i"]
    assert [v.name for v in go_on.model.graph.input[1:]] == expected_names
    names = [v.name for v in go_on.model.graph.input[1:]]
    states = []
    for t in range(T):
        feeds = {"input": data()[t]} | dict(zip(names, states, strict=False))
        out, spikes, *states = outputs_of(go_on if t else begin, feeds)
        np.testing.assert_array_equal(out, expected[0][t])
        np.testing.assert_array_equal(spikes, expected[1][t])
        assert all(value.dtype == np.int32 for value in states)
    ends = [v.name for v in go_on.model.graph.output[2:]]
    assert ends == [*(f"neuron.{name}" for name in state), "li.v", "li.i"]
    # What goes out counts in the steps of what comes in, in both models.
    for source, target_name in zip(names, ends, strict=True):
        scale = go_on.input_scales[source]
        assert scale == go_on.output_scales[target_name] == begin.output_scales[target_name]
    assert {i.type.tensor_type.elem_type for i in go_on.model.graph.input[1:]} == {
        onnx.TensorProto.INT32
    }
