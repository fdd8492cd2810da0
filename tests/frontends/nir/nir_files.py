"""NIR graphs written by the nir package, and how they are read and run."""

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
from graphs import run_float

from snnquant.frontends.nir import read
from snnquant.frontends.reading import SourceOptions


def chain(shape, *nodes, **named):
    """Return a graph of nodes in a row, between an Input ``source`` and an Output ``sink``.

    Names that no framework gives, so that NIR's own equations hold.
    """
    entries = {f"n{k}": node for k, node in enumerate(nodes)} | named
    names = ["source", *entries, "sink"]
    held = {"source": nir.Input(np.array(shape)), **entries, "sink": nir.Output(None)}
    return nir.NIRGraph(held, list(pairwise(names)))


def write(tmp_path, graph, name="net.nir"):
    path = Path(tmp_path) / name
    nir.write(path, graph)
    return path


def write_unchecked(tmp_path, nodes, edges, name="net.nir"):
    """Write a graph that the nir package would not build."""
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    return write(tmp_path, graph, name)


def run(path, x, **options):
    """Read a file and return its outputs for a sequence ``[T, B, ...]``."""
    reading = read(Path(path), SourceOptions(**options))
    return run_float(reading.model, {reading.model.graph.input[0].name: x})


def sequence(*shape, steps=12, batch=4, gain=1.0, seed=0):
    x = np.random.default_rng(seed).normal(size=(steps, batch, *shape)) * gain
    return x.astype(np.float32)
