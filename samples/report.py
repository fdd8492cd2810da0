"""What the quantizing scripts of this folder share: their options, their checks, their table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from recipe import accuracy, run_torch
from rich.console import Console
from rich.table import Table
from torch import nn

import snnquant
from snnquant import nn as snn
from snnquant.instrument import with_outputs


@dataclass(frozen=True)
class Row:
    """One line of the table: how well a model does, and the size of its weights.

    Attributes:
        name: what the weights are.
        accuracy: share of test samples that are right.
        weight_bytes: all weights, packed; without scales and biases.
    """

    name: str
    accuracy: float
    weight_bytes: int


def judged(name: str, model: snn.QModel, x: np.ndarray, y: np.ndarray) -> Row:
    """Return the line of a model in the mode in which it is."""
    bits = 32 if model.options is None else model.options.weight_bits
    weights = (p for n, p in model.named_parameters() if n.endswith("weight"))
    return Row(name, accuracy(run_torch(model, x), y), sum(p.numel() for p in weights) * bits // 8)


def show(title: str, runs: Sequence[Sequence[Row]]) -> None:
    """Print one line per row: of several runs the mean, and the least and the largest."""
    table = Table(title=title)
    for name in ("weights", "accuracy", "change to float", "bytes of weights"):
        table.add_column(name, justify="left" if name == "weights" else "right")
    for rows in zip(*runs, strict=True):
        values = np.array([row.accuracy for row in rows]) * 100
        change = values - [run[0].accuracy * 100 for run in runs]
        spread = f" ({values.min():.2f} .. {values.max():.2f})" if len(rows) > 1 else ""
        table.add_row(
            rows[0].name,
            f"{values.mean():.2f} %{spread}",
            "" if rows[0] is runs[0][0] else f"{change.mean():+.2f}",
            f"{rows[0].weight_bytes:,}",
        )
    Console(width=100).print(table)


def same(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    """Stop unless a run gave the very scores of the quantized model."""
    if not np.array_equal(found, expected):
        differ = int((found != expected).sum())
        raise SystemExit(
            f"{what}: {differ} of {expected.size} scores are not the quantized model's"
        )
    print(f"{what}: all {expected.size} scores are the quantized model's, bit for bit")


def same_in_onnx(what: str, model: snn.QModel, path: Path, x: np.ndarray) -> None:
    """Stop unless an exported file fires where the model does, neuron by neuron, step by step.

    The scores are compared up to rounding: ONNX adds integers over time, torch real numbers.
    """
    layers = {
        f"{name}.spikes": layer
        for name, layer in model.named_modules()
        if isinstance(layer, snn.NeuronLayer) and layer.model.spiking
    }
    seen: dict[str, np.ndarray] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out[0].numpy()})
        )
        for name, layer in layers.items()
    ]
    scores = run_torch(model, x)
    for hook in hooks:
        hook.remove()
    watched = with_outputs(onnx.load(path), list(layers)).SerializeToString()
    session = snnquant.InferenceSession(watched, providers=["CPUExecutionProvider"])
    found, *spikes = session.run(["output", *layers], {"input": x})
    for name, fired in zip(layers, spikes, strict=True):
        if not np.array_equal(fired, seen[name]):
            raise SystemExit(f"{what}: {(fired != seen[name]).sum()} of {name} differ from torch")
    if not np.allclose(found, scores, rtol=1e-5, atol=1e-5):
        raise SystemExit(f"{what}: scores differ from torch by {np.abs(found - scores).max():g}")
    total, agree = sum(map(np.size, spikes)), (found.argmax(1) == scores.argmax(1)).sum()
    print(f"{what}: all {total:,} spikes equal, {agree} of {len(scores)} predictions")


def trainable_copy(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters as they are now, to start from again."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def options_of(what: str, out: str, epochs: int, aware_epochs: int) -> argparse.Namespace:
    """Read the command line.

    Args:
        what: first line of the help.
        out: default folder for what is written.
        epochs: default number of epochs in float.
        aware_epochs: default number of epochs with the integers.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--epochs", type=int, default=epochs, help="in float")
    parser.add_argument("--aware-epochs", type=int, default=aware_epochs, help="with integers")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order of samples")
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        help="as many, from --seed on; the table has means, --out the files of the last",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few epochs and samples; only shows that it runs"
    )
    parser.add_argument(
        "--validate", action="store_true", help="judge on a held-out part of the training data"
    )
    parser.add_argument("--out", type=Path, default=Path(out), help="folder for what is written")
    args = parser.parse_args()
    if args.quick:
        args.epochs, args.aware_epochs = min(args.epochs, 3), min(args.aware_epochs, 1)
    torch.set_num_threads(1)  # the same numbers on every number of cores
    args.out.mkdir(parents=True, exist_ok=True)
    return args
