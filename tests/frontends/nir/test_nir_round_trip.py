"""A canonical graph, written as NIR and read back, gives the same spikes: every neuron and node."""

import nir
import numpy as np
import onnx
import pytest
from graphs import Graph, run_float

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.nir import read
from snnquant.frontends.nir.write import write_nir
from snnquant.frontends.reading import SourceOptions
from snnquant.neurons import CUBALIF, LI, LIF, Reset
from snnquant.ops import schemas
from snnquant.passes import canonicalise

pytestmark = pytest.mark.usefixtures("in_process")

T, B, N = 12, 4, 6
RNG = np.random.default_rng(2)


def spread(low, high, *shape):
    return np.random.default_rng(5).uniform(low, high, shape).astype(np.float32)


def sequence_of(*shape):
    return np.random.default_rng(0).normal(size=(T, B, *shape)).astype(np.float32) * 2


def parameters(model, *shape):
    """Return constants that differ from neuron to neuron."""
    found = {
        "alpha": spread(0.5, 1.0, *shape),
        "alpha_syn": spread(0.3, 0.9, *shape),
        "leak_bias": spread(-0.1, 0.1, *shape),
        "v_threshold": spread(0.5, 1.0, *shape),
        "dv": spread(0.4, 1.2, *shape),
        "v_reset": spread(-0.2, 0.2, *shape),
        "refractory_steps": np.full(shape, 2.0),
        "v_init": spread(-0.5, 0.3, *shape),
    }
    return {p.name: found[p.name] for p in model.parameters}


def assert_round_trip(model, path, feeds, dt=1e-4):
    """Write, read with the nir package, read back, and compare; return the sentences."""
    notes = write_nir(canonicalise(model), path, dt)
    # Its check of types counts the channels of grouped convolutions wrongly.
    assert isinstance(nir.read(path, type_check=False), nir.NIRGraph)
    reading = read(path, SourceOptions())
    (x,) = feeds.values()
    wanted = run_float(model, feeds)
    found = run_float(reading.model, {reading.model.graph.input[0].name: x})
    assert len(wanted) == len(found) > 0
    for a, b in zip(wanted, found, strict=True):
        assert a.any()
        np.testing.assert_array_equal(a, b)
    return notes


SPIKING = [
    (op, reset, structure)
    for op in ("LIF", "LIFRecurrent", "CubaLIF", "CubaLIFRecurrent")
    for reset in Reset
    for structure in (
        {},
        {"reset_after_leak": 1},
        {"fire_on_equal": 1},
        {"max_spikes": 5},
        {"refractory": 1},
        {"reset_after_leak": 1, "fire_on_equal": 1, "max_spikes": 3, "refractory": 1},
    )
]


@pytest.mark.parametrize(("op", "reset", "structure"), SPIKING)
def test_spiking_neurons(tmp_path, op, reset, structure):
    assert len(SPIKING) == 96
    g = Graph()
    x = g.input("input", ["time", "batch", N])
    model = schemas()[op].neuron
    weight = spread(-0.5, 0.5, N, N) if schemas()[op].recurrent else None
    choices = {"reset": int(reset), **structure}
    spikes = g.neuron(x, op, weight=weight, choices=choices, **parameters(model, N))[0]
    g.output(spikes, 3)
    notes = assert_round_trip(g.model(), tmp_path / "net.nir", {"input": sequence_of(N)})
    told = " ".join(notes)
    assert ("subtracts at a spike" in told) == (reset in (Reset.SOFT, Reset.SOFT_CONSTANT))
    assert ("spikes per step" in told) == ("max_spikes" in structure)
    assert ("is refractory" in told) == ("refractory" in structure)


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 0.7])
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_decays_come_back_exactly(tmp_path, alpha, dt):
    for model in (LIF, CUBALIF, LI):
        g = Graph()
        x = g.input("input", ["time", "batch", N])
        given = {"alpha": alpha, "leak_bias": 0.03}
        if model is not LIF:
            given["alpha_syn"] = alpha
        choices = {"synaptic": 1} if model is LI else {}
        g.output(g.neuron(x, model.name, choices=choices, **given)[0], 3)
        path = tmp_path / "net.nir"
        assert_round_trip(g.model(), path, {"input": sequence_of(N)}, dt)
        written = read(path, SourceOptions()).model
        held = {t.name.split(".")[-1]: onnx.numpy_helper.to_array(t) for t in
                written.graph.initializer}  # fmt: skip
        assert held["alpha"] == np.float32(alpha)
        assert held["leak_bias"] == np.float32(0.03)


@pytest.mark.parametrize("synaptic", [0, 1])
@pytest.mark.parametrize("alpha", [0.8, 1.0])
def test_read_outs(tmp_path, synaptic, alpha):
    g = Graph()
    x = g.input("input", ["time", "batch", N])
    given = {"alpha": alpha, "alpha_syn": 0.6, "leak_bias": 0.0, "v_init": spread(-1, 1, N)}
    g.output(g.neuron(x, "LI", choices={"synaptic": synaptic}, **given)[0], 3)
    notes = assert_round_trip(g.model(), tmp_path / "net.nir", {"input": sequence_of(N)})
    assert notes == ["Neuron 'li1' starts at another membrane than at rest: only snnquant reads "
                     "that."]  # fmt: skip


def convolutional(rank, time="time"):
    """Return a network of synapses, pooling and sums over feature maps of a rank."""
    g = Graph()
    size = (9,) if rank == 1 else (8, 6)
    x = g.input("input", [time, "batch", 2, *size])
    y = g.reshape(x, [-1, 2, *size])
    weight = RNG.normal(size=(4, 1, *(3,) * rank))
    y = g.op("Conv", y, g.const(weight), g.const(RNG.normal(size=4)), group=2, pads=[1] * 2 * rank)
    y = split(g, x, y, (4, *size), time)
    y = g.neuron(y, alpha=spread(0.5, 0.9, 4), v_threshold=spread(0.5, 1.0, 4))[0]
    if rank == 2:
        y = g.reshape(y, [-1, 4, *size])
        y = g.op("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])
        size = (4, 3)
        y = split(g, x, y, (4, *size), time)
        y = g.op("Mul", y, g.const(4.0))  # a sum
        y = g.neuron(y, alpha=0.5, v_threshold=spread(0.5, 1.0, 4, *size))[0]
    flat = 4 * int(np.prod(size))
    y = g.reshape(y, [-1, flat])
    y = g.op("Gemm", y, g.const(RNG.normal(size=(flat, 5))), g.const(RNG.normal(size=5)))
    y = split(g, x, y, (5,), time)
    g.output(g.neuron(y)[0], 3)
    return g.model(), {"input": sequence_of(2, *((9,) if rank == 1 else (8, 6)))}


def split(g, x, y, features, time):
    if time != "time":
        return g.reshape(y, [time, -1, *features])
    lead = g.op("Slice", g.op("Shape", x), g.const([0], np.int64), g.const([2], np.int64))
    return g.op("Reshape", y, g.op("Concat", lead, g.const(features, np.int64), axis=0))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("time", ["time", T])
def test_synapses_and_pooling(tmp_path, rank, time):
    model, feeds = convolutional(rank, time)
    path = tmp_path / "net.nir"
    assert assert_round_trip(model, path, feeds) == []
    kinds = [type(node).__name__ for node in nir.read(path, type_check=False).nodes.values()]
    assert f"Conv{rank}d" in kinds
    assert {"Flatten", "Affine", "LIF"} <= set(kinds)
    assert ("SumPool2d" in kinds) == (rank == 2)


def test_sums_scales_and_several_outputs(tmp_path):
    g = Graph()
    x = g.input("input", ["time", "batch", N])
    first = g.op("MatMul", x, g.const(RNG.normal(size=(N, 5))))
    second = g.op("Add", g.op("MatMul", x, g.const(RNG.normal(size=(N, 5)))), g.const([0.1] * 5))
    spikes = g.neuron(g.op("Sub", first, second), alpha=0.5)[0]
    scaled = g.op("Mul", spikes, g.const(spread(0.5, 2, 5)))
    more = g.neuron(g.op("Add", scaled, spikes), alpha=0.5)[0]
    g.output(spikes, 3)
    g.output(more, 3)
    assert_round_trip(g.model(), tmp_path / "net.nir", {"input": sequence_of(N)})


def test_equal_graphs_give_equal_files(tmp_path):
    model, _ = convolutional(2)
    for name in ("a.nir", "b.nir"):
        write_nir(canonicalise(model), tmp_path / name)
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()


def one_neuron(op="LIF", shape=(N,), **given):
    g = Graph()
    x = g.input("input", ["time", "batch", *shape])
    outputs = g.neuron(x, op, **given)
    g.output(outputs[0], len(shape) + 2)
    return g


def refused():
    """Yield graphs that NIR cannot express, and the reason."""
    yield one_neuron("ExtendedLIF"), "neuron 'extendedlif1' is a ExtendedLIF, which NIR cannot"
    membranes = one_neuron("LIFMembrane")
    yield membranes, "states and membranes are no outputs of a NIR neuron"
    g = one_neuron()
    g.output(g.op("Relu", g.nodes[-1].output[0], name="relu"), 3)
    yield g, "node 'relu' (Relu) cannot be written as NIR: NIR has no node for it"
    g = one_neuron(shape=(2, 4, 4))
    y = g.op("MaxPool", g.reshape(g.nodes[-1].output[0], [-1, 2, 4, 4]), kernel_shape=[2, 2])
    g.output(y, 4)
    yield g, "(MaxPool) cannot be written as NIR: NIR has no node for it"
    g = Graph()
    x = g.input("input", ["time", "batch", N])
    g.output(g.neuron(g.op("Add", x, g.const(0.5), name="offset"))[0], 3)
    yield g, "node 'offset' (Add) cannot be written as NIR: it adds a constant that is no bias"
    g = Graph()
    x = g.input("input", ["time", "batch", N])
    spikes = g.neuron(x)[0]
    g.output(g.neuron(g.op("Mul", spikes, x, name="gate"))[0], 3)
    yield g, "node 'gate' (Mul) cannot be written as NIR"
    g = Graph()
    x = g.reshape(g.input("input", ["time", "batch", 1, 5, 5]), [-1, 1, 5, 5])
    y = g.op("Conv", x, g.const(np.ones((1, 1, 3, 3))), pads=[0, 0, 1, 1], name="lopsided")
    g.output(g.neuron(g.reshape(y, [T, -1, 1, 4, 4]))[0], 5)
    yield g, "node 'lopsided' (Conv) cannot be written as NIR: its weights, padding or shape"


REFUSED = list(refused())


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_nir_cannot_express_is_refused(tmp_path, case):
    assert len(REFUSED) == 7
    graph, reason = REFUSED[case]
    with pytest.raises(ModelError) as refusal:
        write_nir(canonicalise(graph.model()), tmp_path / "net.nir")
    assert reason in str(refusal.value)
    assert not (tmp_path / "net.nir").exists()


def test_a_step_of_no_length_is_refused(tmp_path):
    with pytest.raises(UsageError, match="the step is 0 s long, must be above 0"):
        write_nir(canonicalise(one_neuron().model()), tmp_path / "net.nir", 0.0)
