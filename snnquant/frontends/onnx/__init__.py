"""ONNX files: with neuron nodes as they are, others by recognising neurons in them.

A foreign graph goes through these folders, in this order:

1. ``preparation``: one form for every export (opset, float32, sorted, no functions);
2. ``unrolling``: loops over time are written out;
3. ``batch``: where a batch size is baked in, it is freed;
4. ``recognition``: values are read as polynomials over atoms, step by step, and chains of states
   as neurons; its docstring tells how to read one more operation;
5. ``rolling``: one node per neuron over ``[T, B, ...]``, time folded into the batch elsewhere;
6. ``proof``: each neuron re-simulated, and both graphs run on random inputs.

A graph of a single step takes :mod:`~snnquant.frontends.onnx.rolling.single_step` instead of 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from snnquant.errors import ModelError, UsageError
from snnquant.frontends.onnx.batch.free_batch import bakes_batch, free_batch
from snnquant.frontends.onnx.preparation.prepare import prepare
from snnquant.frontends.onnx.proof.original import check_batches, check_original
from snnquant.frontends.onnx.proof.resimulate import resimulate
from snnquant.frontends.onnx.proof.whole_model import compare_outputs, layers_of
from snnquant.frontends.onnx.recognition.facts import BakedBatchError
from snnquant.frontends.onnx.recognition.places import origins_of
from snnquant.frontends.onnx.recognition.recognise import recognise
from snnquant.frontends.onnx.rolling.single_step import (
    StatePairs,
    as_sequence,
    fixed_batch,
    name_outputs_once,
    state_pairs,
)
from snnquant.frontends.onnx.rolling.single_step_writer import is_single_step, recognise_step
from snnquant.frontends.onnx.unrolling.unroll import unroll
from snnquant.frontends.reading import Reading, SourceOptions, reading_of
from snnquant.model_file import metadata, neuron_nodes, read_model
from snnquant.ops.attach import TIMESTEPS_KEY
from snnquant.ops.equation import equations_in


def read(path: Path, options: SourceOptions) -> Reading:
    """Read an ONNX file.

    Raises:
        ModelError: it cannot be read, or holds no spiking network that can be recognised.
        UsageError: a time axis or a number of steps is given that it does not have.
    """
    model = read_model(path)
    if neuron_nodes(model):
        _check_time_axis(options, str(path), single_step=False)
        _check_timesteps(options, str(path), model)
        return reading_of(model)
    return read_proto(model, str(path), options)


def read_proto(model: onnx.ModelProto, name: str, options: SourceOptions | None = None) -> Reading:
    """Read a graph in which neurons are written out in standard operations.

    Args:
        model: any export.
        name: words for it in messages, such as its path.
        options: what the user says beside it.

    Raises:
        ModelError: something in it is not understood, or is wrong; the message says what, where,
            and what to do.
        UsageError: a time axis is given that it does not have.
    """
    given = options or SourceOptions()
    prepared = prepare(model, name)
    pairs = state_pairs(prepared)
    try:
        # Numbers that overflow are found by what comes of them.
        with np.errstate(all="ignore"):
            if pairs is not None and is_single_step(prepared, pairs):
                _check_time_axis(given, name, single_step=True)
                check_original(model, prepared)
                return _read_step(prepared, pairs, given)
            _check_time_axis(given, name, single_step=False)
            plain = unroll(prepared, timesteps=given.timesteps, where="the model")
            if given.timesteps is None:
                check_original(model, plain)
            reading = _read_sequence(plain, [])
            _check_timesteps(given, name, reading.model)
            return reading
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _check_timesteps(options: SourceOptions, name: str, model: onnx.ModelProto) -> None:
    """Raise UsageError for a number of steps that the graph does not have.

    A graph that says nothing of it runs as many steps as its input has: any number, which the data
    then is bound to.
    """
    steps = metadata(model).get(TIMESTEPS_KEY)
    if options.timesteps is not None and steps not in (None, "", str(options.timesteps)):
        raise UsageError(
            f"{name}: --timesteps is {options.timesteps}, but the graph runs {steps} steps; drop it"
        )


def _check_time_axis(options: SourceOptions, name: str, *, single_step: bool) -> None:
    """Raise UsageError for a time axis that would be lost, or that no sequence gets."""
    if options.time_axis is None:
        return
    if not single_step:
        raise UsageError(
            f"{name}: --time-axis means something for ONNX graphs of a single step only, and this "
            "is a sequence; drop it"
        )
    if options.time_axis != 0:
        raise UsageError(
            f"{name}: a graph of a single step becomes a sequence [T, B, ...]; give --time-axis 0"
        )
    if options.timesteps is None:
        raise UsageError(f"{name}: --time-axis needs a number of steps; give --timesteps N too")


def _read_sequence(model: onnx.ModelProto, notes: list[str]) -> Reading:
    """Read a graph whose time steps are written out."""
    try:
        found = recognise(model)
    except ModelError as error:
        if not isinstance(error, BakedBatchError) and not bakes_batch(model):
            raise
        freed = free_batch(model)
        check_batches(model, freed)
        model = freed
        found = recognise(model)
    writer = found.writer
    edges = resimulate(writer)
    facts = writer.chains.values.facts
    compare_outputs(model, found.model, layers_of(writer.written.values(), facts), facts)
    names = {chain: written.name for chain, written in writer.written.items()}
    names |= {chain: name for name, chain in writer.read_outs.items()}
    return Reading(
        found.model if facts.dynamic else free_batch(found.model),
        origins_of(writer.chains.values, names, edges, equations_in(found.model)),
        notes,
        None if facts.dynamic else facts.batch,
    )


def _read_step(model: onnx.ModelProto, pairs: StatePairs, options: SourceOptions) -> Reading:
    """Read a single-step graph: as it is, or as a sequence where the user says how long."""
    if options.timesteps is not None:
        timed = options.time_axis is not None
        note = (
            f"the graph is a single step; it runs {options.timesteps} steps from states of 0, "
            + ("one step of the input each" if timed else "with the same input at each")
        )
        return _read_sequence(
            as_sequence(model, pairs, options.timesteps, timed_input=timed), [note]
        )
    size = fixed_batch(model, pairs)
    free = model if size is None else free_batch(name_outputs_once(model))
    found, writer = recognise_step(free, pairs)
    facts = writer.chains.values.facts
    compare_outputs(free, found, writer.layers(), facts)
    names = {chain: written.name for chain, written in writer.written.items()}
    later = ", ".join(f"{a} -> {b}" for a, b in pairs.later.items())
    note = (
        f"the graph is a single step with states as inputs and outputs ({later}); "
        "--timesteps N makes a sequence of it"
    )
    origins = origins_of(writer.chains.values, names, {}, equations_in(found))
    return Reading(found, origins, [note], size)
