"""Train two spiking networks on scikit-learn's digits and export them as float ONNX.

python samples/train_digits.py            # both nets, about two minutes on two cores
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from recipe import SEED, accuracy, fit, run_onnx, run_torch
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from snnquant import nn as snn

HERE = Path(__file__).resolve().parent
PACKAGE_DATA = HERE.parent / "snnquant" / "demo_data"
PACKAGED = ("digits_conv.onnx", "digits_calibration.npz", "digits_test.npz")
CALIBRATION_SAMPLES = 512


def lif() -> snn.LIF:
    """Return the neuron that both nets use: hard reset to 0, threshold 1, leak 0.9."""
    return snn.LIF(alpha=0.9, surrogate=snn.Arctan(width=2.0))


class DigitsMLP(nn.Module):
    """Three layers of spiking neurons; the image is a constant current for ``T`` steps."""

    def __init__(self, timesteps: int = 8) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(64, 64)
        self.repeat = snn.Repeat(timesteps)
        self.lif1 = lif()
        self.fc2 = snn.Folded(nn.Linear(64, 64))
        self.lif2 = lif()
        self.fc3 = snn.Folded(nn.Linear(64, 10))
        self.lif3 = lif()
        self.readout = snn.SumOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to spike counts ``[B, 10]``."""
        z = self.lif1(self.repeat(self.fc1(self.flatten(x))))
        z = self.lif2(self.fc2(z))
        return self.readout(self.lif3(self.fc3(z)))


class DigitsConv(nn.Module):
    """Two convolutions with batch normalization and average pooling, then one linear layer."""

    def __init__(self, timesteps: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(12)
        self.repeat = snn.Repeat(timesteps)
        self.lif1 = lif()
        self.conv2 = snn.Folded(
            nn.AvgPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24)
        )
        self.lif2 = lif()
        self.fc = snn.Folded(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(96, 10))
        self.lif3 = lif()
        self.readout = snn.SumOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to spike counts ``[B, 10]``."""
        z = self.lif1(self.repeat(self.norm1(self.conv1(x))))
        z = self.lif2(self.conv2(z))
        return self.readout(self.lif3(self.fc(z)))


NETS: dict[str, Callable[[], nn.Module]] = {"digits_mlp": DigitsMLP, "digits_conv": DigitsConv}


def load_data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images and labels, then test ones; 60/40, stratified, in [0, 1]."""
    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[:, None]
    y = digits.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.4, stratify=y, random_state=SEED
    )
    return x_train, y_train, x_test, y_test


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to one pixel in each direction, half of the time."""
    padded = functional.pad(x, (1, 1, 1, 1))
    out = x.clone()
    for index in range(len(x)):
        dy, dx, keep = torch.randint(0, 6, (3,), generator=generator).tolist()
        if keep < 3:
            out[index] = padded[index, :, dy % 3 : dy % 3 + 8, dx % 3 : dx % 3 + 8]
    return out


def main() -> None:
    """Train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for models and data")
    parser.add_argument("--net", choices=list(NETS), action="append", help="default: all")
    parser.add_argument(
        "--validate", action="store_true", help="hold out a part of the training split; no files"
    )
    parser.add_argument(
        "--package-data", action="store_true", help="also copy what the demo ships into snnquant/"
    )
    args = parser.parse_args()
    console = Console(file=sys.stderr)
    torch.set_num_threads(1)  # the same bytes on every number of cores
    x_train, y_train, x_test, y_test = load_data()
    if args.validate:
        x_train, x_test, y_train, y_test = train_test_split(
            x_train, y_train, test_size=0.25, stratify=y_train, random_state=SEED
        )
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.net or NETS:
        torch.manual_seed(SEED)
        net = NETS[name]()
        fit(
            net,
            torch.from_numpy(x_train),
            torch.from_numpy(y_train),
            epochs=args.epochs,
            learning_rate=1e-2,
            weight_decay=1e-3,
            augment=shifted,
            console=console,
            title=name,
        )
        in_torch = accuracy(run_torch(net, x_test), y_test)
        if args.validate:
            print(f"{name}: validation accuracy {in_torch:.4f}")
            continue
        path = args.out / f"{name}.onnx"
        snn.export_onnx(net, path, torch.from_numpy(x_test[:1]))
        in_onnx = accuracy(run_onnx(path, x_test), y_test)
        print(f"{name}: test accuracy {in_torch:.4f} in torch, {in_onnx:.4f} in ONNX Runtime")
    if args.validate:
        return
    first = slice(CALIBRATION_SAMPLES)
    np.savez_compressed(args.out / "digits_calibration.npz", x=x_train[first], y=y_train[first])
    np.savez_compressed(args.out / "digits_test.npz", x=x_test, y=y_test)
    if args.package_data:
        PACKAGE_DATA.mkdir(exist_ok=True)
        for name in PACKAGED:
            shutil.copyfile(args.out / name, PACKAGE_DATA / name)


if __name__ == "__main__":
    main()
