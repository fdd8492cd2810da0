"""Float networks whose layers are analyzed, and studies of them."""

import numpy as np
from graphs import Graph, calibrated, options_of

from snnquant.analyze import Scoring, Setting, Study
from snnquant.data import open_data
from snnquant.passes import canonicalise

STEPS, FEATURES, CLASSES = 5, 12, 4


def three_layers(outlier=0.0, batch="B"):
    """Three dense layers of neurons; one channel of the second is larger by ``outlier``."""
    rng = np.random.default_rng(3)
    g = Graph()
    value = g.input("x", [STEPS, batch, FEATURES])
    for index, (inside, size) in enumerate(((FEATURES, 16), (16, 16), (16, CLASSES)), 1):
        weight = rng.normal(0, 1.6 / np.sqrt(inside), (inside, size))
        if index == 2 and outlier:
            weight[:, 0] *= outlier
        current = g.op("MatMul", value, g.const(weight), name=f"fc{index}")
        value = g.neuron(current, name=f"lif{index}", alpha=0.75, v_threshold=0.5)[0]
    g.output(g.op("ReduceSum", value, g.const([0], np.int64), keepdims=0), 2)
    return g.model()


def data(path, samples=48, labelled=True):
    """Write analog sequences and return the data set."""
    rng = np.random.default_rng(4)
    arrays = {"x": rng.normal(0.2, 0.6, (samples, STEPS, FEATURES)).astype(np.float32)}
    if labelled:
        arrays["y"] = rng.integers(0, CLASSES, samples)
    np.savez(path / "data.npz", **arrays)
    return open_data(path / "data.npz")


def study_of(model, dataset, options=None, spikes=(), **scoring):
    """Return a study of a float model with given scales."""
    options = options or options_of()
    canonical = canonicalise(model)
    canonical, entries = calibrated(canonical, options, None, spikes)
    scoring = {"batch_size": 20, "threads": 1} | scoring
    return Study(canonical, Setting(options, entries), {}, dataset, Scoring(**scoring))
