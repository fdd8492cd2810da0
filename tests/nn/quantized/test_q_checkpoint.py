"""Files of quantized models: nothing but a good file is taken, and a bad one changes nothing."""

import copy
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from q_networks import (
    NEURONS,
    RECURRENT,
    Layer,
    Net,
    analog,
    assert_untouched,
    collect,
    spikes,
    tensors_of,
)

from snnquant.errors import ModelError, UsageError
from snnquant.nn import QLI, QLIF, QConv2d, QLinear
from snnquant.nn.quantized.mode import Mode


def small(features=6, out=4, **parameters):
    torch.manual_seed(4)
    return Layer(
        QLinear(features, out), QLIF(**{"v_th_0": 0.3, "v_leaky_alpha": 0.6, **parameters})
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return the bytes of a good file and what its model gives."""
    path = tmp_path_factory.mktemp("good") / "model.npz"
    model = collect(small(), analog(16, 6))
    model.save_quantized_model(path)
    x = analog(5, 6, seed=1)
    return path.read_bytes(), x, model(x)


def load_bytes(model, content, folder):
    path = folder / "changed.npz"
    path.write_bytes(content)
    model.load_quantized_model(path)


def assert_refused(content, folder, match=None, model=None):
    """Check that a file raises ModelError and leaves a model as it was, in every mode."""
    for mode in (Mode.FLOAT, Mode.QUANTIZED):
        other = copy.deepcopy(model) if model is not None else small()
        if mode is Mode.QUANTIZED:
            other.quantize("tianjic")
        before, options = tensors_of(other), other.options
        with pytest.raises(ModelError, match=match):
            load_bytes(other, content, folder)
        assert_untouched(other, before, mode)
        assert other.options is options
        assert [m.mode for m in (other.synapse, other.neuron)] == [mode, mode]


@pytest.mark.parametrize("neuron", [*NEURONS, *RECURRENT])
def test_a_saved_model_computes_the_same_after_loading(neuron, tmp_path):
    make = {**NEURONS, **RECURRENT}[neuron]
    learn = {"learn": ("alpha",)} if neuron in ("lif", "cuba") else {}
    torch.manual_seed(5)
    synapse = QLinear(6, 4) if "recurrent" in neuron else QConv2d(2, 4, 3)
    model = Layer(synapse, make(multi_step=True, **learn))
    x = spikes(3, 2, 6) if "recurrent" in neuron else spikes(3, 2, 2, 4, 5)
    model.quantize(example_input=x, weight_bits=5)
    model.save_quantized_model(tmp_path / "a.npz")
    torch.manual_seed(6)
    other = copy.deepcopy(model)
    other.dequantize()
    for parameter in other.parameters():
        torch.nn.init.uniform_(parameter)
    other.load_quantized_model(tmp_path / "a.npz")
    out, wanted = other(x), model(x)
    assert torch.equal(out[0], wanted[0])
    assert str(out[1]) == str(wanted[1])
    assert_untouched(other, tensors_of(model), Mode.QUANTIZED)
    other.save_quantized_model(tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)
    other.dequantize()
    other.quantize(example_input=x, weight_bits=5)
    assert torch.equal(other(x)[0], wanted[0])


def test_several_currents_and_read_outs_come_back(tmp_path):
    def run(self, x):
        current, q_param = self.a(x)
        other, _ = self.b(x)
        s, _ = self.neuron(current + other, q_param)
        return self.read(*self.c(s))[0], self.d(s)[0]

    torch.manual_seed(7)
    layers = {"a": QLinear(6, 4), "b": QLinear(6, 4), "c": QLinear(4, 3), "d": QLinear(4, 2)}
    model = Net(run, **layers, neuron=QLIF(v_th_0=0.3), read=QLI(alpha=0.5))
    model.to(torch.bfloat16)
    model.quantize()
    model.save_quantized_model(tmp_path / "a.npz")
    other = copy.deepcopy(model)
    other.dequantize()
    other.load_quantized_model(tmp_path / "a.npz")
    x = spikes(5, 6)
    assert all(torch.equal(a, b) for a, b in zip(other(x), model(x), strict=True))
    assert other.a.weight.dtype is torch.bfloat16


class Planted:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def _other_files(folder, mark):
    pickled = io.BytesIO()
    torch.save({"model": Planted(mark)}, pickled)
    objects = io.BytesIO()
    np.savez(objects, **{"snnquant.json": np.array([Planted(mark)], dtype=object)})
    plain = io.BytesIO()
    np.savez(plain, x=np.zeros(3))
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w"):
        pass
    return {
        "empty": b"",
        "text": b"a quantized model\n",
        "pickle": pickle.dumps(Planted(mark)),
        "torch_save": pickled.getvalue(),
        "object_array": objects.getvalue(),
        "other_arrays": plain.getvalue(),
        "empty_zip": empty.getvalue(),
    }


OTHER_FILES = tuple(sorted(_other_files(None, "unused")))


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_other_files_are_refused_and_run_nothing(kind, tmp_path):
    mark = tmp_path / "mark"
    assert_refused(_other_files(tmp_path, mark)[kind], tmp_path, "is not a quantized model")
    assert not mark.exists()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(ModelError, match="there is no file"):
            small().load_quantized_model(path)


def test_a_file_that_cannot_be_written_raises(tmp_path):
    model = small()
    model.quantize()
    with pytest.raises(UsageError):
        model.save_quantized_model(tmp_path / "no_folder" / "model.npz")


def test_a_file_cut_anywhere_is_refused(good, tmp_path):
    content, _, _ = good
    for end in [*range(0, len(content), 97), len(content) - 1]:
        with pytest.raises(ModelError):
            load_bytes(small(), content[:end], tmp_path)


@settings(max_examples=150)
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(good, tmp_path_factory, data):
    content, x, wanted = good
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    model, folder = small(), tmp_path_factory.mktemp("changed")
    before = tensors_of(model)
    try:
        load_bytes(model, changed, folder)
    except ModelError:
        assert_untouched(model, before, Mode.FLOAT)
        return
    out = model(x)
    assert torch.equal(out[0], wanted[0])
    assert torch.equal(out[1], wanted[1])


OTHER_MODELS = {
    "fewer_inputs": lambda: small(features=5),
    "more_outputs": lambda: small(out=5),
    "other_reset": lambda: small(reset=1),
    "other_synapse": lambda: Layer(QConv2d(6, 4, 1), QLIF()),
    "other_neuron": lambda: Layer(QLinear(6, 4), QLI()),
    "no_bias": lambda: Layer(QLinear(6, 4, bias=False), QLIF()),
    "more_layers": lambda: _more(),
    "per_channel_parameter": lambda: small(v_th_0=torch.rand(4)),
}


def _more():
    model = small()
    model.extra = QLinear(2, 2)
    return model


@pytest.mark.parametrize("case", OTHER_MODELS)
def test_a_file_of_another_model_is_refused(case, good, tmp_path):
    assert_refused(good[0], tmp_path, "of another model|has shape", OTHER_MODELS[case]())
