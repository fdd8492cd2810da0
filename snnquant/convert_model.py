"""The integer model of a calibrated float graph: searched, with proved widths of states."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from snnquant import __version__
from snnquant.calibration import Calibration
from snnquant.data import Dataset
from snnquant.errors import CalibrationMismatchError
from snnquant.lowering.decided import Coarser, Decided, decided_coarser
from snnquant.manifest import describe_options
from snnquant.model_file import graph_hash
from snnquant.ops.attach import TIMESTEPS_KEY
from snnquant.progress import Progress, silent
from snnquant.quantize import QuantizedModel, fuse_result, quantize_model
from snnquant.quantize_options import ERROR, QuantizeOptions, plan_model
from snnquant.rounding import METHODS
from snnquant.search import DEFAULT_SAMPLES, SearchResult, search_model
from snnquant.widths import Shapes, check_widths, narrowed, prove_widths, with_proof

MODEL_SCHEMA = "1"


def convert_model(
    model: ir.Model,
    calibration: Calibration,
    options: QuantizeOptions,
    *,
    source_sha256: str,
    calibration_sha256: str,
    dataset: Dataset | None = None,
    samples: int = DEFAULT_SAMPLES,
    threads: int | None = None,
    progress: Progress = silent,
    shapes: Shapes | None = None,
    any_length: bool = False,
) -> QuantizedModel:
    """Quantize a canonical float graph with its calibration, metadata included.

    Args:
        model: canonical float graph.
        calibration: must be of this graph.
        options: widths, target, read-out.
        source_sha256: hash of the float model's file.
        calibration_sha256: hash of the calibration file.
        dataset: what the method of rounding looks at, if it does.
        samples: use at most the first so many of them.
        threads: threads of ONNX Runtime for that.
        progress: told of every layer that was searched.
        shapes: of the inputs of one sample, for which widths of states are proved; None: states
            have the target's.
        any_length: the integer model may be run for more steps than ``shapes`` have.

    Raises:
        CalibrationMismatchError: the calibration is of another graph.
        DataError: the samples do not fit the model.
        NumericalError: states can leave their width, and that is to be an error.
    """
    check_calibration(model, calibration)
    scales = calibration.input_scales(options.input_bits, options.target.input_observer)
    rates = calibration.firing_rates()
    properties = model_properties(options, str(calibration.timesteps or ""))
    properties["snnquant.source_sha256"] = source_sha256
    properties["snnquant.calibration_sha256"] = calibration_sha256
    plain = replace(options, fuse=False)
    plan = plan_model(model, scales, options, rates)
    wanted = {} if shapes is None else options.wanted_state_bits(plan)

    def made(coarser: Coarser, decided: Mapping[str, Decided]) -> QuantizedModel:
        own = decided_coarser(plan, decided, coarser)
        return quantize_model(
            model, scales, plain, properties, rates, own, coarser=_added(before, coarser)
        )

    before: Coarser = {}
    if shapes is not None:
        before = narrowed(lambda coarser: made(coarser, {}).model, plan, shapes, wanted)
    found = SearchResult()
    if dataset is not None and METHODS[options.rounding].needs_samples:
        found = search_model(
            model,
            scales,
            options,
            rates,
            dataset,
            samples=samples,
            threads=threads,
            progress=progress,
            coarser=before,
        )
    # Weights that were searched for can reach a little further than the nearest ones.
    after: Coarser = {}
    if shapes is not None and found.decided:
        after = narrowed(lambda coarser: made(coarser, found.decided).model, plan, shapes, wanted)
    result = replace(made(after, found.decided), search=found.layers)
    if shapes is not None:
        widths = prove_widths(result.model, shapes, wanted, any_length=any_length)
        if options.overflow == ERROR:
            check_widths(widths)
        result = with_proof(result, widths)
    return fuse_result(result) if options.fuse else result


def _added(a: Coarser, b: Coarser) -> Coarser:
    """Return sums by name."""
    none = np.zeros(1, np.int64)
    return {name: a.get(name, none) + b.get(name, none) for name in {**a, **b}}


def check_calibration(model: ir.Model, calibration: Calibration) -> None:
    """Raise CalibrationMismatchError if a calibration is of another canonical graph."""
    if calibration.graph_sha256 != graph_hash(model):
        raise CalibrationMismatchError(
            "the calibration is of another model (graph hashes differ); "
            "run 'snnquant calibrate' on this model"
        )


def model_properties(options: QuantizeOptions, timesteps: str | None) -> dict[str, str]:
    """Return the metadata of an integer model that tells how it was made."""
    properties = {
        "snnquant.version": __version__,
        "snnquant.schema": MODEL_SCHEMA,
        "snnquant.target": options.target.name,
        "snnquant.config": json.dumps(describe_options(options), sort_keys=True),
    }
    if timesteps:
        properties[TIMESTEPS_KEY] = timesteps
    return properties
