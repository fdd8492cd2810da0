"""Which layer costs what: found where it is, ranked in every mode, and what helps is measured."""

from contextlib import nullcontext

import numpy as np
import onnx_ir as ir
import pytest
from graphs import Graph, options_of
from networks_to_analyze import CLASSES, FEATURES, STEPS, data, study_of, three_layers

from snnquant.analyze import MODES, Change, Setting, analyze
from snnquant.analyze.costs import ALL, ALONE, CUMULATIVE, LOCAL
from snnquant.analyze.meters import Power
from snnquant.analyze.study import Job
from snnquant.errors import DataError, NumericalError, UsageError
from snnquant.evaluate import evaluate_model
from snnquant.progress import silent
from snnquant.quantize import quantize_model

PER_TENSOR = options_of("generic", 8, per_channel=False)


def stage(title):
    return nullcontext(silent)


def per_channel(study):
    changed = options_of("generic", 8, per_channel=True)
    return Change("convert", "--per-channel", Setting(changed, study.setting.scales))


@pytest.mark.parametrize("mode", MODES)
def test_the_layer_that_was_made_bad_is_first_and_per_channel_helps(tmp_path, mode):
    study = study_of(three_layers(outlier=4000.0), data(tmp_path), PER_TENSOR)
    found = analyze(study, mode, [per_channel(study)], stage)
    assert [entry.rank for entry in found.layers] == [1, 2, 3]
    assert found.layers[0].layer.name == "lif2"
    modes = {LOCAL, ALONE, CUMULATIVE} if mode == ALL else {mode}
    assert found.layers[0].costs.keys() == modes
    for name in modes:
        ranks = {entry.layer.name: entry.costs[name].rank for entry in found.layers}
        assert ranks["lif2"] == 1
        assert sorted(ranks.values()) == [1, 2, 3]
    (best,) = [tried for tried in found.alternatives if tried.layer.name == "lif2"]
    assert best.helps
    assert best.after.spike_agreement > 0.98 > 0.9 > best.before.spike_agreement
    assert best.output_after.error < 0.1 * best.output_before.error
    ((change, output),) = found.changes
    assert change.option == "--per-channel"
    assert output.error < 0.1 * found.whole.error


def test_without_the_outlier_it_is_not_first_by_far(tmp_path):
    study = study_of(three_layers(), data(tmp_path), PER_TENSOR)
    found = analyze(study, ALL, [], stage)
    assert max(entry.costs[LOCAL].cost for entry in found.layers) < 0.1
    assert (found.alternatives, found.changes) == ((), ())


def test_the_last_cumulative_point_is_the_integer_model(tmp_path):
    dataset = data(tmp_path)
    study = study_of(three_layers(), dataset, options_of("generic", 3))
    found = analyze(study, ALL, [], stage)
    result = quantize_model(study.model, study.setting.scales, study.setting.options, rates={})
    wanted = evaluate_model(
        result.model, dataset, reference=ir.to_proto(study.model), batch_size=20, threads=1
    )
    last = next(e for e in found.layers if e.layer.name == "lif3").costs[CUMULATIVE]
    assert last.output == found.whole
    assert found.whole.accuracy == wanted.accuracy
    assert found.float_accuracy == pytest.approx(wanted.float_accuracy, abs=1e-12)
    assert found.whole.prediction_agreement == wanted.prediction_agreement
    assert found.whole.spike_agreement == wanted.layers[-1].agreement
    assert last.layer.spike_agreement == wanted.layers[-1].agreement
    assert last.layer.spike_f1 == wanted.layers[-1].spike_f1
    assert 0 < found.whole.error < 1
    steps = sum(entry.costs[CUMULATIVE].cost for entry in found.layers)
    assert steps == pytest.approx(found.whole.error)


@pytest.mark.parametrize("batch_size", [7, 48])
def test_batches_do_not_matter(tmp_path, batch_size):
    dataset = data(tmp_path)
    wanted = analyze(study_of(three_layers(), dataset), ALL, [], stage)
    found = analyze(study_of(three_layers(), dataset, batch_size=batch_size), ALL, [], stage)
    fixed = analyze(study_of(three_layers(batch=9), dataset), ALL, [], stage)
    for other in (found, fixed):
        assert other.whole.error == pytest.approx(wanted.whole.error)
        assert [e.layer for e in other.layers] == [e.layer for e in wanted.layers]
        for mine, yours in zip(other.layers, wanted.layers, strict=True):
            for mode in (LOCAL, ALONE, CUMULATIVE):
                a, b = mine.costs[mode].layer, yours.costs[mode].layer
                assert a.spike_agreement == b.spike_agreement
                assert a.membrane_snr == pytest.approx(b.membrane_snr)


def test_snr_by_hand():
    """One neuron that adds up 0.6 of 1/2 each step: 1.0 in integers of 0.5 would be exact."""
    g = Graph()
    value = g.input("x", [3, "B", 1])
    current = g.op("MatMul", value, g.const([[0.6]]), name="fc")
    g.output(g.neuron(current, name="lif", v_threshold=1.0)[0], 3)

    class Three:
        has_labels = False

        def __len__(self):
            return 1

        def batches(self, size, limit):
            from snnquant.data import Batch

            yield Batch({"x": np.array([[[1.0], [1.0], [0.0]]], np.float32)}, None, 0)

    study = study_of(g.model(), Three(), options_of("tianjic"))
    # Entering at 1/32 with at most 127 of 128 steps; the weight's only integer is 127 of 128.
    (layer,) = study.layers
    job = Job(study.setting, (layer,), local=True)
    found = study.run([job], silent)[job].layers["lif"]
    step = 0.6 / 128
    membrane = np.array([0.6, 1.2, 0.0])  # before the reset to 0
    integer = np.array([127, 254, 0]) * step
    wanted = 10 * np.log10((membrane**2).sum() / ((membrane - integer) ** 2).sum())
    assert found.membrane_snr == pytest.approx(wanted, rel=1e-4)
    assert found.membrane_snr_agreeing == pytest.approx(wanted, rel=1e-4)
    current = np.array([0.6, 0.6, 0.0])
    error = current - np.array([127, 127, 0]) * step
    wanted = 10 * np.log10((current**2).sum() / (error**2).sum())
    assert found.current_snr == pytest.approx(wanted, rel=1e-4)
    assert (found.error, found.spike_agreement, found.spike_f1) == (0, 1, 1)


def test_power():
    power = Power("a score")
    assert (power.decibels, power.ratio) == (200, 0)
    power.add(np.array([0.0, 3.0]), np.array([0.0, 3.0]))
    assert (power.decibels, power.ratio) == (200, 0)
    power.add(np.array([1.0, 100.0]), np.array([0.0, 0.0]), np.array([True, False]))
    assert power.decibels == pytest.approx(10)
    assert power.ratio == pytest.approx(0.1)
    silent_layer = Power("a score")
    silent_layer.add(np.zeros(2), np.ones(2))
    assert (silent_layer.decibels, silent_layer.ratio) == (-200, 1e20)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_power_of_what_is_no_number_is_refused(value):
    with pytest.raises(NumericalError, match="a score is NaN or infinite in the float model"):
        Power("a score").add(np.array([1.0, value]), np.array([1.0, value]))


def test_several_outputs_and_no_neuron_behind_the_last_synapse(tmp_path):
    g = Graph()
    value = g.input("x", [STEPS, "B", FEATURES])
    rng = np.random.default_rng(5)
    first = g.op("MatMul", value, g.const(rng.normal(size=(FEATURES, 8))), name="fc1")
    spikes = g.neuron(first, name="lif1", alpha=0.5)[0]
    scores = g.op("MatMul", spikes, g.const(rng.normal(size=(8, CLASSES))), name="fc2")
    g.output(spikes, 3)
    g.output(scores, 3)
    study = study_of(g.model(), data(tmp_path), options_of("generic", 3), output=scores)
    assert [(x.name, x.synapses, x.neurons) for x in study.layers] == [
        ("lif1", ("fc1",), ("lif1",)),
        ("fc2", ("fc2",), ()),
    ]
    found = analyze(study, ALL, [], stage)
    end = next(entry for entry in found.layers if entry.layer.name == "fc2").costs
    assert end[LOCAL].layer.membrane_snr is None
    assert end[LOCAL].layer.spike_agreement is None
    assert 10 < end[LOCAL].layer.current_snr < 40
    assert end[ALONE].output.spike_agreement == 1
    with pytest.raises(UsageError, match="--output z: the model has no such output"):
        study_of(g.model(), data(tmp_path), output="z")


def test_a_loop_that_was_written_out_is_one_layer(tmp_path):
    from test_stateful_models import SAMPLES, C, F, T, loop

    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (SAMPLES, T, F)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=rng.integers(0, C, SAMPLES))
    from snnquant.data import open_data

    found = [
        analyze(
            study_of(loop(rolled), open_data(tmp_path / "data.npz"), options_of("generic", 3)),
            ALL,
            [],
            stage,
        )
        for rolled in (True, False)
    ]
    rolled, written = (entry.layers[0] for entry in found)
    assert (len(found[0].layers), len(found[1].layers)) == (1, 1)
    assert written.layer.neurons == ("lif0", "lif1", "lif2")
    assert found[0].whole.error == found[1].whole.error > 0
    for mode in (LOCAL, ALONE, CUMULATIVE):
        mine, yours = rolled.costs[mode].layer, written.costs[mode].layer
        assert mine.spike_agreement == yours.spike_agreement
        assert mine.membrane_snr == pytest.approx(yours.membrane_snr, rel=1e-6)
        assert mine.membrane_snr_agreeing == pytest.approx(yours.membrane_snr_agreeing, rel=1e-6)


def test_a_single_step_with_states_is_refused(tmp_path):
    from test_stateful_models import step

    with pytest.raises(UsageError, match="a single time step with its states as inputs"):
        study_of(step(), data(tmp_path))


def test_refusals(tmp_path):
    dataset = data(tmp_path)
    study = study_of(three_layers(), dataset)
    study.dataset = open_labels(tmp_path)
    with pytest.raises(DataError, match="label 9 is no class"):
        analyze(study, ALONE, [], stage)


def test_names_are_taken_as_they_are(tmp_path):
    """A synapse may be called as the neuron of another layer is, and names hold anything."""
    g = Graph()
    value = g.input("x", [STEPS, "B", FEATURES])
    rng = np.random.default_rng(5)
    for synapse, neuron, inside in (("b", "a\n", FEATURES), ("a\n", "b", 8)):
        weight = g.const(rng.normal(size=(inside, 8)))
        current = g.op("MatMul", value, weight, name=synapse)
        value = g.neuron(current, name=neuron)[0]
    g.output(value, 3)
    found = analyze(study_of(g.model(), data(tmp_path, labelled=False)), ALL, [], stage)
    assert sorted(entry.layer.name for entry in found.layers) == ["a\n", "b"]
    assert found.float_accuracy is None
    assert found.whole.accuracy is None
    assert 0 < found.whole.error < 0.5


def open_labels(path):
    from snnquant.data import open_data

    x = np.zeros((2, STEPS, FEATURES), np.float32)
    np.savez(path / "labels.npz", x=x, y=np.array([0, 9]))
    return open_data(path / "labels.npz")


def test_a_setting_without_integers_is_left_out(tmp_path):
    study = study_of(three_layers(outlier=4000.0), data(tmp_path), PER_TENSOR)
    wrong = Setting(PER_TENSOR, {})  # nothing says how x enters the first layer
    found = analyze(study, LOCAL, [Change("convert", "--nothing", wrong)], stage)
    assert found.alternatives == ()
