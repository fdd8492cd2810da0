import re

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from neuron_cases import CASES, currents
from torch import nn

import snnquant.nn as snn
from snnquant.errors import ModelError, UsageError
from snnquant.ops import attach_functions


def run(model, x, outputs=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(outputs, {"input": x})


class Classifier(nn.Module):
    """Convolution, normalization, pooling, a sum of spikes and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.lif1 = snn.LIF(alpha=0.9)
        self.features = nn.Sequential(
            snn.Folded(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)),
            nn.Identity(),
            snn.LIF(alpha=0.9, v_threshold=0.25),
        )
        self.pool = snn.Folded(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten())
        self.fc = nn.Linear(16, 10)
        self.li = snn.LI(alpha=0.9)
        self.readout = snn.MeanOverTime()

    def forward(self, x):
        z = self.lif1(snn.repeat(self.bn1(self.conv1(x)), 5))
        z = z + self.features(z)
        return self.readout(self.li(self.fc(self.pool(z))))


class StepwiseState(nn.Module):
    """Two runs, the second from the states of the first."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        first, state = self.layer(x, return_state=True)
        return first + self.layer(x, state)


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    net = Classifier()
    net(torch.randn(64, 1, 8, 8))
    return net.eval()


@pytest.fixture(scope="module")
def exported(classifier):
    return snn.export_onnx(classifier, None, torch.rand(1, 1, 8, 8))


class AllNeurons(nn.Module):
    """Every case side by side on one input: one export instead of one per case."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({case: make() for case, make in CASES.items()})

    def forward(self, x):
        return torch.stack([layer(x) for layer in self.layers.values()])


@pytest.fixture(scope="module")
def all_neurons():
    net = AllNeurons()
    return net, snn.export_onnx(net, None, torch.from_numpy(currents()), time_axis=0)


def single(model, name):
    """Return a model with one neuron of another model, and only the function that it needs."""
    alone = onnx.ModelProto()
    alone.CopyFrom(model)
    node = next(n for n in model.graph.node if n.name == name)
    output = next(v for v in model.graph.value_info if v.name == node.output[0])
    for field, kept in (
        (alone.graph.node, [node]),
        (alone.graph.output, [output]),
        (alone.graph.initializer, [t for t in model.graph.initializer if t.name in node.input]),
        (alone.graph.value_info, []),
    ):
        del field[:]
        field.extend(kept)
    attach_functions(alone)
    return alone


@pytest.mark.parametrize("case", CASES)
def test_every_neuron_runs_in_onnx_runtime_with_any_batch_and_time(case, all_neurons):
    net, model = all_neurons
    layer = net.layers[case]
    alone = single(model, f"layers.{case}")
    assert alone.graph.node[0].op_type.startswith(layer.model.name)
    for steps, batch in ((8, 1), (8, 3), (5, 7)):
        current = currents(steps, batch, seed=batch)
        with torch.no_grad():
            expected = layer(torch.from_numpy(current)).numpy()
        np.testing.assert_array_equal(run(alone, current)[0], expected)


def test_a_neuron_alone_is_a_model():
    layer = snn.IF()
    model = snn.export_onnx(layer, None, torch.rand(4, 2, 3), time_axis=0)
    assert [(n.op_type, n.output) for n in model.graph.node] == [("LIF", ["output"])]


@pytest.mark.parametrize(
    "case", ["lif_initial", "lif_recurrent", "extended_adaptive", "li_channels"]
)
def test_explicit_states_become_state_ops(case):
    net = StepwiseState(CASES[case]())
    model = snn.export_onnx(net, None, torch.from_numpy(currents()), time_axis=0)
    neurons = [n for n in model.graph.node if n.domain == "snnquant"]
    assert [n.op_type.endswith("State") for n in neurons] == [True, True]
    assert [n.name for n in neurons] == ["layer", "layer_2"]
    current = currents(6, 3, seed=5)
    with torch.no_grad():
        expected = net(torch.from_numpy(current)).numpy()
    np.testing.assert_array_equal(run(model, current)[0], expected)


def test_a_network_gives_the_same_spikes(classifier, exported):
    x = torch.rand(7, 1, 8, 8)
    seen = {}
    hooks = [
        classifier.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: seen.__setitem__(name, out.numpy())
        )
        for name in ("lif1", "features.2")
    ]
    with torch.no_grad():
        expected = classifier(x).numpy()
    for hook in hooks:
        hook.remove()
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    for value in exported.graph.value_info:
        if value.name.endswith(".spikes"):
            model.graph.output.append(value)
    output, first, second = run(model, x.numpy(), ["output", "lif1.spikes", "features.2.spikes"])
    assert 0.02 < first.mean() < 0.98
    assert (first == seen["lif1"]).mean() > 0.999
    assert (second == seen["features.2"]).mean() > 0.999
    np.testing.assert_allclose(output, expected, atol=1e-4)


def test_graph_is_canonical(exported):
    assert [(n.op_type, n.name) for n in exported.graph.node] == [
        ("Conv", "conv1"),
        ("Unsqueeze", "unsqueeze"),
        ("Expand", "expand"),
        ("LIF", "lif1"),
        ("Reshape", "features.0"),
        ("Conv", "features.0.0"),
        ("Reshape", "features.0.reshape"),
        ("LIF", "features.2"),
        ("Add", "add"),
        ("Reshape", "pool"),
        ("MaxPool", "pool.0"),
        ("AveragePool", "pool.1"),
        ("Reshape", "pool.reshape"),
        ("MatMul", "fc"),
        ("Add", "fc.add"),
        ("LI", "li"),
        ("ReduceMean", "readout"),
    ]
    neurons = {n.name: n for n in exported.graph.node if n.domain == "snnquant"}
    assert neurons["lif1"].output == ["lif1.spikes"]
    assert neurons["li"].output == ["li.membrane"]
    assert neurons["features.2"].input[3] == "features.2.v_threshold"
    assert exported.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [v.name for v in (*exported.graph.input, *exported.graph.output)] == ["input", "output"]


def test_model_is_portable_and_says_nothing_about_its_machine(exported):
    assert exported.ir_version <= 9
    assert {o.domain: o.version for o in exported.opset_import}[""] in range(17, 21)
    assert {p.key: p.value for p in exported.metadata_props} == {"snnquant.timesteps": "5"}
    assert {f.name for f in exported.functions} == {"LIF", "LI"}
    text = onnx.printer.to_text(exported)
    assert not re.search(r"\.py|/home|/tmp|/work|File \"", text)
    assert not any(n.doc_string or n.metadata_props for n in exported.graph.node)
    assert not any(t.external_data for t in exported.graph.initializer)


def test_equal_models_give_equal_bytes_quietly(classifier, tmp_path, capfd):
    for name in ("a.onnx", "b.onnx"):
        snn.export_onnx(classifier, tmp_path / name, torch.rand(2, 1, 8, 8))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]
    assert capfd.readouterr() == ("", "")


def test_export_uses_eval_mode_and_restores_each_module():
    net = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.BatchNorm1d(3), snn.Repeat(2), snn.IF())
    net[2].eval()
    model = snn.export_onnx(net, None, torch.rand(1, 4))
    assert [m.training for m in net] == [True, True, False, True, True]
    assert not {"Dropout", "RandomUniform"} & {n.op_type for n in model.graph.node}


@pytest.mark.parametrize("time_axis", [0, 1])
def test_time_is_dynamic_unless_fixed(time_axis):
    class Swap(nn.Module):
        def forward(self, x):
            return x.transpose(0, 1) if time_axis == 1 else x

    net = nn.Sequential(Swap(), snn.Folded(nn.Linear(4, 4)), snn.IF(), snn.SumOverTime())
    x = torch.rand(6, 2, 4).transpose(0, time_axis)
    free = snn.export_onnx(net, None, x, time_axis=time_axis)
    fixed = snn.export_onnx(net, None, x, time_axis=time_axis, fixed_timesteps=True)
    dims = [
        [d.dim_param or d.dim_value for d in m.graph.input[0].type.tensor_type.shape.dim[:2]]
        for m in (free, fixed)
    ]
    assert [dim[time_axis] for dim in dims] == ["time", 6]
    assert [dim[1 - time_axis] for dim in dims] == ["batch", "batch"]
    assert not free.metadata_props
    assert fixed.metadata_props[0].value == "6"
    other = torch.rand(9, 5, 4).transpose(0, time_axis).contiguous()
    with torch.no_grad():
        np.testing.assert_array_equal(run(free, other.numpy())[0], net(other).numpy())


class FixedBatch(nn.Module):
    def forward(self, x):
        return x + torch.zeros(5, 1)


class DataDependent(nn.Module):
    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("net", "shape", "time_axis", "error", "message"),
    [
        (FixedBatch(), (5, 3), None, ModelError, "cannot export FixedBatch.*any batch size"),
        (DataDependent(), (5, 3), None, ModelError, "cannot export DataDependent"),
        (snn.LIF(alpha=torch.rand(3)), (2, 3, 4), 0, UsageError, r"alpha has shape \[3\]"),
        (snn.IF(), (2, 3), 2, UsageError, "time_axis is 2"),
        (snn.IF(), (3,), 0, UsageError, "needs a batch axis"),
        (snn.IF(), (3, 0, 2), 0, UsageError, "holds no sample"),
    ],
)
def test_what_cannot_be_exported_is_refused(net, shape, time_axis, error, message, capfd):
    with pytest.raises(error, match=message):
        snn.export_onnx(net, None, torch.rand(*shape), time_axis=time_axis)
    assert capfd.readouterr() == ("", "")


def test_a_failed_write_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot write"):
        snn.export_onnx(snn.IF(), tmp_path / "no" / "a.onnx", torch.rand(2, 3, 4), time_axis=0)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16], ids=str)
def test_models_in_other_types_are_refused(kind):
    model = nn.Sequential(nn.Linear(3, 2), snn.Repeat(2), snn.LIF()).to(kind)
    with pytest.raises(UsageError, match=r"'0.weight' is torch\.\w+, .* export model.float\(\)"):
        snn.export_onnx(model, None, torch.zeros(2, 3, dtype=kind))


def test_a_link_is_written_through_and_nothing_is_left_beside(tmp_path):
    target, link = tmp_path / "a.onnx", tmp_path / "b.onnx"
    target.write_bytes(b"old")
    link.symlink_to(target)
    proto = snn.export_onnx(snn.IF(), link, torch.rand(2, 3, 4), time_axis=0)
    assert link.is_symlink()
    assert onnx.load(target) == proto
    assert set(tmp_path.iterdir()) == {target, link}
