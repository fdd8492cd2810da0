"""ONNX files: with neuron nodes as they are, others by recognising neurons in them."""

from __future__ import annotations

from pathlib import Path

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.free_batch import free_batch
from snnquant.frontends.onnx.places import origins_of
from snnquant.frontends.onnx.prepare import prepare
from snnquant.frontends.onnx.recognise import recognise
from snnquant.frontends.onnx.resimulate import resimulate
from snnquant.frontends.onnx.unroll import unroll
from snnquant.frontends.onnx.whole_model import compare_outputs
from snnquant.frontends.reading import Reading, SourceOptions, reading_of
from snnquant.model_file import neuron_nodes, read_model


def read(path: Path, options: SourceOptions) -> Reading:
    """Read an ONNX file.

    Raises:
        ModelError: it cannot be read, or holds no spiking network that can be recognised.
    """
    model = read_model(path)
    if neuron_nodes(model):
        return reading_of(model)
    return read_proto(model, str(path), options)


def read_proto(
    model: onnx.ModelProto, name: str, options: SourceOptions | None = None
) -> Reading:
    """Read a graph in which neurons are written out in standard operations.

    Args:
        model: any export.
        name: words for it in messages, such as its path.
        options: what the user says beside it.

    Raises:
        ModelError: something in it is not understood, or is wrong; the message says what, where,
            and what to do.
    """
    prepared = prepare(model, name)
    steps = None if options is None else options.timesteps
    plain = unroll(prepared, timesteps=steps, where=name)
    try:
        found = recognise(plain)
        writer = found.writer
        edges = resimulate(writer)
        compare_outputs(plain, found.model, writer)
        facts = writer.chains.values.facts
        free = found.model if facts.dynamic else free_batch(found.model, where="the model")
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    names = {chain: written.name for chain, written in writer.written.items()}
    return Reading(
        free,
        origins_of(writer.chains.values, names, edges),
        fixed_batch=None if facts.dynamic else facts.batch,
    )
