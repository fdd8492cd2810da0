"""What users get wrong: each raises an error of the package that names the module."""

import copy

import numpy as np
import pytest
import torch
from q_networks import Layer, Net, analog, assert_untouched, collect, spikes, tensors_of

from snnquant.errors import DataError, NumericalError, SnnquantError, UsageError
from snnquant.nn import (
    QLI,
    QLIF,
    QAvgPool1d,
    QConv1d,
    QConv2d,
    QGlobalAvgPool2d,
    QLinear,
    QMaxPool2d,
    QModel,
    QParam,
)
from snnquant.nn.quantized.mode import Mode

SHAPES = {
    "linear_vector": (lambda: QLinear(6, 4), (6,)),
    "linear_features": (lambda: QLinear(6, 4), (3, 5)),
    "conv1d_axes": (lambda: QConv1d(2, 4, 3), (2, 8)),
    "conv1d_channels": (lambda: QConv1d(2, 4, 3), (3, 3, 8)),
    "conv1d_short": (lambda: QConv1d(2, 4, 3), (3, 2, 2)),
    "conv2d_axes": (lambda: QConv2d(2, 4, 3), (2, 5, 5)),
    "conv2d_channels": (lambda: QConv2d(2, 4, 3), (3, 4, 5, 5)),
    "conv2d_small": (lambda: QConv2d(2, 4, 3, dilation=2), (3, 2, 4, 5)),
    "conv2d_many": (lambda: QConv2d(2, 4, 3), (1, 1, 1, 2, 5, 5)),
}


@pytest.mark.parametrize("step", ["float", "collect_q_params", "quantize", "aware"])
@pytest.mark.parametrize("case", SHAPES)
def test_inputs_of_wrong_shape_in_every_mode(case, step):
    make, shape = SHAPES[case]
    model = Layer(make(), QLIF(multi_step=True))
    if step != "float":
        getattr(model, step)()
    label = type(model.synapse).__name__ + ("" if step == "float" else " 'synapse'")
    with pytest.raises(UsageError, match=rf"{label}: its input .*{shape[0]}"):
        model(spikes(*shape))


def test_a_batch_that_failed_is_not_collected():
    model = small()
    model.collect_q_params()
    for wrong in (analog(100, 5), (analog(100, 6),)):
        with pytest.raises(UsageError):
            model(wrong)
    with pytest.raises(TypeError):
        model()
    model(spikes(3, 6))
    model.calculate_q_params()
    model.quantize()
    assert not model.synapse.settings.encoder
    assert model(spikes(3, 6))[0].shape == (3, 4)


def test_pooling_of_wrong_shape():
    for layer, shape in (
        (QMaxPool2d(2), (3, 4)),
        (QAvgPool1d(2), (3,)),
        (QGlobalAvgPool2d(), (2, 3, 4)),
    ):
        with pytest.raises(UsageError, match=f"{type(layer).__name__}: its input is"):
            layer(spikes(*shape))
        with pytest.raises(UsageError, match=f"{type(layer).__name__}: its input is tuple"):
            layer((spikes(*shape), QParam("")))


def small(**options):
    torch.manual_seed(22)
    return Layer(QLinear(6, 4, **options), QLIF(v_th_0=0.3))


def test_a_missing_or_foreign_q_param():
    def run(self, x):
        current, q_param = self.a(x)
        s, _ = self.first(current, q_param)
        second, other = self.b(s)
        return self.second(second, q_param if self.wrong else other)[0]

    model = Net(
        run, a=QLinear(6, 4), first=QLIF(v_th_0=0.2), b=QLinear(4, 3), second=QLIF(v_th_0=0.2)
    )
    model.wrong = False
    stale = model.a(spikes(2, 6))[1]
    model.quantize()
    model(spikes(2, 6))
    model.wrong = True
    with pytest.raises(UsageError, match=r"QLIF 'second': its q_param comes from 'a', but .* 'b'"):
        model(spikes(2, 6))
    current, q_param = model.a(spikes(2, 6))
    with pytest.raises(UsageError, match="QLIF 'first': got no q_param"):
        model.first(current)
    with pytest.raises(UsageError, match="QLIF 'first': its q_param comes from 'a float synapse'"):
        model.first(current, stale)
    with pytest.raises(UsageError, match="QLIF 'first': its q_param is a Tensor"):
        model.first(current, current)
    with pytest.raises(UsageError, match="QLIF 'first': its current is a tuple"):
        model.first((current, q_param))
    with pytest.raises(UsageError, match="QLIF 'first': its current is torch"):
        model.first(current.float(), q_param)
    with pytest.raises(UsageError, match="QLinear 'a': its input is a tuple"):
        model.a((current, q_param))
    with pytest.raises(UsageError, match="QLinear 'a': its input is a ndarray"):
        model.a(np.zeros((2, 6)))


ORDERS = {
    "calculate_first": (["calculate_q_params"], "has collected nothing; call collect_q_params"),
    "calculate_without_inference": (
        ["collect_q_params", "calculate_q_params"],
        "before any inference",
    ),
    "quantize_while_collecting": (["collect_q_params", "quantize"], "still collecting"),
    "aware_while_collecting": (["collect_q_params", "aware"], "is still collecting"),
    "save_first": (["save_quantized_model"], "is not quantized; call quantize"),
    "save_while_collecting": (["collect_q_params", "save_quantized_model"], "is not quantized"),
    "save_while_aware": (["aware", "save_quantized_model"], "is not quantized"),
    "dequantize_first": (["dequantize"], "is not in integers; call quantize"),
    "dequantize_twice": (["quantize", "dequantize", "dequantize"], "is not in integers"),
    "collect_quantized": (["quantize", "collect_q_params"], "call dequantize.. before"),
    "collect_aware": (["aware", "collect_q_params"], "call dequantize.. before"),
    "calculate_quantized": (["quantize", "calculate_q_params"], "call dequantize.. before"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_steps_out_of_order_raise_and_change_nothing(case, tmp_path):
    steps, message = ORDERS[case]
    model = small()
    arguments = {"save_quantized_model": [tmp_path / "a.npz"]}
    for step in steps[:-1]:
        getattr(model, step)()
    before, mode = tensors_of(model), model.mode
    with pytest.raises(UsageError, match=f"^Layer: .*{message}"):
        getattr(model, steps[-1])(*arguments.get(steps[-1], []))
    assert_untouched(model, before, mode)
    assert not list(tmp_path.iterdir())
    model(spikes(2, 6))


def test_a_declared_encoder_must_be_collected():
    model = small(is_encoder=True)
    for step in (model.quantize, model.aware):
        with pytest.raises(UsageError, match="QLinear 'synapse': is an encoder, but the scale"):
            step()
    collect(model, spikes(8, 6))
    assert model.synapse.settings.encoder
    with pytest.raises(UsageError, match="QLinear: is_encoder is 'yes'"):
        QLinear(6, 4, is_encoder="yes")


def test_declarations_that_the_data_contradicts():
    model = small(is_encoder=False)
    model.collect_q_params()
    model(analog(8, 6))
    with pytest.raises(UsageError, match="QLinear 'synapse': is_encoder=False, but its collected"):
        model.calculate_q_params()
    inner = Net(
        lambda s, x: s.second(*s.b(s.first(*s.a(x))[0]))[0],
        a=QLinear(6, 4), first=QLIF(v_th_0=0.2), b=QLinear(4, 3, is_encoder=True), second=QLIF(),
    )  # fmt: skip
    with pytest.raises(UsageError, match="QLinear 'b': is_encoder=True, but its input is spikes"):
        collect(inner, spikes(8, 6))


def test_analog_input_of_a_layer_that_was_quantized_for_spikes():
    model = small()
    model.quantize()
    with pytest.raises(DataError, match="QLinear 'synapse': its input is analog"):
        model(analog(3, 6))
    inner = Net(
        lambda s, x: s.second(*s.b(s.first(*s.a(x))[0] * s.factor))[0],
        a=QLinear(6, 4), first=QLIF(v_th_0=-1.0), b=QLinear(4, 3), second=QLIF(),
    )  # fmt: skip
    inner.factor = 1
    inner.quantize()
    inner.factor = 2
    with pytest.raises(DataError, match="QLinear 'b': its input has 2 spikes at once, at most 1"):
        inner(spikes(3, 6))


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["nan", "inf"])
def test_values_that_are_not_finite(value):
    for name in ("weight", "bias"):
        model = small()
        with torch.no_grad():
            model.synapse.get_parameter(name)[0] = value
        before = tensors_of(model)
        for step in (model.quantize, model.aware):
            with pytest.raises(NumericalError, match=f"the {name} of 'synapse' holds NaN"):
                step()
        assert {n: str(t) for n, t in tensors_of(model).items()} == {
            n: str(t) for n, t in before.items()
        }
        model = small()
        model.aware()
        with torch.no_grad():
            model.synapse.get_parameter(name)[0] = value
        with pytest.raises(NumericalError, match=f"QLinear 'synapse': its {name} holds NaN"):
            model(spikes(2, 6))
    x = spikes(2, 6)
    x[0, 0] = value
    for step in ("quantize", "aware"):
        model = small()
        getattr(model, step)()
        with pytest.raises(NumericalError, match="QLinear 'synapse': its input holds NaN"):
            model(x)
    model = small()
    model.collect_q_params()
    with pytest.raises(NumericalError, match="'synapse' holds NaN"):
        model(x)


LEARNED = {
    "alpha_high": ("alpha", 1.25, "alpha of QLIF 'neuron' is 1.25, must be in"),
    "alpha_low": ("alpha", -0.5, "alpha of QLIF 'neuron' is -0.5, must be in"),
    "alpha_nan": ("alpha", float("nan"), "alpha of QLIF 'neuron' holds NaN"),
    "threshold_nan": ("v_threshold", float("nan"), "v_threshold of QLIF 'neuron' holds NaN"),
    "threshold_inf": ("v_threshold", float("inf"), "v_threshold of QLIF 'neuron' holds NaN"),
    "steps_negative": ("refractory_steps", -1.0, "refractory_steps of QLIF 'neuron' is -1"),
    "steps_broken": ("refractory_steps", 1.5, "refractory_steps of QLIF 'neuron' is 1.5"),
}


@pytest.mark.parametrize("case", LEARNED)
def test_parameters_that_left_their_range(case):
    name, value, message = LEARNED[case]
    torch.manual_seed(23)
    learn = [] if name == "refractory_steps" else [name]
    model = Layer(QLinear(6, 4), QLIF(learn=learn, ref_len=1, v_th_0=0.3))
    aware = copy.deepcopy(model)
    aware.aware()
    for one in (model, aware):
        with torch.no_grad():
            one.neuron.parameter_value(name).fill_(value)
    for step in (model.quantize, model.aware):
        with pytest.raises(NumericalError, match=message):
            step()
    assert [model.mode, model.synapse.mode, model.neuron.mode] == [Mode.FLOAT] * 3
    for step in (lambda: aware(spikes(2, 6)), aware.quantize):
        with pytest.raises(NumericalError, match=message):
            step()
    assert [aware.mode, aware.synapse.mode, aware.neuron.mode] == [Mode.AWARE] * 3


@pytest.mark.parametrize("wrong", [
    {"v_leaky_alpha": 1.5}, {"alpha": -0.1}, {"ref_len": -1}, {"ref_len": 0.5},
    {"v_th_0": float("nan")}, {"v_th_0": 1, "v_threshold": 1}, {"v_th": 1}, {"multi_step": "no"},
    {"v_th_0": "1.0x"}, {"v_th_0": []}, {"max_spikes": 0},
], ids=lambda wrong: "-".join(f"{k}={v}" for k, v in wrong.items()))  # fmt: skip
def test_what_no_neuron_can_be_made_of(wrong):
    with pytest.raises(UsageError, match=r"^QLIF(:| has no parameter) "):
        QLIF(**wrong)


def test_a_target_that_does_not_have_the_neuron():
    model = Layer(QLinear(6, 4), QLIF(max_spikes=3, reset=1))
    before = tensors_of(model)
    with pytest.raises(SnnquantError, match="'neuron' fires several spikes per step"):
        model.quantize("tianjic")
    assert_untouched(model, before, Mode.FLOAT)
    for options in ({"target": "none"}, {"weight_bits": 9}, {"input_bits": 1}):
        with pytest.raises(UsageError):
            model.quantize(**options)
    assert_untouched(model, before, Mode.FLOAT)


def test_examples_and_models_that_cannot_be_followed():
    model = small()
    for wrong in (np.zeros((2, 6)), (), ((spikes(2, 6),),), "x"):
        with pytest.raises(UsageError, match="Layer: example_input is a"):
            model.quantize(example_input=wrong)
    with pytest.raises(UsageError, match="QLinear 'synapse': its input has shape"):
        model.quantize(example_input=spikes(2, 5))
    decides = Net(lambda s, x: s.n(*s.a(x))[0] if x.sum() > 0 else x, a=QLinear(6, 4), n=QLIF())
    with pytest.raises(UsageError, match="Net: its forward cannot be followed without data"):
        decides.quantize()
    decides.quantize(example_input=torch.ones(2, 6))
    with pytest.raises(UsageError, match="QModel: has no quantizable layer"):
        QModel().collect_q_params()


def test_a_layer_that_was_not_reached_says_so():
    model = Net(lambda s, x: s.n(*(s.b if s.other else s.a)(x))[0], a=QLinear(6, 4),
                b=QLinear(6, 4), n=QLIF())  # fmt: skip
    model.other = False
    model.quantize()
    model.other = True
    with pytest.raises(UsageError, match="QLinear 'b': has no integers"):
        model(spikes(2, 6))


def test_arguments_given_by_name_are_collected():
    torch.manual_seed(25)
    model, other = small(), small()
    x = analog(16, 6)
    other.load_state_dict(model.state_dict())
    for one, call in ((model, lambda m: m(x)), (other, lambda m: m(v=None, x=x))):
        one.collect_q_params()
        call(one)
        one.calculate_q_params()
        one.quantize()
    assert other.synapse.settings.factor == model.synapse.settings.factor != 1
    assert torch.equal(other(x)[1], model(x)[1])


def test_a_read_out_gives_no_spikes_to_a_synapse():
    model = Net(lambda s, x: s.n(*s.b(s.li(*s.a(x))[0]))[0], a=QLinear(6, 4), li=QLI(alpha=0.5),
                b=QLinear(4, 3), n=QLIF())  # fmt: skip
    model.quantize()
    with pytest.raises(DataError, match="QLinear 'b': its input is analog"):
        model(spikes(3, 6))
