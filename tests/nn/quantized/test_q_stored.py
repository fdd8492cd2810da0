"""Files that are whole, and hold what quantization cannot have made."""

import copy
import io
import json

import numpy as np
import pytest
from q_networks import Layer, analog, assert_untouched, collect, tensors_of
from test_q_checkpoint import assert_refused, load_bytes, small

from snnquant.nn import QLIF, QConv2d, QMaxPool2d
from snnquant.nn.quantized.mode import Mode


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return the bytes of a good file."""
    path = tmp_path_factory.mktemp("good") / "model.npz"
    collect(small(), analog(16, 6)).save_quantized_model(path)
    return path.read_bytes()


def rewritten(content, change=None, arrays=None):
    """Return a good file with its text or its arrays changed."""
    with np.load(io.BytesIO(content)) as stored:
        held = dict(stored)
    if change is not None:
        document = json.loads(held["snnquant.json"].tobytes())
        text = change(document)
        if not isinstance(text, str):
            text = json.dumps(document if text is None else text)
        held["snnquant.json"] = np.frombuffer(text.encode(), np.uint8)
    held.update(arrays or {})
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in held.items() if array is not None})
    return buffer.getvalue()


def put(*path, value):
    """Return a change that sets one entry of the text."""

    def change(document):
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def drop(*path):
    """Return a change that removes one entry of the text."""

    def change(document):
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def test_rewriting_alone_changes_nothing(good, tmp_path):
    model = small()
    load_bytes(model, rewritten(good, lambda document: None), tmp_path)
    assert model.mode is Mode.QUANTIZED
    assert model.synapse.settings.encoder


TEXTS = {
    "older_schema": (put("schema", value="snnquant.model/0"), "has the schema 'snnquant.model/0'"),
    "no_schema": (drop("schema"), "has the schema None"),
    "a_list": (lambda d: [d], "has the schema None"),
    "a_number": (lambda d: "7", "has the schema None"),
    "not_json": (lambda d: "{", "damaged"),
    "empty": (lambda d: " ", "damaged"),
    "deep_lists": (lambda d: "[" * 200000 + "]" * 200000, "damaged"),
    "deep_objects": (lambda d: '{"a":' * 200000 + "1" + "}" * 200000, "damaged"),
    "deep_inside": (put("layers", value=None), "damaged"),
    "large_number": (lambda d: "1" * 10000, "damaged"),
    "large_string": (put("structure", value=["x" * 10**6]), "of another model"),
    "many_layers": (put("structure", value=[["a", "b", "c"]] * 100000), "of another model"),
    "short_structure": (put("structure", value=[["linear"]]), "damaged"),
    "number_structure": (put("structure", value=3), "damaged"),
    "no_layers": (drop("layers"), "damaged"),
    "unknown_layer": (put("layers", "other", value={}), "damaged"),
    "layer_is_list": (put("layers", "synapse", value=[]), "damaged"),
    "neuron_is_dict": (put("layers", "neuron", value={}), "is no list"),
    "neuron_is_text": (put("layers", "neuron", value=["x"]), "damaged"),
    "no_gain": (drop("layers", "synapse", "gain"), "damaged"),
    "more_settings": (put("layers", "synapse", "more", value=1), "damaged"),
    "gain_is_zero": (put("layers", "synapse", "gain", value=0), "gain"),
    "gain_is_three": (put("layers", "synapse", "gain", value=3), "gain"),
    "gain_is_huge": (put("layers", "synapse", "gain", value=2**40), "gain"),
    "gain_overflows": (put("layers", "synapse", "gain", value=2**30), "sums"),
    "factor_is_text": (put("layers", "synapse", "factor", value="1"), "factor"),
    "factor_is_zero": (put("layers", "synapse", "factor", value=0.0), "factor"),
    "factor_is_nan": (put("layers", "synapse", "factor", value=float("nan")), "factor"),
    "factor_is_infinite": (put("layers", "synapse", "factor", value=float("inf")), "factor"),
    "limits_crossed": (put("layers", "synapse", "low", value=300), "limits"),
    "limits_huge": (put("layers", "synapse", "high", value=10**30), "limits"),
    "limits_real": (put("layers", "synapse", "high", value=1.5), "limits"),
    "encoder_is_text": (put("layers", "synapse", "encoder", value="no"), "flags"),
    "reads_out_is_null": (put("layers", "synapse", "reads_out", value=None), "flags"),
    "bits_is_40": (put("layers", "synapse", "bits", value=40), "widths"),
    "bits_is_2": (put("layers", "synapse", "bits", value=2), "weights"),
    "group_is_number": (put("layers", "synapse", "group", value=3), "group"),
    "shift_is_60": (put("layers", "neuron", 0, "current_shift", value=60), "current shift"),
    "shift_is_text": (put("layers", "synapse", "current_shift", value="0"), "current shift"),
    "rank_is_2": (put("layers", "neuron", 0, "rank", value=2), "shapes"),
    "rank_is_huge": (put("layers", "neuron", 0, "rank", value=10**9), "axes"),
    "rank_is_negative": (put("layers", "neuron", 0, "rank", value=-1), "axes"),
    "other_target": (put("target", "state_bits", value=99), "state_bits"),
    "no_target": (drop("target", "leak_shift"), "leak_shift"),
    "target_is_text": (put("target", value="generic"), "damaged"),
    "weight_bits_real": (put("weight_bits", value=8.5), "options"),
    "weight_bits_99": (put("weight_bits", value=99), "99-bit"),
    "input_bits_0": (put("input_bits", value=0), "2 to 8 bits"),
    "per_channel_text": (put("per_channel", value="yes"), "options"),
    "statistics_text": (put("collected", value="x"), "damaged"),
    "statistics_wrong": (put("collected", "first", "count", value=-5), None),
    "rates_text": (put("collected", "rates", value={"neuron": "often"}), "damaged"),
    "method_unknown": (put("collected", "method", value="guess"), "observer is 'guess'"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_of_something_else_is_refused(case, good, tmp_path):
    change, message = TEXTS[case]
    assert_refused(rewritten(good, change), tmp_path, message)


def _weights(*shape, value=0, kind=np.int8):
    return np.full(shape, value, kind)


ARRAYS = {
    "weight_shape": ({"integers/synapse/weight": _weights(6, 4)}, "QLinear 'synapse'.*shapes"),
    "weight_real": ({"integers/synapse/weight": _weights(4, 6, kind=float)}, "another type"),
    "weight_wide": ({"integers/synapse/weight": _weights(4, 6, kind=np.int64)}, "another type"),
    "bias_shape": ({"integers/synapse/bias": np.zeros(6, np.int64)}, "shapes"),
    "bias_narrow": ({"integers/synapse/bias": np.zeros(4, np.int32)}, "another type"),
    "bias_beyond": ({"integers/synapse/bias": np.full(4, 2**31)}, "sums"),
    "bias_least": ({"integers/synapse/bias": np.full(4, -(2**63))}, "sums"),
    "no_weight": ({"integers/synapse/weight": None}, "damaged"),
    "scale_negative": ({"scales/synapse": -np.ones(4)}, "scales"),
    "scale_zero": ({"scales/synapse": np.zeros(4)}, "scales"),
    "scale_nan": ({"scales/neuron/0": np.full(4, np.nan)}, "scales"),
    "scale_shape": ({"scales/synapse": np.ones(3)}, "scales"),
    "scale_axes": ({"scales/neuron/0": np.ones((1, 4))}, "scales"),
    "neuron_scale_shape": ({"scales/neuron/0": np.ones(3)}, "damaged"),
    "scale_empty": ({"scales/neuron/0": np.ones(0)}, "scales"),
    "scale_text": ({"scales/synapse": np.array(["a"])}, "scales"),
    "no_scale": ({"scales/neuron/0": None}, "damaged"),
    "no_constant": ({"integers/neuron/0/alpha": None}, "constants"),
    "more_constants": ({"integers/neuron/0/beta": np.zeros(1, np.int64)}, "constants"),
    "alpha_above_one": ({"integers/neuron/0/alpha": np.array([32769])}, "values of alpha"),
    "alpha_negative": ({"integers/neuron/0/alpha": np.array([-1])}, "values of alpha"),
    "alpha_real": ({"integers/neuron/0/alpha": np.array([1.0])}, "types"),
    "alpha_axes": ({"integers/neuron/0/alpha": np.array([[1]])}, "shapes"),
    "threshold_beyond": ({"integers/neuron/0/v_threshold": np.full(4, 2**31)}, "v_threshold"),
    "refractory_negative": (
        {"integers/neuron/0/refractory_steps": np.array([-1])},
        "values of refractory_steps",
    ),
    "state_missing": ({"state/synapse.bias": None}, "do not both have 'synapse.bias'"),
    "state_more": ({"state/other": np.zeros(1, np.float32)}, "do not both have 'other'"),
    "state_shape": ({"state/synapse.bias": np.zeros(5, np.float32)}, "has shape"),
    "state_integer": ({"state/synapse.bias": np.zeros(4, np.int64)}, "has the type"),
    "state_complex": ({"state/synapse.bias": np.zeros(4, np.complex64)}, "has the type"),
    "state_text": ({"state/synapse.bias": np.array(["a"] * 4)}, "damaged"),
    "state_nan": ({"state/synapse.bias": np.full(4, np.nan, np.float32)}, "NaN"),
    "state_alpha": ({"state/neuron.alpha": np.full(1, 2, np.float32)}, "alpha is 2"),
    "state_steps": ({"state/neuron.refractory_steps": np.full(1, -1, np.float32)}, "steps"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_integers_that_no_quantization_makes_are_refused(case, good, tmp_path):
    arrays, message = ARRAYS[case]
    assert_refused(rewritten(good, arrays=arrays), tmp_path, message)


def test_a_pooling_layer_takes_no_integers(good, tmp_path):
    class Pooled(Layer):
        def forward(self, x, v=None):
            current, q_param = self.synapse(self.pool(x))
            return self.neuron(current, q_param, v)

    model = Pooled(QConv2d(2, 4, 1), QLIF())
    model.pool = QMaxPool2d(2)
    fresh = copy.deepcopy(model)
    model.quantize()
    model.save_quantized_model(tmp_path / "a.npz")
    changed = rewritten((tmp_path / "a.npz").read_bytes(), put("layers", "pool", value=[]))
    before = tensors_of(fresh)
    assert_refused(changed, tmp_path, "QMaxPool2d 'pool' has no integers", fresh)
    assert_untouched(fresh, before, Mode.FLOAT)
