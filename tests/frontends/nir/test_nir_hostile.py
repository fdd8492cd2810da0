"""Damaged and hostile files end in one sentence, and allocate no more than they hold."""

import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from nir_files import chain, write

from snnquant.errors import ModelError, NumericalError, SnnquantError, UsageError
from snnquant.frontends import read_source
from snnquant.frontends.nir import read
from snnquant.frontends.reading import SourceOptions

pytestmark = pytest.mark.usefixtures("in_process")

N = 6


def valid(tmp_path):
    neuron = nir.LIF(
        tau=np.full(N, 1e-3),
        r=np.full(N, 10.0),
        v_leak=np.zeros(N),
        v_threshold=np.ones(N),
        v_reset=np.zeros(N),
    )
    weight, bias = np.eye(N), np.zeros(N)
    return write(tmp_path, chain((N,), nir.Affine(weight, bias), lif=neuron))


def refuse(path, kind=ModelError, **options):
    """Return the one line with which a file is refused."""
    with pytest.raises(kind) as refusal:
        read(Path(path), SourceOptions(**options))
    message = str(refusal.value)
    assert "\n" not in message
    return message


def put(path, name, **dataset):
    """Replace a dataset."""
    with h5py.File(path, "a") as stream:
        if name in stream:
            del stream[name]
        stream.create_dataset(name, **dataset)


def rewire(path, edges):
    put(path, "node/edges", data=np.array(edges, object), dtype=h5py.string_dtype())


def test_a_valid_file_is_read(tmp_path):
    assert len(read(valid(tmp_path), SourceOptions()).origins) == 1


def test_no_file_and_no_hdf5(tmp_path):
    assert "there is no model file" in refuse(tmp_path / "nothing.nir")
    assert "no regular file" in refuse(tmp_path)
    for name, content in {"empty": b"", "text": b"neurons", "zip": b"PK\3\4" * 99}.items():
        path = tmp_path / f"{name}.nir"
        path.write_bytes(content)
        assert "is not a NIR file or is damaged" in refuse(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    assert "is not a NIR file or is damaged" in refuse(path)
    path = tmp_path / "other.nir"
    put(path, "weights", data=np.ones(3))
    assert "holds no NIR graph ('node')" in refuse(path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated(tmp_path, share):
    path = valid(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged" in refuse(path)


def test_flipped_bytes_are_read_or_refused(tmp_path):
    path = valid(tmp_path)
    content = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(content), 300)
    refused = 0
    for place in places.tolist():
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read(path, SourceOptions())
        except SnnquantError:
            refused += 1
    assert refused > 10


def test_a_text_heap_without_end(tmp_path):
    """HDF5 itself never ends at a free object of size 0."""
    path = valid(tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(b"GCOL") + 16
    while (index := int.from_bytes(content[place : place + 2], "little")) != 0:
        length = int.from_bytes(content[place + 8 : place + 16], "little")
        place += 16 + (length + 7) // 8 * 8
    assert index == 0
    content[place + 8 : place + 16] = bytes(8)
    path.write_bytes(content)
    assert "a heap without end" in refuse(path)


FIELDS = [
    ("nodes/n0/weight", {"data": "text"}, "weight is a text, not numbers"),
    ("nodes/n0/weight", {"data": np.ones(N)}, "does not fit its weights [6]"),
    ("nodes/n0/weight", {"data": np.ones((2, N, N))}, "does not fit its weights [2, 6, 6]"),
    ("nodes/n0/weight", {"data": np.ones((N, 9))}, "gets [6], which does not fit its weights"),
    ("nodes/n0/weight", {"data": np.zeros((0, N))}, "(Affine) has no weight"),
    ("nodes/n0/bias", {"data": np.ones(5)}, "has 5 biases for 6 channels"),
    ("nodes/n0/type", {"data": "Warp"}, "node 'n0' has type Warp, which is not read"),
    ("nodes/n0/type", {"data": np.ones(2)}, "the type of 'n0' is no text"),
    ("nodes/n0/type", {"data": "LIF"}, "node 'n0' (LIF) has no tau"),
    ("nodes/lif/tau", {"data": np.zeros(N)}, "tau is 0, must be > 0"),
    ("nodes/lif/tau", {"data": np.full(N, 7e-5)}, "is shorter than the step dt = 0.0001"),
    ("nodes/lif/tau", {"data": np.full(5, 1e-3)}, "tau has the shape [5], its neurons [6]"),
    ("nodes/lif/r", {"data": -np.ones(N)}, "its input acts with the factor"),
    ("nodes/source/shape", {"data": np.array([-3])}, "has the shape [-3]"),
    ("nodes/source/shape", {"data": np.array([2.5])}, "shape is [2.5], must be 1 integers"),
    ("nodes/source/shape", {"data": np.array([2**40])}, "must be 1 integers"),
    ("type", {"data": "LIF"}, "holds one LIF node, not a graph"),
    ("edges", {"data": np.ones((3, 2))}, "'edges' of 'node' is no list of pairs of names"),
    ("edges", {"data": np.ones(3)}, "'edges' of 'node' is no list of pairs of names"),
]


@pytest.mark.parametrize(("name", "dataset", "reason"), FIELDS)
def test_wrong_fields(tmp_path, name, dataset, reason):
    assert len(FIELDS) == 19
    path = valid(tmp_path)
    put(path, f"node/{name}", **dataset)
    assert reason in refuse(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["n0/weight", "n0/bias", "lif/v_threshold", "lif/v_leak", "lif/v_reset"]
)
def test_numbers_that_are_none(tmp_path, name, value):
    path = valid(tmp_path)
    with h5py.File(path, "a") as stream:
        data = stream[f"node/nodes/{name}"][()]
    data.flat[1] = value
    put(path, f"node/nodes/{name}", data=data)
    assert "holds NaN or infinity" in refuse(path, NumericalError)


def test_values_beyond_float32(tmp_path):
    path = valid(tmp_path)
    put(path, "node/nodes/n0/weight", data=np.full((N, N), 1e300))
    assert "holds NaN or infinite values" in refuse(path, NumericalError)


CHAIN = [("source", "n0"), ("n0", "lif"), ("lif", "sink")]
EDGES = [
    ([], "nothing feeds node 'sink' (Output)"),
    (CHAIN[1:], "nothing feeds node 'n0' (Affine)"),
    (CHAIN[:2], "nothing feeds node 'sink' (Output)"),
    ([*CHAIN, ("lif", "gone")], "edge ('lif', 'gone'): there is no node 'gone'"),
    ([*CHAIN, ("lif", "source")], "feeds"),
    ([*CHAIN, ("n0", "n0")], "nodes 'n0' form a cycle without a neuron"),
    ([("source", "sink"), *CHAIN[:2]], "has no neuron that leads to an output"),
    ([("source", "lif"), ("lif", "n0"), ("n0", "lif"), ("source", "n0"), ("n0", "sink")],
     "node 'source' feeds 'n0' inside the recurrence of 'lif'"),
]  # fmt: skip


@pytest.mark.parametrize(("edges", "reason"), EDGES)
def test_wrong_edges(tmp_path, edges, reason):
    assert len(EDGES) == 8
    path = valid(tmp_path)
    rewire(path, edges or np.zeros((0, 2), object))
    assert reason in refuse(path)


def test_edges_that_are_listed_twice_are_read_once(tmp_path):
    path = valid(tmp_path)
    rewire(path, [*CHAIN, CHAIN[0]])
    reading = read(path, SourceOptions())
    assert "Edges that the file lists twice are read once." in reading.notes
    assert [node.op_type for node in reading.model.graph.node] == ["MatMul", "LIF"]


def test_two_layers_that_feed_each_other(tmp_path):
    cell = nir.IF(r=np.full(N, 1e4), v_threshold=np.ones(N))
    nodes = {
        "source": nir.Input(np.array([N])),
        "a": cell,
        "b": nir.IF(r=np.full(N, 1e4), v_threshold=np.ones(N)),
        "sink": nir.Output(np.array([N])),
    }
    edges = [("source", "a"), ("a", "b"), ("b", "a"), ("b", "sink")]
    path = write(tmp_path, nir.NIRGraph(nodes, edges, type_check=False))
    assert "form a cycle through 2 neuron layers" in refuse(path)


@pytest.mark.parametrize("weight", [np.ones(N), np.ones((N, N, 1)), np.ones((N, 9)), np.ones(())])
def test_a_recurrence_that_does_not_fit(tmp_path, weight):
    path = valid(tmp_path)
    with h5py.File(path, "a") as stream:
        stream.copy("node/nodes/n0", "node/nodes/back")
    put(path, "node/nodes/back/weight", data=weight)
    rewire(path, [*CHAIN, ("lif", "back"), ("back", "lif")])
    assert "node 'back' does not fit the 6 neurons of 'lif' that it feeds" in refuse(path)


@pytest.mark.parametrize("name", ["r", "v_threshold", "v_leak"])
def test_parameters_at_the_ends_of_float64(tmp_path, name):
    path = valid(tmp_path)
    put(path, f"node/nodes/lif/{name}", data=np.full(N, 1e308))
    if name == "r":
        assert "its input acts with the factor" in refuse(path)
    else:
        assert "holds NaN or infinite values" in refuse(path, NumericalError)


def test_a_real_delay(tmp_path):
    path = write(tmp_path, chain((N,), nir.Delay(np.full(N, 1e-3))))
    assert "node 'n0' (Delay) delays by 0.001 s" in refuse(path)


# -- allocations -----------------------------------------------------------------------------------


HUGE = [
    {"shape": (1 << 20, 1 << 20), "dtype": "f8", "chunks": (64, 64)},
    {"shape": (1 << 20, 1 << 20), "dtype": "f8", "chunks": (64, 64), "compression": "gzip"},
    {"shape": (1 << 22,), "dtype": "f8", "fillvalue": 1.0},
]


@pytest.mark.parametrize("dataset", HUGE)
@pytest.mark.parametrize("name", ["nodes/n0/weight", "nodes/lif/metadata/x", "edges"])
def test_sizes_that_the_file_cannot_hold(tmp_path, dataset, name):
    path = valid(tmp_path)
    put(path, f"node/{name}", **dataset)
    assert path.stat().st_size < 100_000
    message = refuse(path)
    assert "which the file cannot hold" in message or "no list of pairs" in message


def test_one_dataset_under_many_names_counts_as_often(tmp_path):
    path = valid(tmp_path)
    with h5py.File(path, "a") as stream:
        group = stream["node/nodes/lif"]
        group.create_dataset("big", data=np.zeros(1 << 20), compression="gzip")
        for k in range(2000):
            group[f"again{k}"] = group["big"]
    assert "which the file cannot hold" in refuse(path)


def test_long_names_that_share_their_bytes(tmp_path):
    path = valid(tmp_path)
    rewire(path, [["x" * (1 << 20), "lif"]] * 3)
    assert "'edges' of 'node' is no short text" in refuse(path)


def test_links_lead_nowhere_else(tmp_path):
    path = valid(tmp_path)
    secret = tmp_path / "secret.h5"
    put(secret, "weight", data=np.eye(N))
    with h5py.File(path, "a") as stream:
        group = stream["node/nodes/n0"]
        del group["weight"]
        group["weight"] = h5py.ExternalLink(str(secret), "/weight")
    assert "'/node/nodes/n0/weight' is a link, not data" in refuse(path)
    path = valid(tmp_path)
    raw = tmp_path / "raw.bin"
    raw.write_bytes(np.eye(N).tobytes())
    external = [(str(raw), 0, h5py.h5f.UNLIMITED)]
    put(path, "node/nodes/n0/weight", shape=(N, N), dtype="f8", external=external)
    assert "'weight' of 'n0' lies in another file" in refuse(path)


def test_a_group_inside_itself(tmp_path):
    path = valid(tmp_path)
    with h5py.File(path, "a") as stream:
        inner = stream["node/nodes"].create_group("inner")
        inner.create_dataset("type", data="NIRGraph")
        inner["nodes"] = stream["node/nodes"]
    assert "levels" in refuse(path)


def test_recurrence_over_more_than_a_file_holds(tmp_path):
    cell = nir.IF(r=np.array(1e4), v_threshold=np.array(1.0), v_reset=np.array(0.0))
    nodes = {
        "source": nir.Input(np.array([1 << 20])),
        "cell": cell,
        "sink": nir.Output(np.array([1 << 20])),
    }
    edges = [("source", "cell"), ("cell", "cell"), ("cell", "sink")]
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False), compression=None)
    assert "is recurrent over 1048576 neurons; at most 4096 are" in refuse(path)


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    path = valid(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install 'snnquant\[nir\]'"):
        read_source(path)
