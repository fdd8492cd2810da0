"""Recognise the neurons of an unrolled graph, and roll it up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition import arithmetic, comparing, scatters, views
from snnquant.frontends.onnx.recognition.chains import Chains
from snnquant.frontends.onnx.recognition.facts import gather_facts
from snnquant.frontends.onnx.recognition.interpreter import Interpreter
from snnquant.frontends.onnx.recognition.reasons import why_silent
from snnquant.frontends.onnx.rolling.graph_builder import GraphBuilder
from snnquant.frontends.onnx.rolling.neuron_writer import NeuronWriter, timesteps_metadata
from snnquant.frontends.onnx.rolling.shapes import Shapes


@dataclass
class Recognised:
    """A rolled-up graph and what it was read from."""

    model: onnx.ModelProto
    writer: NeuronWriter


def interpret(
    model: onnx.ModelProto,
    sources: Mapping[str, tuple[str, int]] | None = None,
    *,
    spikes_stay: bool = True,
) -> Interpreter:
    """Return the values of a prepared graph without loops, read.

    Args:
        model: the graph.
        sources: what each input is and of which step, for graphs written out from single steps.
        spikes_stay: spikes that are compared once more stay spikes; else they are a membrane.
    """
    facts = gather_facts(model)
    handlers = {**arithmetic.HANDLERS, **views.HANDLERS, **scatters.HANDLERS}
    handlers |= comparing.handlers_for(model, facts)
    compared, thresholds = comparing.compared_values(model, facts)
    steps = views.step_axes(model, facts)
    values = Interpreter(
        facts, handlers, compared, thresholds, steps, sources, spikes_stay=spikes_stay
    )
    values.run()
    return values


def recognise(model: onnx.ModelProto) -> Recognised:
    """Read a prepared graph whose time steps are written out.

    Raises:
        ModelError: something is not understood; the message says what, where, and what to do.
    """
    values = interpret(model)
    try:
        return _rolled_up(values)
    except RecursionError as error:
        raise ModelError(
            "operations depend on each other through too many steps to be read; export fewer steps"
        ) from error
    except ModelError:
        if not values.compared_spikes:
            raise
        # A neuron right behind spikes compares nothing but spikes at its first step.
        return _rolled_up(interpret(model, spikes_stay=False))


def _rolled_up(values: Interpreter) -> Recognised:
    """Return the rolled-up graph of values that were read."""
    facts, model = values.facts, values.facts.model
    chains = Chains(values)
    silent = [s for s in values.states if s in chains.live and s not in chains.of]
    steps = max((len(chain.states) for chain in chains.spiking), default=0)
    if not chains.spiking:
        steps = max((state.time + 1 for state in silent), default=0)
    if steps < 2:
        raise ModelError(why_silent(values))
    if not facts.dynamic:
        first = chains.spiking[0].last if chains.spiking else silent[0]
        facts.batch = Shapes(facts).of_atom(first)[0]
    builder = GraphBuilder.like(model)
    writer = NeuronWriter(chains, builder, steps)
    for chain in chains.spiking:
        writer.write(chain)
    results = []
    for output in model.graph.output:
        poly = values.poly(output.name)
        results.append(writer.total(poly) or writer.rolled.static(poly))
    return Recognised(builder.finish(results, timesteps_metadata(steps)), writer)
