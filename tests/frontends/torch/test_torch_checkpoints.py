"""Factories and checkpoints: what is wrong with them is said in one line, and nothing is run."""

import json
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch_nets import run

from snnquant.errors import ModelError, UsageError
from snnquant.frontends import SourceOptions, read_source
from snnquant.frontends.torch.safetensors import read_safetensors

pytestmark = pytest.mark.filterwarnings("ignore")

NETS = """
import snntorch
import torch
from torch import nn


class Net(nn.Module):
    example_input = torch.zeros(1, 12)

    def __init__(self, hidden=16):
        super().__init__()
        print("a factory may print")
        self.fc = nn.Linear(12, hidden)
        self.lif = snntorch.Leaky(0.9, threshold=0.2)

    def forward(self, x):
        mem, count = self.lif.reset_mem(), 0.0
        for _ in range(4):
            spikes, mem = self.lif(self.fc(x), mem)
            count = count + spikes
        return count


class NoExample(Net):
    example_input = None


def fails():
    raise RuntimeError("the disk is full\\nof stars")


def gives_a_list():
    return []


number = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module of nets, as the current one."""
    name = f"nets_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def options(name, **more):
    return SourceOptions(factory=name, **more)


def weights(here):
    """Return a state dict of the net with weights that are not the factory's."""
    net = sys.modules[here].Net() if here in sys.modules else None
    if net is None:
        __import__(here)
        net = sys.modules[here].Net()
    generator = torch.Generator().manual_seed(3)
    net.fc.weight.data = torch.randn(net.fc.weight.shape, generator=generator)
    return net, net.state_dict()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("wrap", ["plain", "parallel", "trainer"])
def test_weights_come_from_the_checkpoint(here, tmp_path, capsys, monkeypatch, suffix, wrap):
    monkeypatch.syspath_prepend(tmp_path)
    net, state = weights(here)
    held = {f"module.{k}": v for k, v in state.items()} if wrap == "parallel" else state
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file({k: v.contiguous() for k, v in held.items()}, path)
    else:
        torch.save({"model_state_dict": held, "epoch": 3} if wrap == "trainer" else held, path)
    capsys.readouterr()
    reading = read_source(path, options(f"{here}:Net"))
    assert capsys.readouterr().out == ""
    assert read_source(None, options(f"{here}:Net", checkpoint=path)).model == reading.model
    x = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(run(reading, x)[0], wanted)
    assert wanted.any()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("fc.weight"), r"has no fc.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), r"has extra besides"),
        (
            lambda s: s.update({"fc.weight": torch.zeros(8, 12)}),
            r"fc.weight has shape \[8, 12\], the module \[16, 12\]",
        ),
        (lambda s: s.update({"fc.weight": "text"}), r"'fc.weight' is no tensor"),
    ],
    ids=["missing", "unexpected", "shape", "type"],
)
def test_a_checkpoint_of_something_else_is_refused(here, tmp_path, monkeypatch, change, reason):
    monkeypatch.syspath_prepend(tmp_path)
    state = dict(weights(here)[1])
    change(state)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=reason):
        read_source(tmp_path / "net.pt", options(f"{here}:Net"))


class Bomb:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_no_pickle_is_run(here, tmp_path):
    torch.save({"fc.weight": Bomb()}, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"loading it would run code; save model.state_dict"):
        read_source(tmp_path / "net.pt", options(f"{here}:Net"))
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"fc.weight": Bomb()}))
    with pytest.raises(ModelError):
        read_source(tmp_path / "old.pt", options(f"{here}:Net"))
    assert not (tmp_path / "exploded").exists()


def test_nan_weights_are_refused(here, tmp_path, monkeypatch):
    from snnquant.errors import NumericalError

    monkeypatch.syspath_prepend(tmp_path)
    state = weights(here)[1]
    state["fc.weight"][0, 0] = float("nan")
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(NumericalError, match="NaN"):
        read_source(tmp_path / "net.pt", options(f"{here}:Net"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x02garbage"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_checkpoint_is_one_line(here, tmp_path, content, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_source(path, options(f"{here}:Net"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nocolon", "is no package.module:factory"),
        ("no_such_module_at_all:Net", "there is no module no_such_module_at_all"),
        ("{here}:Missing", "has no Missing"),
        ("{here}:number", "is of type int; name a function"),
        ("{here}:fails", "the factory fails: RuntimeError: the disk is full"),
        ("{here}:gives_a_list", "gives a list; it must return a torch.nn.Module"),
        ("{here}:NoExample", "give --input-shape"),
    ],
    ids=["colon", "module", "name", "number", "fails", "list", "shape"],
)
def test_a_wrong_factory_is_a_usage_error_in_one_line(here, name, reason):
    with pytest.raises(UsageError) as caught:
        read_source(None, options(name.format(here=here)))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "error", "reason"),
    [
        ({"input_shape": (1, 7)}, ModelError, "forward of NoExample fails for an input"),
        ({"input_shape": (1, 12), "timesteps": 5}, UsageError, "runs over 4 steps"),
        ({"input_shape": (12,), "time_axis": 0}, UsageError, "no batch and time axis"),
        (
            {"input_shape": (3, 1, 12), "time_axis": 0, "timesteps": 4},
            UsageError,
            "has 3 steps at axis 0",
        ),
    ],
    ids=["shape", "steps", "axes", "axis"],
)
def test_options_that_do_not_fit(here, more, error, reason):
    with pytest.raises(error, match=reason):
        read_source(None, options(f"{here}:NoExample", **more))


def test_a_checkpoint_alone_says_what_it_lacks(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(UsageError, match="say what they belong to with --model"):
        read_source(tmp_path / "net.pt")


def header(entries, body=b""):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "data",
    [
        (1 << 62).to_bytes(8, "little") + b"{}",
        header({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "XYZ", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": 3}),
        header([1, 2]),
    ],
    ids=["length", "huge", "beyond", "negative", "type", "entry", "list"],
)
def test_hostile_safetensors_are_refused(tmp_path, data):
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError):
        read_safetensors(path)


def test_safetensors_of_every_type(tmp_path):
    held = {
        "f16": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bf16": torch.tensor([[0.5]], dtype=torch.bfloat16),
        "i64": torch.arange(6).reshape(2, 3),
        "bool": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
    }
    save_file(held, tmp_path / "all.safetensors", metadata={"format": "pt"})
    found = read_safetensors(tmp_path / "all.safetensors")
    assert found.keys() == held.keys()
    for name, tensor in held.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
