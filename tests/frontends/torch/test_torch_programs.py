"""Programs of torch.export: neurons in them become nodes, and nothing that they say is run."""

import io
import json
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch_nets import (
    SnnTorchLoop,
    SpikingJellyLoop,
    functional,
    layer,
    neuron,
    neurons,
    same_as_torch,
    settled,
    snntorch,
)

from snnquant.errors import ModelError
from snnquant.frontends import SourceOptions, read_source

pytestmark = pytest.mark.filterwarnings("ignore")


def saved(net, path, *shape, batch_axis=0):
    """Export a settled net with a dynamic batch and save it."""
    settled(net).eval()
    with torch.no_grad():
        program = torch.export.export(
            net, (torch.randn(*shape),), dynamic_shapes=({batch_axis: Dim.DYNAMIC},)
        )
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: neuron.IFNode(v_reset=None),
        lambda: neuron.LIFNode(tau=2.0, v_reset=-0.1),
        lambda: neuron.ParametricLIFNode(init_tau=3.0, decay_input=False),
    ],
    ids=["if", "lif", "plif"],
)
@pytest.mark.parametrize("mode", ["loop", "multi"])
def test_operations_of_spikingjelly_become_neurons(tmp_path, make, mode):
    if mode == "loop":
        net = SpikingJellyLoop(make(), make())
    else:

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(layer.Linear(12, 16), make(), layer.Linear(16, 6), make())
                functional.set_step_mode(self, "m")

            def forward(self, x):
                functional.reset_net(self)
                return self.net(x.unsqueeze(0).repeat(5, 1, 1)).mean(0)

        net = Net()
    reading = read_source(saved(net, tmp_path / "net.pt2", 3, 12))
    assert neurons(reading) == ["LIF", "LIF"]
    assert [origin.found_at for origin in reading.origins] == [("net.1",), ("net.3",)]
    same_as_torch(reading, net, 4, 12)


def test_a_time_major_program_is_known_by_its_free_axis(tmp_path):
    net = nn.Sequential(layer.Linear(12, 6), neuron.IFNode())
    functional.set_step_mode(net, "m")
    path = saved(net, tmp_path / "net.pt2", 4, 3, 12, batch_axis=1)
    functional.reset_net(net)
    reading = read_source(path)
    assert neurons(reading) == ["LIF"]
    same_as_torch(reading, net, 4, 5, 12)


def test_other_programs_are_recognised_from_their_operations(tmp_path):
    net = SnnTorchLoop(snntorch.Leaky(0.9), snntorch.Leaky(0.8), steps=3)
    reading = read_source(saved(net, tmp_path / "net.pt2", 3, 12))
    assert neurons(reading) == ["LIF", "LIF"]
    assert any("says of its neurons only what they compute" in note for note in reading.notes)
    same_as_torch(reading, net, 4, 12)


def test_training_mode_is_refused(tmp_path):
    net = nn.Sequential(nn.Linear(12, 6), nn.Dropout(0.5), neuron.IFNode())
    program = torch.export.export(
        net.train(), (torch.randn(3, 12),), dynamic_shapes=({0: Dim.DYNAMIC},)
    )
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="exported in training mode"):
        read_source(tmp_path / "net.pt2")


def test_states_as_inputs_are_refused(tmp_path):
    class Step(nn.Module):
        def forward(self, x, v):
            v = 0.9 * v + x
            return (v > 1).float(), v

    program = torch.export.export(Step(), (torch.randn(3, 4), torch.randn(3, 4)))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="takes 2 inputs; export the whole loop over time"):
        read_source(tmp_path / "net.pt2", SourceOptions())


# Hostile archives --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The records of a small program."""
    path = tmp_path_factory.mktemp("programs") / "net.pt2"
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval()
    program = torch.export.export(net, (torch.randn(3, 4),), dynamic_shapes=({0: Dim.DYNAMIC},))
    torch.export.save(program, path)
    with zipfile.ZipFile(path) as held:
        return {name: held.read(name) for name in held.namelist()}


def rewritten(archive, path, change, compression=zipfile.ZIP_STORED):
    """Write the records with the program, or all of them, changed."""
    records = dict(archive)
    model = next(name for name in records if name.endswith("models/model.json"))
    program = json.loads(records[model])
    change(program, records)
    records.setdefault(model, b"")
    if records[model] == archive[model]:
        records[model] = json.dumps(program).encode()
    with zipfile.ZipFile(path, "w", compression) as written:
        for name, data in records.items():
            written.writestr(name, data)
    return path


def first_call(program):
    return program["graph_module"]["graph"]["nodes"][0]


def set_size(program, text):
    values = program["graph_module"]["graph"]["tensor_values"]
    entry = next(v for v in values.values() if any("as_expr" in s for s in v["sizes"]))
    entry["sizes"][0]["as_expr"]["expr_str"] = text


def set_spec(program, spec):
    call = program["graph_module"]["module_call_graph"][0]["signature"]
    call["in_spec"] = json.dumps([1, spec])


def set_pickle(records):
    name = next(n for n in records if n.endswith("model_weights_config.json"))
    config = json.loads(records[name])
    for entry in config["config"].values():
        entry["use_pickle"] = True
    records[name] = json.dumps(config).encode()


EVIL = "__import__('os').system('touch exploded')"
DEFAULTDICT = {
    "type": "collections.defaultdict",
    "context": json.dumps(
        {"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []}
    ),
    "children_spec": [],
}


@pytest.mark.parametrize(
    "change",
    [
        lambda p, r: first_call(p).update(target="torch.hub.load"),
        lambda p, r: first_call(p).update(target="torch.ops.aten.__class__.mro"),
        lambda p, r: first_call(p).update(name="x = 1\n    " + EVIL),
        lambda p, r: set_size(p, EVIL),
        lambda p, r: set_spec(p, DEFAULTDICT),
        lambda p, r: set_pickle(r),
        lambda p, r: r.update({next(iter(r)): b""}),
        lambda p, r: r.pop(next(n for n in r if n.endswith("weights_config.json"))),
    ],
    ids=["target", "dunder", "name", "size", "spec", "pickle", "no-data", "no-config"],
)
def test_hostile_programs_are_refused(archive, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    path = rewritten(archive, tmp_path / "evil.pt2", change)
    with pytest.raises(ModelError) as caught:
        read_source(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_guards_and_pickled_examples_are_not_looked_at(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def change(program, records):
        program["guards_code"] = [EVIL]
        sample = next(n for n in records if n.endswith("sample_inputs/model.pt"))
        records[sample] = b"no archive at all"

    path = rewritten(archive, tmp_path / "net.pt2", change)
    with pytest.raises(ModelError, match=r"neuron|spik|fires"):  # loaded: it is no spiking network
        read_source(path)
    assert not (tmp_path / "exploded").exists()


def test_compressed_records_are_refused(archive, tmp_path):
    path = rewritten(archive, tmp_path / "net.pt2", lambda p, r: None, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        read_source(path)


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), io.BytesIO().getvalue() + b"x"])
def test_what_is_no_archive_is_one_line(tmp_path, data):
    (tmp_path / "net.pt2").write_bytes(data)
    with pytest.raises(ModelError, match=r"torch\.export"):
        read_source(tmp_path / "net.pt2")
    with pytest.raises(ModelError, match="there is no model file"):
        read_source(tmp_path / "missing.pt2")
