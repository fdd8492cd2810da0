"""Which framework a file is taken for, and which step; what is assumed is said."""

import nir
import numpy as np
import pytest
from nir_files import chain, write

from snnquant.frontends.nir import read
from snnquant.frontends.nir.convention import CONVENTIONS
from snnquant.frontends.reading import SourceOptions

pytestmark = pytest.mark.usefixtures("in_process")

N = 4


def lif(tau, r, *, dtype=np.float64, rest=0.0, v_reset=0.0):
    full = [np.broadcast_to(value, N).astype(dtype) for value in (tau, r, rest, 1.0, v_reset)]
    return nir.LIF(full[0], full[1], full[2], full[3], full[4])


def graph_of(node, names=("source", "sink"), metadata=None):
    graph = chain((N,), cell=node)
    source, sink = names
    renamed = {"source": source, "sink": sink}
    return nir.NIRGraph(
        {renamed.get(name, name): held for name, held in graph.nodes.items()},
        [(renamed.get(a, a), renamed.get(b, b)) for a, b in graph.edges],
        metadata=metadata or {},
    )


EXTRACTED, TRACED = ("input", "output"), ("input_1", "output")
SPREAD = np.array([2e-4, 3e-4, 5e-4, 1e-3])
FILES = [
    # by names and parameters that only one exporter writes
    (lif(1e-3, 10.0, dtype=np.float32), EXTRACTED, "as snnTorch writes", 1e-4),
    (lif(SPREAD, SPREAD / 1e-4), EXTRACTED, "as snnTorch writes", 1e-4),
    (lif(np.inf, np.inf, dtype=np.float32), EXTRACTED, "as snnTorch writes", 1e-4),
    (lif(20.0, 1.0, dtype=np.float32), EXTRACTED, "as sinabs writes", 1.0),
    (lif(2e-4, 1.0), TRACED, "as SpikingJelly writes", 1e-4),
    (lif(2e-4, 2.0), TRACED, "as SpikingJelly writes", 1e-4),
    (lif(3e-3, 3.0, rest=-0.1, v_reset=-0.1), TRACED, "as SpikingJelly writes", 1e-3),
    # what none of them writes
    (lif(2e-4, 2.0, dtype=np.float32), TRACED, "every neuron has r = tau / 0.0001", 1e-4),
    (lif(2e-4, 2.0, rest=0.1), EXTRACTED, "every neuron has r = tau / 0.0001", 1e-4),
    (lif(SPREAD, SPREAD / 3e-5), EXTRACTED, "every neuron has r = tau / 3e-05", 3e-5),
    (lif(0.02, 1.5), EXTRACTED, "NIR's own equations hold", 1e-4),
    (lif(0.02, 1.0), EXTRACTED, "NIR's own equations hold", 1e-4),
    (lif(SPREAD, 2.0), EXTRACTED, "NIR's own equations hold", 1e-4),
]


@pytest.mark.parametrize(("node", "names", "sentence", "dt"), FILES)
def test_writers(tmp_path, node, names, sentence, dt):
    assert len(FILES) == 13
    notes = read(write(tmp_path, graph_of(node, names)), SourceOptions()).notes
    assert sum(sentence in note for note in notes) == 1, notes
    assert sum(f"dt = {dt:g}" in note for note in notes) == 1, notes


@pytest.mark.parametrize("key", ["dt", "snnquant.dt"])
def test_a_step_in_the_metadata(tmp_path, key):
    path = write(tmp_path, graph_of(lif(0.02, 1.0), metadata={key: 0.002}))
    reading = read(path, SourceOptions())
    (origin,) = reading.origins
    assert "v[t] = 0.9*(1 - s[t])*h[t]" in origin.equation


def test_options_beat_guesses_and_leave_nothing_to_say(tmp_path):
    path = write(tmp_path, graph_of(lif(1e-3, 10.0, dtype=np.float32), EXTRACTED))
    guessed = read(path, SourceOptions())
    assert sum("assumed" in note for note in guessed.notes) == 3
    assert any("give --reset hard" in note for note in guessed.notes)
    assert any("comes after the next leak" in note for note in guessed.notes)
    told = read(path, SourceOptions(dt=1e-4, reset="hard", discretize="euler"))
    assert not any("assumed" in note for note in told.notes)
    (origin,) = told.origins
    assert origin.framework == "NIR LIF"
    assert origin.equation == "h[t] = v[t-1] + x[t]; s[t] = h[t] > 1; v[t] = 0.9*(1 - s[t])*h[t]"


def test_the_table_of_conventions():
    told = {
        name: (c.dt, c.reset, c.discretize, c.fire_on_equal, c.max_spikes)
        for name, c in CONVENTIONS.items()
    }
    assert told == {
        "snntorch": (1e-4, "soft", "euler", False, 1),
        "spikingjelly": (1e-4, "hard", "euler", True, 1),
        "norse": (1e-6, "hard", "euler", False, 1),
        "sinabs": (1.0, "soft", "exp", True, 255),
    }
