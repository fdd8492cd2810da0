"""The networks of the low-bit table: trained here, on scikit-learn's digits, with fixed seeds.

A seed decides the split (60/40, stratified), the initial weights and the order of the batches.
``train(kind, seed)`` keeps what it made in a folder, because two thirds of the time goes there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from snnquant import nn as snn

STEPS, EPOCHS, BATCH, RATE = 8, 45, 64, 2e-3
#: The first training samples, of which the quantizer sees no label.
CALIBRATION = 256


@dataclass(frozen=True)
class Trained:
    """A float model in a file, and its data: images ``[N, 1, 8, 8]`` in [0, 1]."""

    model: Path
    calibration: Path
    test: Path


class FastSigmoid(snn.Surrogate):
    """A step whose derivative is ``1 / (1 + 4 |distance|)**2``."""

    def smooth(self, distance: Tensor) -> Tensor:
        """Return the integral of the derivative."""
        return 0.5 + distance / (1 + 4 * distance.abs())

    def derivative(self, distance: Tensor) -> Tensor:
        """Return ``1 / (1 + 4 |distance|)**2``."""
        return (1 + 4 * distance.abs()).pow(-2)


def _lif() -> snn.LIF:
    return snn.LIF(alpha=0.9, surrogate=FastSigmoid())


class Dense(nn.Module):
    """64-64-64-10, whose input is a constant current."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 64))
        self.repeat = snn.Repeat(STEPS)
        self.lif1, self.lif2, self.lif3 = _lif(), _lif(), _lif()
        self.fc2 = snn.Folded(nn.Linear(64, 64))
        self.fc3 = snn.Folded(nn.Linear(64, 10))
        self.readout = snn.SumOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Map images to spike counts ``[B, 10]``."""
        spikes = self.lif1(self.repeat(self.encoder(x)))
        return self.readout(self.lif3(self.fc3(self.lif2(self.fc2(spikes)))))


class Convolutional(nn.Module):
    """12C3-P-24C3-P-10 with maximum pooling of spikes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(1, 12, 3, padding=1)
        self.repeat = snn.Repeat(STEPS)
        self.lif1, self.lif2, self.lif3 = _lif(), _lif(), _lif()
        self.conv2 = snn.Folded(nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1))
        self.fc = snn.Folded(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10))
        self.readout = snn.SumOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Map images to spike counts ``[B, 10]``."""
        spikes = self.lif1(self.repeat(self.encoder(x)))
        return self.readout(self.lif3(self.fc(self.lif2(self.conv2(spikes)))))


NETS = {"MLP": Dense, "CNN": Convolutional}


def train(kind: str, seed: int, folder: Path) -> Trained:
    """Return a trained network with its data, made where the folder does not hold it yet."""
    stem = folder / f"{kind.lower()}-{seed}"
    made = Trained(
        stem.with_suffix(".onnx"),
        folder / f"{stem.name}.calibration.npz",
        folder / f"{stem.name}.test.npz",
    )
    if all(path.is_file() for path in (made.model, made.calibration, made.test)):
        return made
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    x = (digits.images / 16).astype(np.float32)[:, None]
    x_train, x_test, y_train, y_test = train_test_split(
        x, digits.target, test_size=0.4, random_state=seed, stratify=digits.target
    )
    torch.set_num_threads(1)  # the same weights on every number of cores
    torch.manual_seed(seed)
    net = NETS[kind]()
    inputs, labels = torch.from_numpy(x_train), torch.from_numpy(y_train)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            loss = functional.cross_entropy(net(inputs[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.eval()
    snn.export_onnx(net, made.model, inputs[:1])
    np.savez_compressed(made.calibration, x=x_train[:CALIBRATION], y=y_train[:CALIBRATION])
    np.savez_compressed(made.test, x=x_test, y=y_test)
    return made
