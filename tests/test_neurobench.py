"""NeuroBench's metrics: by hand on tiny networks, against the package, equal after fusion."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, options_of, quantize

from snnquant.connections import Connection
from snnquant.data import open_data
from snnquant.errors import UsageError
from snnquant.evaluate import evaluate_model
from snnquant.fusion import fuse_model
from snnquant.ops import schemas
from snnquant.passes import canonicalise
from snnquant.stepping import step_model


def measure(model, x, folder, **options):
    np.savez(folder / "data.npz", x=x)
    found = evaluate_model(
        model, open_data(folder / "data.npz"), neurobench=True, threads=1, **options
    )
    return found.neurobench


def tiny():
    """Three inputs, two neurons without memory: x @ W fires above 0.5."""
    g = Graph()
    weight = np.array([[1, 0], [0, 0], [1, 1]])
    y = g.op("MatMul", g.input("x", ["T", "B", 3]), g.const(weight))
    g.output(g.neuron(y, name="lif", alpha=0.0, v_threshold=0.5)[0], 3)
    return ir.to_proto(canonicalise(g.model()))


#: [B, T, 3]: sums are [2, 1], [0, 0] and [1, 0], [1, 0].
SPIKES = np.array([[[1, 1, 1], [0, 1, 0]], [[1, 0, 0], [1, 0, 0]]], np.float32)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_every_number_by_hand(tmp_path, batch_size):
    found = measure(tiny(), SPIKES, tmp_path, batch_size=batch_size, custom_ops=False)
    assert found.weights == 6
    assert found.weight_bits == 6 * 32
    assert found.footprint == 4 * (6 + len(schemas()["LIF"].parameter_names))
    assert found.connection_sparsity == 3 / 6
    # Fan-out without zeros 1, 0, 2: the first step of the first sample 3, its second 0; then 1, 1.
    assert (found.effective_acs, found.effective_macs) == (5 / 2, 0)
    assert found.dense == 2 * 3 * 2
    # Spikes: [1, 1], [0, 0] and [1, 0], [1, 0].
    assert found.activation_sparsity == 4 / 8
    # The membranes are the sums: both neurons at the first step, and both of the first sample.
    assert found.membrane_updates == (2 + 2 + 2) / 2


def test_real_inputs_are_multiplied(tmp_path):
    found = measure(tiny(), SPIKES * 0.75, tmp_path, custom_ops=False)
    assert (found.effective_acs, found.effective_macs) == (0, 5 / 2)


def test_membranes_that_stay_are_no_updates(tmp_path):
    g = Graph()
    y = g.op("MatMul", g.input("x", ["T", "B", 2]), g.const(np.eye(2)))
    g.output(g.neuron(y, name="lif", alpha=0.5, v_threshold=9.0)[0], 3)
    x = np.array([[[0, 1], [0, 0], [1, 0]]], np.float32)
    found = measure(ir.to_proto(canonicalise(g.model())), x, tmp_path, custom_ops=False)
    # Neuron 0: 0, 0, 1; neuron 1: 1, 0.5, 0.25. The first step counts both.
    assert found.membrane_updates == 2 + 1 + 2


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((3, 3), {"strides": (1, 1), "pads": (1, 1, 1, 1)}),
        ((3, 2), {"strides": (2, 1), "pads": (0, 1, 2, 0)}),
        ((2, 3), {"strides": (1, 3), "dilations": (2, 1), "pads": (1, 0, 0, 2), "group": 2}),
        ((3,), {"strides": (2,), "pads": (1, 2)}),
    ],
)
def test_convolutions_against_torch(kernel, options, last):
    """As the package counts: a convolution of ones, zeros around, without bias."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    axes, group = len(kernel), options.get("group", 1)
    weight = rng.integers(-1, 2, (4, 6 // group, *kernel))
    x = rng.integers(0, 2, (5, 6, *(8, 7)[:axes])).astype(np.float32)
    full = {"dilations": (1,) * axes} | options
    seen = np.moveaxis(x, 1, -1) if last else x
    found = Connection("x", weight, channels_last=last, **full).count(seen, 5, None)
    run = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[axes - 1]

    def ops(x, weight):
        sides = np.array(full["pads"]).reshape(2, axes).T[::-1].reshape(-1)
        padded = torch.nn.functional.pad(torch.tensor(x, dtype=torch.float64), sides.tolist())
        ones = torch.tensor(weight, dtype=torch.float64)
        step, apart = full["strides"], full["dilations"]
        return float(run(padded, ones, stride=step, dilation=apart, groups=group).sum())

    assert found.effective == ops(x != 0, weight != 0)
    assert found.dense == ops(np.ones_like(x), np.ones_like(weight))
    assert found.binary


def test_the_rest_of_a_fixed_batch_is_not_counted():
    """Folded [T, B] or static rows of a batch of three, of which two are samples."""
    weight = np.ones((1, 1))
    folded = np.array([1, 1, 0, 1, 0, 1])[:, None]
    assert Connection("x", weight).count(folded, 2, 3).effective == 3
    assert Connection("x", weight).count(folded.reshape(2, 3, 1), 2, 3).effective == 3
    assert Connection("x", weight).count(folded.reshape(3, 2, 1), 2, 3).effective == 3
    assert Connection("x", weight).count(folded, 3, 3).effective == 4


def pooled():
    g = Graph()
    rng = np.random.default_rng(3)
    x = g.reshape(g.input("x", [5, "B", 2, 6, 6]), [-1, 2, 6, 6])
    maps = g.op("Conv", x, g.const(rng.normal(size=(4, 2, 3, 3))), pads=[1, 1, 1, 1])
    s = g.neuron(g.reshape(maps, [5, -1, 4, 6, 6]), name="a", alpha=0.8, v_threshold=0.7)[0]
    small = g.op("AveragePool", g.reshape(s, [-1, 4, 6, 6]), kernel_shape=[2, 2], strides=[2, 2])
    y = g.op("MatMul", g.reshape(small, [-1, 36]), g.const(rng.normal(size=(36, 3))))
    g.output(g.neuron(g.reshape(y, [5, -1, 3]), name="b", alpha=0.9, v_threshold=0.7)[0], 3)
    return canonicalise(g.model())


@pytest.mark.parametrize("bits", [8, 3])
def test_fusion_changes_no_metric(tmp_path, bits):
    x = np.random.default_rng(1).integers(0, 2, (6, 5, 2, 6, 6)).astype(np.float32)
    plain = quantize(pooled(), options_of(weight_bits=bits), spikes=["x"]).model
    want = measure(plain, x, tmp_path)
    fused = fuse_model(plain).model
    for custom_ops in (True, False):
        found = measure(fused, x, tmp_path, batch_size=4, custom_ops=custom_ops)
        for name in vars(want):
            if name != "footprint":
                assert getattr(found, name) == pytest.approx(getattr(want, name)), name
    stored = 8 if bits == 8 else 4
    assert want.weight_bits == want.weights * stored
    assert want.weights == 4 * 2 * 9 + 36 * 3
    assert 0 < want.effective_macs + want.effective_acs < want.dense


def test_single_steps_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--neurobench needs whole sequences; evaluate"):
        measure(step_model(tiny()), SPIKES, tmp_path, custom_ops=False)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_package_counts_the_same(tmp_path, recurrent):
    """On an snnTorch network with a layer of spikes and one of real inputs."""
    pytest.importorskip("neurobench", reason="neurobench is not installed")
    # A process of its own: snnTorch's neurons keep what other tests exported with them.
    code = (
        f"import test_neurobench as t; t.compare_with_the_package({str(tmp_path)!r}, {recurrent})"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "compared"


def compare_with_the_package(folder, recurrent):
    """Count with both and compare."""
    import torch
    from neurobench.metrics.static import ConnectionSparsity
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
    from neurobench.models import SNNTorchModel
    from snntorch import Leaky, RLeaky, utils

    from snnquant.frontends.torch.convert import read_network
    from snnquant.frontends.torch.network import Example

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            # Reset to zero, snnTorch runs the recurrent layer twice, and both are counted.
            reset = "subtract" if recurrent else "zero"
            own = {"init_hidden": True, "reset_mechanism": reset, "threshold": 0.3}
            self.fc1, self.fc2 = torch.nn.Linear(5, 8), torch.nn.Linear(8, 3)
            hidden = RLeaky(0.8, linear_features=8, **own) if recurrent else Leaky(0.8, **own)
            self.lif1, self.lif2 = hidden, Leaky(0.9, output=True, **own)

        def forward(self, x):
            return self.lif2(self.fc2(self.lif1(self.fc1(x))))

    class Sequence(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            utils.reset(self.net)
            return torch.stack([self.net(step)[0] for step in x])

    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        net.fc2.weight[:, ::3] = 0
    read = read_network(Sequence(net), Example((6, 1, 5), 0, None), "net")
    canonical = ir.to_proto(canonicalise(read.model))
    x = torch.randn(4, 6, 5).relu()
    model = SNNTorchModel(net)
    model.register_hooks()
    activity, operations, updates = ActivationSparsity(), SynapticOperations(), MembraneUpdates()
    with torch.no_grad():
        out = model(x)
    batch = (x, torch.zeros(4))
    sparsity = activity(model, out, batch)
    ops, changed = operations(model, out, batch), updates(model, out, batch)
    found = measure(canonical, x.numpy(), Path(folder), custom_ops=False)
    assert found.activation_sparsity == pytest.approx(sparsity)
    assert 0.1 < sparsity < 0.9
    assert found.connection_sparsity == pytest.approx(ConnectionSparsity()(model), abs=5e-5)
    assert found.effective_macs == ops["Effective_MACs"]
    assert found.effective_acs == ops["Effective_ACs"]
    assert found.dense == ops["Dense"]
    assert found.membrane_updates == changed
    print("compared")
