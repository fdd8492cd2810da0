"""What each framework that writes NIR computes itself, and what its file is read as: equal spikes.

Every network is written by the framework's own exporter and run by the framework, step by step, on
random inputs at three gains. Spikes may differ where the membrane is at the threshold to within
float32 rounding; in these networks none does.
"""

import nir_frameworks as frameworks
import numpy as np
import pytest
from graphs import run_float

from snnquant.errors import UsageError
from snnquant.frontends.nir import read
from snnquant.frontends.reading import SourceOptions

# What the frameworks warn of is theirs.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("in_process")]

STEPS, BATCH = 20, 16
GAINS = (0.5, 1.5, 4.0)

SNNTORCH = [
    (kind, reset)
    for kind in (
        "Leaky",
        "Leaky per neuron",
        "Leaky beta 1",
        "Synaptic",
        "RLeaky",
        "RLeaky one to one",
        "RSynaptic",
        "conv",
    )
    for reset in ("subtract", "zero")
]
SPIKINGJELLY = [
    "IF",
    "IF reset elsewhere",
    "LIF",
    "LIF tau 3",
    "LIF input kept",
    "LIF reset elsewhere",
    "PLIF",
    "CUBALIF",
    "mixed",
]
NORSE = ["LIFBox", "LIFBox leaking elsewhere", "LIF", "IAF", "LI"]
SINABS = ["LIF", "LIF single reset", "IAF", "IAF single reset", "ExpLeak"]


def compare(net, shape, write, simulate, path, writer, options=None):
    """Hold a network equal to its file; return the firing rate of the last run."""
    for gain in GAINS:
        frameworks.weighted(net, 0, gain)
        write(net, shape, path)
        reading = read(path, options or SourceOptions())
        assert any(writer in note for note in reading.notes), reading.notes
        x = np.random.default_rng(1).normal(size=(STEPS, BATCH, *shape)).astype(np.float32)
        wanted = simulate(net, x)
        (found,) = run_float(reading.model, {reading.model.graph.input[0].name: x})
        if any(origin.framework.endswith("LI") for origin in reading.origins):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, wanted)
    assert wanted.any()
    return reading


@pytest.mark.parametrize(("kind", "reset"), SNNTORCH)
def test_snntorch(tmp_path, kind, reset):
    net, shape = frameworks.snntorch_net(kind, reset)
    compare(
        net,
        shape,
        frameworks.snntorch_file,
        frameworks.snntorch_run,
        tmp_path / "net.nir",
        "as snnTorch writes",
        SourceOptions(reset="hard") if reset == "zero" else None,
    )


@pytest.mark.parametrize("kind", SPIKINGJELLY)
def test_spikingjelly(tmp_path, kind):
    net, shape = frameworks.spikingjelly_net(kind)
    compare(
        net,
        shape,
        frameworks.spikingjelly_file,
        frameworks.spikingjelly_run,
        tmp_path / "net.nir",
        "as SpikingJelly writes",
    )


@pytest.mark.parametrize("kind", NORSE)
def test_norse(tmp_path, kind):
    net, shape = frameworks.norse_net(kind)
    path = tmp_path / "net.nir"
    writes = "as Norse writes"
    compare(net, shape, frameworks.norse_file, frameworks.norse_run, path, writes)


@pytest.mark.parametrize("kind", SINABS)
def test_sinabs(tmp_path, kind):
    net, shape = frameworks.sinabs_net(kind)
    compare(
        net,
        shape,
        frameworks.sinabs_file,
        frameworks.sinabs_run,
        tmp_path / "net.nir",
        "as sinabs writes",
        SourceOptions(reset="hard") if "reset" in kind else None,
    )


def test_sinabs_convolutions(tmp_path):
    """A squeezed network takes batch and time as one axis, as its file says."""
    net, shape = frameworks.sinabs_conv_net()
    compare(
        net,
        shape,
        frameworks.sinabs_conv_file,
        frameworks.sinabs_conv_run,
        tmp_path / "net.nir",
        "as sinabs writes",
    )


@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_the_step_that_spikingjelly_was_told_is_found(tmp_path, dt):
    net, shape = frameworks.spikingjelly_net("mixed")
    frameworks.weighted(net, 0, 2.0)
    frameworks.spikingjelly_file(net, shape, tmp_path / "net.nir", dt=dt)
    reading = read(tmp_path / "net.nir", SourceOptions())
    assert any(f"dt = {dt:g}" in note for note in reading.notes), reading.notes
    x = np.random.default_rng(1).normal(size=(STEPS, BATCH, *shape)).astype(np.float32)
    (found,) = run_float(reading.model, {"input_1": x})
    np.testing.assert_array_equal(found, frameworks.spikingjelly_run(net, x))


def test_a_step_that_the_file_does_not_tell_is_asked_for(tmp_path):
    net, shape = frameworks.spikingjelly_net("LIF")
    frameworks.weighted(net, 0, 4.0)
    frameworks.spikingjelly_file(net, shape, tmp_path / "net.nir", dt=1e-3)
    x = np.random.default_rng(1).normal(size=(STEPS, BATCH, *shape)).astype(np.float32)
    wanted = frameworks.spikingjelly_run(net, x)
    assert wanted.any()
    guessed, told = (read(tmp_path / "net.nir", SourceOptions(dt=dt)) for dt in (None, 1e-3))
    assert any("assumed to last dt = 0.0001" in note for note in guessed.notes)
    assert not any("assumed to last" in note for note in told.notes)
    np.testing.assert_array_equal(run_float(told.model, {"input_1": x})[0], wanted)
    assert (run_float(guessed.model, {"input_1": x})[0] != wanted).any()


def test_snntorch_without_reset_delay(tmp_path):
    """The file does not tell; with a hard reset, only neurons that lose input differ."""
    net, shape = frameworks.snntorch_net("Leaky", "zero", delay=False)
    options = SourceOptions(reset="hard")
    path = tmp_path / "net.nir"
    writes = "as snnTorch writes"
    compare(net, shape, frameworks.snntorch_file, frameworks.snntorch_run, path, writes, options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset": "zero"}, "--reset is 'zero', must be one of hard, soft"),
        ({"discretize": "rk4"}, "--discretize is 'rk4', must be one of euler, exp"),
        ({"dt": -1.0}, "--dt is -1, must be a length of time above 0"),
        ({"input_shape": (1, 12)}, "--input-shape 1,12 has no time axis; give --timesteps too"),
        ({"input_shape": (1, 9)}, "--input-shape 1,9 does not fit: one step has the shape"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    net, shape = frameworks.snntorch_net("Leaky")
    frameworks.snntorch_file(net, shape, tmp_path / "net.nir")
    with pytest.raises(UsageError) as refusal:
        read(tmp_path / "net.nir", SourceOptions(**options))
    assert message in str(refusal.value)
