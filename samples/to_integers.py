"""What the scripts from_<framework>.py share: train on the digits, then run snnquant's commands."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from recipe import SEED, accuracy, fit, run_torch
from rich.console import Console
from torch import nn
from train_digits import load_data

HERE = Path(__file__).resolve().parent


def run(factory: str, net: nn.Module, description: str, *, epochs: int, rate: float) -> None:
    """Train a network and take it to integers.

    Args:
        factory: ``module:name`` by which snnquant builds the same network.
        net: the network, which maps images ``[B, 1, 8, 8]`` to scores ``[B, 10]``.
        description: the script's docstring.
        epochs: of training, if the user does not say.
        rate: learning rate.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--samples", type=int, help="training samples; default: all")
    parser.add_argument("--out", type=Path, default=Path(f"snnquant-{factory.split(':')[0]}"))
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    x_train, y_train, x_test, y_test = load_data()
    x_train, y_train = x_train[: args.samples], y_train[: args.samples]
    fit(
        net,
        torch.from_numpy(x_train),
        torch.from_numpy(y_train),
        epochs=args.epochs,
        learning_rate=rate,
        weight_decay=1e-4,
        console=Console(file=sys.stderr),
        title=factory,
        seed=SEED,
    )
    print(f"float network in torch: {100 * accuracy(run_torch(net, x_test), y_test):.2f} %")
    torch.save(net.state_dict(), out / "net.pt")
    np.savez_compressed(out / "train.npz", x=x_train, y=y_train)
    np.savez_compressed(out / "test.npz", x=x_test, y=y_test)

    model = ("--model", factory, "--checkpoint", out / "net.pt")
    graph, calibration, integers = out / "net.onnx", out / "calibration.json", out / "net.int.onnx"
    _snnquant("import", *model, "-o", graph)
    _snnquant("calibrate", graph, "--data", out / "train.npz", "-o", calibration)
    _snnquant("convert", graph, "--calibration", calibration, "-o", integers)
    _snnquant("eval", integers, "--data", out / "test.npz", "--reference", graph)


def _snnquant(*arguments: str | Path) -> None:
    """Run one command of snnquant in this folder, where it finds the scripts as modules."""
    print("\n$ snnquant", *arguments, flush=True)
    command = [sys.executable, "-m", "snnquant", *map(str, arguments)]
    subprocess.run(command, cwd=HERE, check=True)
