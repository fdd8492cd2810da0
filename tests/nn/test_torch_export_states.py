"""Models with several inputs and outputs, states of neurons above all."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from neuron_cases import CASES, currents
from torch import nn

import snnquant.nn as snn
from snnquant.errors import UsageError


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Cell(nn.Module):
    """One step: states go in and out."""

    def __init__(self, **parameters):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.lif = snn.LIF(**{"alpha": 0.5, "v_init": 0.25, "v_threshold": 0.2} | parameters)

    def forward(self, x, state=None):
        out, state = self.lif(self.linear(x).unsqueeze(0), state, return_state=True)
        return out.squeeze(0), state


class Loop(nn.Module):
    """The cell in a loop over time."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, start=None):
        spikes, state = [], start
        for t in range(x.shape[0]):
            out, state = self.cell(x[t], state)
            spikes.append(out)
        return torch.stack(spikes), state


class Rolled(Cell):
    def forward(self, x):
        return self.lif(self.linear(x))


class Nested(nn.Module):
    def forward(self, x, first, other):
        total = x + first["b"] + first["a"]["c"]
        return {"sum": total, "none": None}, [x - 1, (first["b"], total)], other * 2


def shapes(values):
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values
    }


def run(model, *feeds):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    named = zip((v.name for v in model.graph.input), feeds, strict=True)
    return session.run(None, {name: np.asarray(feed) for name, feed in named})


@torch.no_grad()
@pytest.mark.parametrize("given", [False, True], ids=["initial", "given"])
def test_a_step_has_its_states_as_inputs_and_outputs(given):
    cell = Cell()
    start = {"v": torch.rand(1, 3), "r": torch.zeros(1, 3)} if given else None
    model = snn.export_onnx(cell, None, (torch.rand(1, 4), start))
    states = {"state.v": ["batch", 3], "state.r": ["batch", 3]} if given else {}
    assert shapes(model.graph.input) == {"input": ["batch", 4], **states}
    assert shapes(model.graph.output) == {
        "output": ["batch", 3],
        "lif.v": ["batch", 3],
        "lif.r": ["batch", 3],
    }
    assert {p.key: p.value for p in model.metadata_props} == {"snnquant.timesteps": "1"}
    x = torch.rand(7, 4)
    start = {"v": torch.rand(7, 3), "r": torch.zeros(7, 3)} if given else None
    out, after = cell(x, start)
    got = run(model, x, *(start or {}).values())
    for value, expected in zip(got, (out, after["v"], after["r"]), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    assert 0 < got[0].mean() < 1


@torch.no_grad()
def test_a_loop_over_time_gives_a_node_per_step_and_ends_with_the_last_states():
    cell = Cell()
    model = snn.export_onnx(Loop(cell), None, torch.rand(3, 2, 4), time_axis=0)
    neurons = [n for n in model.graph.node if n.domain == "snnquant"]
    assert [n.op_type for n in neurons] == ["LIFState"] * 3
    assert [n.name for n in neurons] == ["cell.lif", "cell.lif_2", "cell.lif_3"]
    assert shapes(model.graph.input) == {"input": [3, "batch", 4]}
    assert [v.name for v in model.graph.output] == ["output", "cell.lif.v", "cell.lif.r"]
    assert neurons[2].output[1:] == ["cell.lif.v", "cell.lif.r"]
    assert {p.key: p.value for p in model.metadata_props} == {"snnquant.timesteps": "3"}
    weights = [t.name for t in model.graph.initializer if t.name.endswith(".weight")]
    assert weights == ["cell.linear.weight"]
    rolled = Rolled()
    rolled.load_state_dict(cell.state_dict())
    x = torch.rand(3, 5, 4)
    np.testing.assert_array_equal(run(model, x)[0], rolled(x))


class Picks(nn.Module):
    """Takes single steps of the input, in one of the ways in which Python can."""

    def __init__(self, how):
        super().__init__()
        self.lif = snn.LIF(v_threshold=0.5)
        self.how = how

    def forward(self, x):
        steps = {
            "for": lambda: [one[None] for one in x],
            "unbind": lambda: [one[None] for one in x.unbind(0)],
            "split": lambda: x.split(1),
            "slice": lambda: [x[t : t + 1] for t in range(x.shape[0])],
            "last": lambda: [x[-1:]],
            "index": lambda: [x[-1][None]],
        }[self.how]()
        state, spikes = None, []
        for one in steps:
            out, state = self.lif(one, state, return_state=True)
            spikes.append(out)
        return torch.cat(spikes)


@torch.no_grad()
@pytest.mark.parametrize("how", ["for", "unbind", "split", "slice", "last", "index"])
def test_steps_can_be_picked_in_all_ways(how):
    net = Picks(how)
    model = snn.export_onnx(net, None, torch.rand(3, 2, 4), time_axis=0)
    ops = {n.op_type for n in model.graph.node}
    assert not {o for o in ops if "Sequence" in o}
    steps = "time" if how in ("last", "index") else 3
    assert shapes(model.graph.input) == {"input": [steps, "batch", 4]}
    x = torch.rand(3, 5, 4)
    np.testing.assert_array_equal(run(model, x)[0], net(x))


def test_names_of_outputs_give_way_to_names_of_inputs():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = snn.LIF()

        def forward(self, x, lif):
            return self.lif(x, lif, return_state=True)

    state = {"v": torch.zeros(2, 3), "r": torch.zeros(2, 3)}
    model = snn.export_onnx(Net(), None, (torch.rand(4, 2, 3), state), time_axis=0)
    assert [v.name for v in model.graph.input] == ["input", "lif.v", "lif.r"]
    assert [v.name for v in model.graph.output] == ["output", "lif.v_2", "lif.r_2"]
    assert shapes(model.graph.input)["lif.v"] == ["batch", 3]


@torch.no_grad()
def test_nested_arguments_and_results_are_flattened_in_order():
    first = {"b": torch.rand(2, 4), "a": {"c": torch.rand(2, 4), "none": None}}
    example = (torch.rand(2, 4), first, torch.rand(2, 6))
    model = snn.export_onnx(Nested(), None, example)
    assert list(shapes(model.graph.input)) == ["input", "first.b", "first.a.c", "other"]
    assert list(shapes(model.graph.output)) == [
        "output",
        "output_1",
        "output_2",
        "output_3",
        "output_4",
    ]
    assert all(dims[0] == "batch" for dims in shapes(model.graph.input).values())
    x, b, c, other = torch.rand(3, 4), torch.rand(3, 4), torch.rand(3, 4), torch.rand(3, 6)
    got = run(model, x, b, c, other)
    expected = (x + b + c, x - 1, b, x + b + c, other * 2)
    for value, wanted in zip(got, expected, strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize(
    "case", ["cubalif_channels", "extended_adaptive", "cubalif_recurrent", "li_synaptic"]
)
def test_every_kind_of_neuron_has_named_states(case):
    layer = CASES[case]()
    x = torch.from_numpy(currents())
    state = {name: value.clone() for name, value in layer.initial_state(x).items()}
    model = snn.export_onnx(layer, None, (x, state), time_axis=0)
    assert [v.name for v in model.graph.input[1:]] == [f"state.{name}" for name in state]
    assert [n.op_type for n in model.graph.node] == [
        f"{layer.model.name}{'Recurrent' if 'recurrent' in case else ''}State"
    ]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ((), "starts with one"),
        ((None, torch.rand(2, 4)), "starts with one"),
        ((torch.rand(2, 4), {"v": 3.0}), "argument 'state.v' is a float"),
        ((torch.rand(2, 4), torch.zeros(())), r"argument 'state' has shape \[\]"),
        ((torch.rand(2, 4), torch.zeros(0, 3)), "argument 'state' holds no sample"),
        ((torch.rand(2, 4), None, None), "holds 3 arguments, but forward of Cell takes 2"),
        ((torch.rand(2, 4), {"v": torch.zeros(2, 3)}), r"the state has \['v'\]"),
    ],
    ids=["empty", "no_input", "number", "no_axis", "no_sample", "too_many", "states_missing"],
)
def test_arguments_that_do_not_fit_are_refused(example, message):
    with pytest.raises(UsageError, match=message):
        snn.export_onnx(Cell(), None, example)


def test_equal_stateful_models_give_equal_bytes():
    cell = Loop(Cell())
    first, second = (
        snn.export_onnx(cell, None, torch.rand(3, 2, 4), time_axis=0).SerializeToString(
            deterministic=True
        )
        for _ in range(2)
    )
    assert first == second
    onnx.checker.check_model(onnx.load_from_string(first), full_check=True)
