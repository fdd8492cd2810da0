"""Data that does not fit, is damaged or means harm: refused before anything is written."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from cli_process import SAMPLES, forked, refuses

STORED = np.load(SAMPLES / "digits_test.npz")
X, Y = STORED["x"][:16], STORED["y"][:16]
CALIBRATE = ("calibrate", "digits_mlp.onnx", "-q", "-o", "old.json", "--data")
EVAL = ("eval", "digits_mlp.int.onnx", "-q", "--data")


class Touch:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return (open, ("touched", "w"))


def with_value(value):
    samples = X.copy()
    samples[3, 0, 2, 2] = value
    return samples


def zipped(name, data):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, data)
    return stream.getvalue()


#: Name: (exit code, words of the message, arrays).
ARRAYS = {
    "no known key": (3, "no array 'input'", {"images": X, "y": Y}),
    "no input": (3, "no input array", {"y": Y}),
    "small maps": (3, "do not fit input 'input' of shape (N, 1, 8, 8)", {"x": X[:, :, 1:], "y": Y}),
    "flat": (3, "do not fit", {"x": X.reshape(16, 64), "y": Y}),
    "scalar": (3, "is a scalar", {"x": np.float32(3)}),
    "vector": (3, "do not fit", {"x": np.arange(16.0), "y": Y}),
    "with time": (3, "do not fit", {"x": np.stack([X] * 8, 1), "y": Y}),
    "empty": (3, "is empty", {"x": X[:0], "y": Y[:0]}),
    "complex": (3, "complex64", {"x": X.astype(np.complex64), "y": Y}),
    "strings": (3, "<U1", {"x": np.array(["a"] * 16), "y": Y}),
    "dates": (3, "datetime64", {"x": np.zeros(16, "M8[s]"), "y": Y}),
    "NaN": (5, "'input' hold NaN", {"x": with_value(np.nan), "y": Y}),
    "infinity": (5, "'input' hold NaN", {"x": with_value(np.inf), "y": Y}),
    "beyond float32": (5, "infinite as float32", {"x": X.astype(np.float64) * 1e300, "y": Y}),
    "other lengths": (3, "differ in their number", {"x": X, "y": Y[:5]}),
    "one-hot labels": (3, "one-hot", {"x": X, "y": np.eye(10)[Y]}),
    "half labels": (3, "whole numbers", {"x": X, "y": Y + 0.5}),
    "NaN labels": (3, "whole numbers", {"x": X, "y": np.full(16, np.nan)}),
    "text labels": (3, "<U", {"x": X, "y": Y.astype(str)}),
    "huge labels": (3, "whole numbers", {"x": X, "y": Y.astype(np.uint64) + np.uint64(2**63)}),
    "columns first": (3, "Fortran", {"x": np.asfortranarray(X), "y": Y}),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_do_not_fit_are_refused(folder, case):
    code, words, arrays = ARRAYS[case]
    np.savez(folder / "bad.npz", **arrays)
    for verb in (CALIBRATE, EVAL):
        refuses(folder, code, *verb, "bad.npz", says=[words])


@pytest.mark.parametrize(("shift", "label"), [(5, "14"), (-1, "-1")])
def test_labels_that_are_no_class_are_refused(folder, shift, label):
    np.savez(folder / "bad.npz", x=X, y=Y + shift)
    refuses(folder, 3, *EVAL, "bad.npz", says=[f"label {label} is no class", "has 10"])


def test_pickles_are_never_loaded(folder):
    harm = np.array([Touch()] * 4, dtype=object)
    np.savez(folder / "bad.npz", x=harm)
    np.save(folder / "bad.npy", harm)
    (folder / "bad.pkl").write_bytes(pickle.dumps(Touch()))
    for name in ("bad.npz", "bad.npy"):
        for verb in (CALIBRATE, EVAL):
            refuses(folder, 3, *verb, name, says=["pickled objects are never loaded"])
    refuses(folder, 3, *CALIBRATE, "bad.pkl", says=["no known format"])


def test_damaged_files_are_refused(folder):
    whole = (folder / "digits_test.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[3000] ^= 0xFF
    small = io.BytesIO()
    np.save(small, X)
    cuts = (1, 3, 10, 100, 1000, 5000, len(whole) // 2, len(whole) - 100, len(whole) - 1)
    files = {f"cut at {k}": whole[:k] for k in cuts} | {
        "nothing": b"",
        "text": b"1,2,3\n",
        "model": (folder / "digits_mlp.onnx").read_bytes(),
        "zip of text": zipped("x.txt", "hello"),
        "zip that climbs": zipped("../../x.npy", b"\x93NUMPY"),
        "flipped bit": bytes(flipped),
        "cut .npy": small.getvalue()[:-7],
        "long .npy": small.getvalue() + b"more",
        ".npy of 2**60": small.getvalue().replace(b"(16, 1, 8, 8)", b"(2**60, 8, 8)"),
        ".npy too large": small.getvalue().replace(b"(16, 1, 8, 8)", b"(9999, 8, 80)"),
    }
    for name, data in files.items():
        (folder / "bad.npz").write_bytes(data)
        for verb in ((*CALIBRATE, "bad.npz", "--samples", "9999"), (*EVAL, "bad.npz")):
            said = refuses(folder, 3, *verb)
            assert "'bad.npz'" in said, name


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.npz", "there is no data file 'no.npz'"),
        (".", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("old.json/x.npz", "cannot read"),
        ("n" * 300, "cannot read"),
    ],
)
def test_paths_that_are_no_data_are_refused(folder, path, words):
    for verb in (CALIBRATE, EVAL):
        refuses(folder, 3, *verb, path, says=[words])


@pytest.mark.parametrize("steps", [9, 11])
def test_sequences_of_another_length_are_refused(made, folder, steps):
    stored = np.load(made / "events_test.npz")["x"][:4]
    np.save(folder / "bad.npy", np.resize(stored, (4, steps, *stored.shape[2:])))
    model = made / "events_edges.onnx"
    arguments = (model, "--data", "bad.npy", "-o", "old.json", "-q")
    refuses(folder, 3, "calibrate", *arguments, says=["takes T = 10 steps", "cut or pad"])


def test_time_before_samples_is_refused(made, folder):
    stored = np.load(made / "events_test.npz")["x"][:4]
    np.save(folder / "bad.npy", np.ascontiguousarray(stored.swapaxes(0, 1)))
    model = made / "events_edges.onnx"
    refuses(folder, 3, "eval", model, "--data", "bad.npy", "-q", says=["(N, 10, 2, 12, 12)"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--timesteps", "9"), 2, "--timesteps is 9, but the graph runs 8 steps"),
        (("--input", "nobody=spikes"), 2, "no such analog input; the model has"),
        (("--input", "input"), 2, "NAME=SCALE"),
        (("--input", "input=-1"), 2, "SCALE > 0"),
        (("--input", "input=nan"), 2, "SCALE > 0"),
        (("--input", "input=1e400"), 2, "SCALE > 0"),
        (("--samples", "0"), 2, "--samples"),
        (("--batch-size", "0"), 2, "--batch-size"),
        (("--threads", "1000000000000"), 2, "--threads"),
        (("--method", "guess"), 2, "'minmax'"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder, arguments, code, words):
    refuses(folder, code, *CALIBRATE, "digits_test.npz", *arguments, says=[words])


def test_any_number_type_and_any_batch_size_give_the_same(folder):
    wanted = None
    integers = (X * 16).astype(np.uint8)
    for dtype in (np.uint8, np.int64, np.float16, np.float32, ">f4", np.float64):
        np.savez(folder / "same.npz", x=integers.astype(dtype), y=Y.astype(np.int8))
        for size in ("1", "7", "1000000000000000000000"):
            ran = forked(*EVAL, "same.npz", "--json", "--batch-size", size, cwd=folder)
            assert ran.code == 0, ran
            found = ran.out[ran.out.index('"metrics"') :]
            wanted = wanted or found
            assert found == wanted, (dtype, size)
