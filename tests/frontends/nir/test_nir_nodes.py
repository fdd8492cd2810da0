"""Every node type, written by the nir package, against NIR's equations in numpy."""

import nir
import numpy as np
import pytest
import torch
from nir_files import chain, run, sequence, write, write_unchecked

from snnquant.frontends.nir import read
from snnquant.frontends.nir.graph import KINDS
from snnquant.frontends.reading import SourceOptions

pytestmark = pytest.mark.usefixtures("in_process")

DT = 1e-4
N = 6


def values(low, high, *shape, seed=3):
    return np.random.default_rng(seed).uniform(low, high, shape)


def keep(tau, discretize):
    return 1 - DT / tau if discretize == "euler" else np.exp(-DT / tau)


def simulate(x, *, alpha, gain, rest=0.0, threshold=None, v_reset=0.0, soft=False, syn=None):
    """NIR in float64: alpha of the membrane is kept; syn is (alpha, gain) of the synapse."""
    v = np.zeros(x.shape[1:]) + rest
    i = np.zeros(x.shape[1:])
    outputs = []
    for u in x.astype(np.float64):
        if syn is not None:
            i = syn[0] * i + syn[1] * u
            u = i
        v = alpha * v + (1 - alpha) * rest + gain * u
        if threshold is None:
            outputs.append(v)
            continue
        s = (v > threshold).astype(float)
        v = v - s * threshold if soft else np.where(s > 0, v_reset, v)
        outputs.append(s)
    return np.stack(outputs)


def test_all_node_types_are_tested():
    here = {"LI", "LIF", "CubaLI", "CubaLIF", "I", "IF", "Threshold", "Linear", "Affine", "Scale"}
    here |= {"Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay", "Input", "Output"}
    assert here | {"Identity"} == KINDS


@pytest.mark.parametrize("discretize", ["euler", "exp"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("per_neuron", [False, True])
def test_lif(tmp_path, discretize, reset, per_neuron):
    tau = values(3e-4, 2e-3, N) if per_neuron else np.full(N, 8e-4)
    r, rest = values(1, 4, N), values(-0.1, 0.1, N)
    threshold, v_reset = values(0.4, 0.8, N), values(-0.3, 0.0, N)
    node = nir.LIF(tau=tau, r=r, v_leak=rest, v_threshold=threshold, v_reset=v_reset)
    x = sequence(N, gain=2.0)
    (found,) = run(write(tmp_path, chain((N,), node)), x, reset=reset, discretize=discretize)
    alpha = keep(tau, discretize)
    wanted = simulate(
        x,
        alpha=alpha,
        gain=(1 - alpha) * r,
        rest=rest,
        threshold=threshold,
        v_reset=v_reset,
        soft=reset == "soft",
    )
    assert 0.02 < wanted.mean() < 0.9
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("discretize", ["euler", "exp"])
def test_cubalif(tmp_path, discretize):
    tau_mem, tau_syn = values(3e-4, 2e-3, N), values(2e-4, 1e-3, N, seed=4)
    r, w_in, rest = values(2, 6, N), values(1, 3, N), values(-0.1, 0.1, N)
    threshold, v_reset = values(0.3, 0.6, N), values(-0.3, 0.0, N)
    node = nir.CubaLIF(
        tau_mem=tau_mem,
        tau_syn=tau_syn,
        r=r,
        v_leak=rest,
        v_threshold=threshold,
        v_reset=v_reset,
        w_in=w_in,
    )
    x = sequence(N, gain=2.0)
    path = write(tmp_path, chain((N,), node))
    (found,) = run(path, x, reset="hard", discretize=discretize)
    a, b = keep(tau_mem, discretize), keep(tau_syn, discretize)
    wanted = simulate(
        x,
        alpha=a,
        gain=(1 - a) * r,
        rest=rest,
        threshold=threshold,
        v_reset=v_reset,
        syn=(b, (1 - b) * w_in),
    )
    assert 0.02 < wanted.mean() < 0.9
    np.testing.assert_array_equal(found, wanted)


def test_if(tmp_path):
    r, threshold, v_reset = values(2e3, 6e3, N), values(0.5, 1.0, N), values(-0.3, 0.0, N)
    node = nir.IF(r=r, v_threshold=threshold, v_reset=v_reset)
    x = sequence(N, gain=2.0)
    (found,) = run(write(tmp_path, chain((N,), node)), x)
    # Without leak the membrane starts where it is reset to.
    moved = simulate(x, alpha=1.0, gain=DT * r, threshold=threshold - v_reset)
    np.testing.assert_array_equal(found, moved)


@pytest.mark.parametrize("discretize", ["euler", "exp"])
def test_read_outs(tmp_path, discretize):
    tau, r, rest = values(3e-4, 2e-3, N), values(1, 4, N), values(-0.5, 0.5, N)
    x = sequence(N)
    alpha = keep(tau, discretize)
    node = nir.LI(tau=tau, r=r, v_leak=rest)
    (found,) = run(write(tmp_path, chain((N,), node)), x, discretize=discretize)
    wanted = simulate(x, alpha=alpha, gain=(1 - alpha) * r, rest=rest)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    tau_syn, w_in = values(2e-4, 1e-3, N, seed=4), values(1, 3, N)
    node = nir.CubaLI(tau_mem=tau, tau_syn=tau_syn, r=r, v_leak=rest, w_in=w_in)
    (found,) = run(write(tmp_path, chain((N,), node)), x, discretize=discretize)
    b = keep(tau_syn, discretize)
    synapse = (b, (1 - b) * w_in)
    wanted = simulate(x, alpha=alpha, gain=(1 - alpha) * r, rest=rest, syn=synapse)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    (found,) = run(write(tmp_path, chain((N,), nir.I(r=1e4 * r))), x)
    np.testing.assert_allclose(found, np.cumsum(x * r, axis=0), rtol=1e-4, atol=1e-4)


def test_a_read_out_puts_its_factor_into_the_weights(tmp_path):
    tau, r, rest = values(3e-4, 2e-3, 3), values(1, 4, 3), np.zeros(3)
    weight, bias = values(-1, 1, 3, N), values(-1, 1, 3)
    graph = chain((N,), nir.Affine(weight, bias), nir.LI(tau=tau, r=r, v_leak=rest))
    path = write(tmp_path, graph)
    x = sequence(N)
    (found,) = run(path, x)
    alpha = 1 - DT / tau
    wanted = simulate(x @ weight.T + bias, alpha=alpha, gain=(1 - alpha) * r)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    types = [node.op_type for node in read(path, SourceOptions()).model.graph.node]
    assert types == ["MatMul", "Add", "LI"]


@pytest.mark.parametrize("kind", ["LI", "CubaLI", "I", None])
def test_threshold(tmp_path, kind):
    tau, r, zero = values(3e-4, 2e-3, N), values(2, 6, N), np.zeros(N)
    threshold = values(0.2, 0.6, N)
    x = sequence(N, gain=2.0)
    before = {
        "LI": [nir.LI(tau=tau, r=r, v_leak=zero)],
        "CubaLI": [nir.CubaLI(tau_mem=tau, tau_syn=2 * tau, r=r, v_leak=zero)],
        "I": [nir.I(r=1e3 * r)],
        None: [],
    }[kind]
    path = write(tmp_path, chain((N,), *before, nir.Threshold(threshold)))
    (found,) = run(path, x)
    a, b = 1 - DT / tau, 1 - DT / (2 * tau)
    wanted = {
        "LI": lambda: simulate(x, alpha=a, gain=(1 - a) * r),
        "CubaLI": lambda: simulate(x, alpha=a, gain=(1 - a) * r, syn=(b, 1 - b)),
        "I": lambda: simulate(x, alpha=1.0, gain=DT * 1e3 * r),
        None: lambda: x,
    }[kind]()
    assert found.any()
    np.testing.assert_array_equal(found, wanted > threshold)
    types = [node.op_type for node in read(path, SourceOptions()).model.graph.node]
    assert types == ["CubaLIF" if kind == "CubaLI" else "LIF"]


def test_an_integrator_that_is_read_twice_stays(tmp_path):
    tau, r, zero = values(3e-4, 2e-3, N), values(2, 6, N), np.zeros(N)
    nodes = {
        "source": nir.Input(np.array([N])),
        "li": nir.LI(tau=tau, r=r, v_leak=zero),
        "threshold": nir.Threshold(np.full(N, 0.3)),
        "spikes": nir.Output(np.array([N])),
        "membrane": nir.Output(np.array([N])),
    }
    edges = [
        ("source", "li"),
        ("li", "threshold"),
        ("threshold", "spikes"),
        ("li", "membrane"),
    ]
    x = sequence(N, gain=2.0)
    # HDF5 keeps names in order, so that outputs are in it too.
    membrane, spikes = run(write_unchecked(tmp_path, nodes, edges), x)
    a = 1 - DT / tau
    wanted = simulate(x, alpha=a, gain=(1 - a) * r)
    np.testing.assert_allclose(membrane, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(spikes, wanted > 0.3)


def test_a_layer_in_the_middle_can_be_an_output(tmp_path):
    weight = values(-1, 1, 3, N)
    nodes = {
        "source": nir.Input(np.array([N])),
        "first": neuron(N),
        "again": nir.Output(np.array([N])),
        "middle": nir.Output(np.array([N])),
        "w": nir.Linear(weight),
        "second": neuron(3),
        "sink": nir.Output(np.array([3])),
        "through": nir.Output(np.array([N])),
    }
    edges = [
        ("source", "first"),
        ("first", "again"),
        ("first", "middle"),
        ("first", "w"),
        ("w", "second"),
        ("second", "sink"),
        ("source", "through"),
    ]
    path = write_unchecked(tmp_path, nodes, edges)
    x = sequence(N)
    again, middle, sink, through = run(path, x)
    names = [value.name for value in read(path, SourceOptions()).model.graph.output]
    assert names == ["again", "middle", "sink", "through"]
    np.testing.assert_array_equal(middle, fired(x))
    np.testing.assert_array_equal(again, middle)
    np.testing.assert_array_equal(sink, fired(middle @ weight.T))
    np.testing.assert_array_equal(through, x)


def neuron(*shape, threshold=0.7):
    return nir.IF(r=np.full(shape, 1 / DT), v_threshold=np.full(shape, threshold))


def fired(x, threshold=0.7):
    return simulate(x, alpha=1.0, gain=1.0, threshold=threshold)


def row(tmp_path, node, before, after):
    """Write a node and neurons behind it; nir's own check of shapes is wrong for some of them."""
    nodes = {
        "source": nir.Input(np.array(before)),
        "node": node,
        "neuron": neuron(*after),
        "sink": nir.Output(np.array(after)),
    }
    return write_unchecked(
        tmp_path, nodes, [("source", "node"), ("node", "neuron"), ("neuron", "sink")]
    )


# torch copies to pad an even kernel; that is how it is meant here too.
@pytest.mark.filterwarnings("ignore:Using padding")
def test_convolutions(tmp_path):
    weight, bias = values(-1, 1, 4, 1, 3, 3), values(-1, 1, 4)
    conv = nir.Conv2d((7, 6), weight, (2, 1), (1, 0), (1, 2), 2, bias)
    x = sequence(2, 7, 6)
    (found,) = run(row(tmp_path, conv, (2, 7, 6), (4, 4, 2)), x)
    flat = torch.from_numpy(x.astype(np.float64)).flatten(0, 1)
    tensors = [torch.from_numpy(array) for array in (weight, bias)]
    current = torch.nn.functional.conv2d(flat, *tensors, (2, 1), (1, 0), (1, 2), 2)
    np.testing.assert_array_equal(found, fired(current.numpy().reshape(12, 4, 4, 4, 2)))
    weight, bias = values(-1, 1, 4, 2, 4), values(-1, 1, 4)
    x = sequence(2, 9)
    for padding, size in (("same", 9), ("valid", 6), (2, 10)):
        conv = nir.Conv1d(9, weight, 1, padding, 1, 1, bias)
        (found,) = run(row(tmp_path, conv, (2, 9), (4, size)), x)
        flat = torch.from_numpy(x.astype(np.float64)).flatten(0, 1)
        tensors = [torch.from_numpy(array) for array in (weight, bias)]
        current = torch.nn.functional.conv1d(flat, *tensors, padding=padding)
        np.testing.assert_array_equal(found, fired(current.numpy().reshape(12, 4, 4, size)))


@pytest.mark.parametrize("pool", [nir.SumPool2d, nir.AvgPool2d])
def test_pooling(tmp_path, pool):
    kernel, stride, padding = np.array([2, 4]), np.array([2, 2]), np.array([1, 0])
    x = np.round(sequence(3, 6, 8, gain=2.0))
    node = pool(kernel, stride, padding)
    (found,) = run(write(tmp_path, chain((3, 6, 8), node, neuron(3, 4, 3, threshold=1.3))), x)
    flat = torch.from_numpy(x.astype(np.float64)).flatten(0, 1)
    mean = torch.nn.functional.avg_pool2d(flat, (2, 4), (2, 2), (1, 0)).numpy()
    current = mean * (8 if pool is nir.SumPool2d else 1)
    np.testing.assert_array_equal(found, fired(current.reshape(12, 4, 3, 4, 3), 1.3))


@pytest.mark.parametrize(
    ("start", "end", "after"),
    [(0, -1, (24,)), (1, -1, (2, 12)), (0, 1, (6, 4)), (1, 1, (2, 3, 4)), (-2, -1, (2, 12))],
)
def test_flatten(tmp_path, start, end, after):
    flatten = nir.Flatten(np.array([2, 3, 4]), 0, -1)
    flatten.start_dim, flatten.end_dim = start, end
    x = sequence(2, 3, 4)
    (found,) = run(row(tmp_path, flatten, (2, 3, 4), after), x)
    np.testing.assert_array_equal(found, fired(x.reshape(12, 4, *after)))


def test_scale(tmp_path):
    scale, weight = values(0.5, 2, N), values(-1, 1, N, 4)
    x = sequence(4)
    graph = chain((4,), nir.Linear(weight), nir.Scale(scale), neuron(N))
    path = write(tmp_path, graph)
    np.testing.assert_array_equal(run(path, x)[0], fired(x @ weight.T * scale))
    types = [node.op_type for node in read(path, SourceOptions()).model.graph.node]
    assert types == ["MatMul", "LIF"]
    x = sequence(N)
    path = write(tmp_path, chain((N,), nir.Scale(scale), neuron(N)))
    np.testing.assert_array_equal(run(path, x)[0], fired(x * scale))


def test_a_delay_of_nothing_is_nothing(tmp_path):
    x = sequence(N)
    path = write(tmp_path, chain((N,), nir.Delay(np.zeros(N)), neuron(N)))
    np.testing.assert_array_equal(run(path, x)[0], fired(x))


def test_edges_add_up_and_graphs_nest(tmp_path):
    first, second = values(-1, 1, 3, N), values(-1, 1, 3, N, seed=4)
    inner = nir.NIRGraph(
        {"in": nir.Input(np.array([3])), "if": neuron(3), "out": nir.Output(np.array([3]))},
        [("in", "if"), ("if", "out")],
    )
    nodes = {
        "source": nir.Input(np.array([N])),
        "a": nir.Linear(first),
        "b": nir.Linear(second),
        "layer": inner,
        "sink": nir.Output(np.array([3])),
    }
    edges = [("source", "a"), ("source", "b"), ("a", "layer"), ("b", "layer"), ("layer", "sink")]
    path = write_unchecked(tmp_path, nodes, edges)
    x = sequence(N)
    np.testing.assert_array_equal(run(path, x)[0], fired(x @ first.T + x @ second.T))
    (origin,) = read(path, SourceOptions()).origins
    assert (origin.node, origin.framework, origin.found_at) == ("layer/if", "NIR IF", ("layer/if",))


@pytest.mark.parametrize("form", ["Linear", "Affine", "Scale", "two", "direct"])
def test_recurrence(tmp_path, form):
    matrix, bias, scale = values(-1, 1, N, N), values(-0.2, 0.2, N), values(-1, 1, N)
    nodes = {
        "source": nir.Input(np.array([N])),
        "neuron": neuron(N),
        "sink": nir.Output(np.array([N])),
    }
    edges = [("source", "neuron"), ("neuron", "sink")]
    weight, constant = matrix, np.zeros(N)
    if form == "direct":
        weight = np.eye(N)
        edges.append(("neuron", "neuron"))
    elif form == "two":
        nodes |= {"w": nir.Affine(matrix, bias), "s": nir.Scale(scale)}
        edges += [("neuron", "w"), ("w", "s"), ("s", "neuron"), ("neuron", "s")]
        weight, constant = scale[:, None] * (matrix + np.eye(N)), scale * bias
    else:
        kinds = {"Linear": nir.Linear(matrix), "Affine": nir.Affine(matrix, bias)}
        nodes["w"] = kinds.get(form, nir.Scale(scale))
        edges += [("neuron", "w"), ("w", "neuron")]
        weight = np.diag(scale) if form == "Scale" else matrix
        constant = bias if form == "Affine" else constant
    x = sequence(N)
    v, s, wanted = np.zeros((4, N)), np.zeros((4, N)), []
    for u in x.astype(np.float64):
        v = v + u + s @ weight.T + constant
        s = (v > 0.7).astype(float)
        v = np.where(s > 0, 0.0, v)
        wanted.append(s)
    path = write_unchecked(tmp_path, nodes, edges)
    np.testing.assert_array_equal(run(path, x)[0], np.stack(wanted))
    types = [node.op_type for node in read(path, SourceOptions()).model.graph.node]
    assert types[-1] == "LIFRecurrent"


def test_time_can_stand_elsewhere(tmp_path):
    path = write(tmp_path, chain((N,), neuron(N)))
    x = sequence(N)
    wanted = fired(x)
    (found,) = run(path, np.ascontiguousarray(x.swapaxes(0, 1)), time_axis=1)
    np.testing.assert_array_equal(found, wanted)
    (found,) = run(path, x, timesteps=12)
    np.testing.assert_array_equal(found, wanted)
    (found,) = run(path, x[0], timesteps=12, input_shape=(1, N))
    np.testing.assert_array_equal(found, fired(np.repeat(x[:1], 12, axis=0)))


def test_a_batch_in_the_shapes_is_left_out(tmp_path):
    nodes = {
        "source": nir.Input(np.array([1, N])),
        "w": nir.Linear(values(-1, 1, 3, N)),
        "neuron": nir.IF(r=np.array(1 / DT), v_threshold=np.array(0.7), v_reset=np.array(0.0)),
        "sink": nir.Output(np.array([1, 3])),
    }
    edges = [("source", "w"), ("w", "neuron"), ("neuron", "sink")]
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False), compression=None)
    reading = read(path, SourceOptions())
    assert any("the batch in front" in note for note in reading.notes)
    assert run(path, sequence(N))[0].shape == (12, 4, 3)
