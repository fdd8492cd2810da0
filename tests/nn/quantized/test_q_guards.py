"""What keeps torch and its integers together: changes, names, nesting, traces of following."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

import snnquant
from snnquant import nn as snn
from snnquant.errors import UsageError
from snnquant.nn import Mode


class Steps(snn.QModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = snn.QLinear(6, 5)
        self.lif = snn.QLIF(alpha=0.9, v_threshold=0.2)
        self._last = snn.QLinear(5, 4)
        self.lif_2 = snn.QLIF(alpha=0.5, v_threshold=0.1, v_reset=-0.1)

    def forward(self, x, v=None):
        first, second = v if v is not None else (None, None)
        for _ in range(2):
            current, q_param = self.fc(x)
            spikes, first = self.lif(current, q_param, first)
            current, q_param = self._last(spikes)
            spikes, second = self.lif_2(current, q_param, second)
        return spikes, (first, second)


def _spikes(*shape):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.6).float()


def _change_weight(model):
    model.fc.weight.mul_(-1)


def _change_bias(model):
    model.fc.bias.add_(1)


def _change_threshold(model):
    model.lif.v_threshold.fill_(0.7)


def _load_layer(model):
    state = {name: value + 1 for name, value in model.fc.state_dict().items()}
    model.fc.load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [_change_weight, _change_bias, _change_threshold, _load_layer],
    ids=lambda f: f.__name__,
)
def test_parameters_that_changed_after_quantize_are_not_written(change, tmp_path):
    model = Steps()
    model.quantize()
    with torch.no_grad():
        change(model)
    with pytest.raises(UsageError, match=r"Q\w+ '(fc|lif)': its parameters changed after quantize"):
        snn.export_onnx(model, tmp_path / "m.onnx", _spikes(2, 6))
    with pytest.raises(UsageError, match="changed after quantize"):
        model.save_quantized_model(tmp_path / "m.snn")
    assert not list(tmp_path.iterdir())
    model.quantize()
    snn.export_onnx(model, tmp_path / "m.onnx", _spikes(2, 6))


def test_layers_are_found_whatever_they_are_called_and_states_go_round():
    model = Steps()
    model.quantize()
    x = _spikes(3, 6)
    _, states = model(x)
    graph = snn.export_onnx(model, None, (x, states))
    session = ort.InferenceSession(graph.SerializeToString())
    names = [entry.name for entry in session.get_inputs()]
    held = [torch.zeros_like(s, dtype=torch.int32) for s in states]
    fed = tuple(h.long() for h in held)
    for _ in range(5):
        want, fed = model(x, fed)
        got, *held = session.run(
            None, dict(zip(names, [x.numpy(), *map(np.asarray, held)], strict=True))
        )
        assert np.array_equal(got, want.numpy())
        assert all(np.array_equal(h, f.numpy()) for h, f in zip(held, fed, strict=True))
    assert want.any()


def test_every_layer_is_told_by_its_own_quantize():
    told = []

    class Noted(snn.QModule):
        def quantize(self, settings=None, mode=Mode.QUANTIZED, integers=None):
            super().quantize(settings, mode, integers)
            told.append((self.path, mode))

        def forward(self, x):
            return x

    class Net(Steps):
        def __init__(self):
            super().__init__()
            self.noted = Noted()

    Net().quantize()
    assert told == [("noted", Mode.QUANTIZED)]


def test_what_was_calculated_is_what_is_quantized_with():
    model = Steps()
    x = torch.randn(8, 6)
    model.collect_q_params()
    model(x)
    entry = model.calculate_q_params(target="tianjic", input_bits=4)["fc"]
    model.quantize()
    assert model.options.target.name == "tianjic"
    assert (
        (model.fc.settings.factor, model.fc.settings.low) == (entry.scale, entry.low) != (1, -128)
    )
    assert entry.low == -8
    model.quantize("generic", input_bits=8)
    assert model.options.target.name == "generic"
    assert model.fc.settings.low == -128


def test_following_leaves_no_trace_in_the_model():
    class Stateful(Steps):
        v = None

        def forward(self, x):
            out, self.v = super().forward(x, self.v)
            return out

    model = Stateful()
    model.quantize()
    assert model.v is None
    model(_spikes(2, 6))
    model.dequantize()
    model.v = None
    model.quantize(example_input=_spikes(2, 6))
    assert model.v is None


def test_models_inside_a_model_move_along():
    class Outer(snn.QModel):
        def __init__(self):
            super().__init__()
            self.inner = Steps()

        def forward(self, x):
            return self.inner(x)[0]

    outer = Outer()
    outer.quantize()
    assert outer.inner.mode is Mode.QUANTIZED
    outer.dequantize()
    assert outer.inner.mode is Mode.FLOAT


def test_a_model_without_layers_is_refused():
    class Empty(snn.QModel):
        def forward(self, x):
            return x

    for step in ("quantize", "aware", "collect_q_params"):
        with pytest.raises(UsageError, match="no quantizable layer"):
            getattr(Empty(), step)()


def test_layers_in_a_row_are_reached_by_their_place():
    model = snn.QSequential(snn.QLinear(3, 2), snn.QLIF(multi_step=True))
    assert len(model) == 2
    assert isinstance(model[0], snn.QLinear)
    assert [type(layer) for layer in model] == [snn.QLinear, snn.QLIF]


@pytest.mark.parametrize("inputs", ["spikes", "analog"])
def test_batch_major_sequences_run_in_any_session(inputs):
    class BatchMajor(snn.QModel):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first = snn.QLinear(6, 5)
            self.lif = snn.QLIF(v_threshold=0.3, alpha=0.9, multi_step=True)
            self.second = snn.QLinear(5, 4)
            self.last = snn.QLIF(v_threshold=0.1, multi_step=True)

        def forward(self, x):
            spikes, _ = self.lif(*self.first(x.transpose(0, 1)))
            current, q_param = self.second(spikes.transpose(0, 1))
            return self.last(current.transpose(0, 1), q_param)[0].transpose(0, 1)

    x = _spikes(3, 4, 6) if inputs == "spikes" else torch.rand(3, 4, 6)
    model = BatchMajor().eval()
    model.collect_q_params()
    model(x)
    model.calculate_q_params()
    model.quantize()
    want = model(x).numpy()
    graph = snn.export_onnx(model, None, x, time_axis=1, fixed_timesteps=True)
    for make in (ort.InferenceSession, snnquant.InferenceSession):
        (got,) = make(graph.SerializeToString()).run(None, {"input": x.numpy()})
        assert want.any()
        assert np.array_equal(got, want)
