"""Every format against every kind of damage: one line that names the file, in bounded memory."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from damage import FORMATS, by_chance, swapped
from graphs import Graph

from snnquant.cli.main import run
from snnquant.data import READERS, ReadOptions, open_data
from snnquant.errors import DataError, UsageError

MOST_BYTES = 4_000_000


def drain(path: Path, options: ReadOptions) -> int:
    return sum(len(batch) for batch in open_data(path, options).batches(4))


def said_of(path: Path, options: ReadOptions) -> str:
    """Return the error that reading ends in; "": none."""
    try:
        drain(path, options)
    except (DataError, UsageError) as error:
        return str(error)
    return ""


def refused(path: Path, options: ReadOptions, file: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((DataError, UsageError)) as caught:
            drain(path, options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 400 + len(str(file))
    assert str(file) in said or str(path) in said
    assert peak < MOST_BYTES


def damages(name: str) -> dict[str, object]:
    """Return what to do to the bytes, by kind of damage, where it has meaning."""
    form = FORMATS[name]
    # Text has no magic and can end anywhere behind a line.
    text = name == "aedat table"
    # The last bytes of a PNG hold no pixels.
    cut = 32 if name == "images" else 3
    found: dict[str, object] = {"empty": lambda data: b"", "truncated": lambda data: data[:-cut]}
    if not text:
        found["cut in half"] = lambda data: data[: len(data) // 2 | 1]
    if name != "nmnist":
        found["wrong magic"] = lambda data: b"GARBAGE!" * 40
    if form.other_order is not None:
        offset, size = form.other_order
        found["wrong endian"] = lambda data: swapped(data, offset, size)
    if form.huge is not None:
        at, value = form.huge
        found["huge header"] = lambda data: data[:at] + value + data[at + len(value) :]
    return found


CASES = [(name, kind) for name in FORMATS for kind in damages(name)]


def test_every_reader_of_files_is_damaged() -> None:
    assert len(CASES) > 50
    opened = {name.split()[0] for name in FORMATS}
    assert opened == {
        "npz",
        "npy",
        "idx",
        "nmnist",
        "aedat",
        "spikingjelly",
        "tonic",
        "shd",
        "images",
    }
    assert len(opened) == len(READERS) - 1  # the callable has no bytes


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_read(tmp_path: Path, name: str) -> None:
    path, _ = FORMATS[name].write(tmp_path)
    assert drain(path, FORMATS[name].options) > 0


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_damage_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    path, file = FORMATS[name].write(tmp_path)
    file.write_bytes(damages(name)[kind](file.read_bytes()))  # type: ignore[operator]
    refused(path, FORMATS[name].options, file)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_by_chance_is_refused_or_harmless(tmp_path: Path, name: str) -> None:
    path, file = FORMATS[name].write(tmp_path)
    whole = file.read_bytes()
    outcomes = []
    for seed in range(FORMATS[name].rounds):
        file.write_bytes(by_chance(whole, np.random.default_rng(seed)))
        outcomes.append(said_of(path, FORMATS[name].options))
    assert any(outcomes)
    assert all(said.isprintable() and len(said) < 400 + len(str(file)) for said in outcomes)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network; what it takes is not looked at before the data is opened."""
    g = Graph()
    (spikes,) = g.neuron(g.input("x", ["T", "B", 6]), name="lif", alpha=0.5)
    g.output(spikes, 3)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(g.model(), str(path))
    return path


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("verb", ["inspect", "calibrate"])
def test_the_command_line_says_it_in_one_line(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str], verb: str, name: str, kind: str
) -> None:
    path, file = FORMATS[name].write(tmp_path)
    file.write_bytes(damages(name)[kind](file.read_bytes()))  # type: ignore[operator]
    given = {k: v for k, v in vars(FORMATS[name].options).items() if v is not None}
    words = [verb, str(net), "--data", str(path), "-q"]
    for option, value in given.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{option}", text]
    if verb == "calibrate":
        words += ["-o", str(tmp_path / "c.json")]
    assert run(words) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "c.json").exists()


CALLABLES = {
    "nothing": "return None",
    "text": "return 'text'",
    "ragged": "return [[[1, 2], [3]]]",
    "objects": "return [np.array([object()])]",
    "no batch": "return []",
    "scalar": "return [np.float32(1)]",
    "other lengths": "return [(np.zeros((3, 2)), np.zeros(2))]",
    "other shapes": "return [np.zeros((2, 3)), np.zeros((2, 4))]",
    "dates": "return [np.zeros(3, 'M8[s]')]",
    "raises": "raise KeyError('a\\nb')",
    "raises later": "yield np.zeros((2, 3)); raise MemoryError",
    "exits": "import sys; sys.exit(0)",
    "changes": "global calls; calls += 1; return [np.zeros((2, calls))]",
    "deep": "return give()",
}


@pytest.mark.parametrize("case", CALLABLES)
def test_what_a_callable_may_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    source = f"import numpy as np\ncalls = 0\ndef give():\n    {CALLABLES[case]}\n"
    (tmp_path / "hostile_batches.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "hostile_batches", raising=False)
    with pytest.raises(DataError) as caught:
        drain(Path("hostile_batches:give"), ReadOptions())
    assert str(caught.value).isprintable()
    assert "hostile_batches:give" in str(caught.value)
