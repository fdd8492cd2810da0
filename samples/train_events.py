"""Train a network with a residual, a recurrent layer and a membrane read-out on event clips.

python samples/train_events.py            # about a minute on two cores

The clips are generated: a bar moves over a 12 x 12 sensor in one of four directions and leaves
events at its edges, in two polarities, with noise and dropped events.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from recipe import SEED, accuracy, fit, run_onnx, run_torch
from rich.console import Console
from torch import Tensor, nn

from snnquant import nn as snn

HERE = Path(__file__).resolve().parent
TIMESTEPS, SIZE = 10, 12
TRAIN_CLIPS, CALIBRATION_CLIPS, TEST_CLIPS = 1500, 128, 500


def moving_edges(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return clips ``[N, T, 2, 12, 12]`` of 0 and 1 and their directions ``[N]`` (0 to 3)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    x = np.zeros((count, TIMESTEPS, 2, SIZE, SIZE), np.float32)
    for clip, direction in zip(x, y, strict=True):
        width = rng.integers(2, 5)
        start = rng.uniform(-4, 3)
        speed = rng.uniform(0.6, 1.3)
        low = rng.integers(0, 5)
        high = low + rng.integers(5, 8)
        contrast = rng.integers(0, 2)
        for t in range(TIMESTEPS):
            front = int(np.floor(start + speed * t))
            for position, polarity in ((front, contrast), (front - width, 1 - contrast)):
                if 0 <= position < SIZE:
                    clip[t, polarity, low:high, position] = 1
        if direction % 2:
            clip[:] = clip[..., ::-1]
        if direction >= 2:
            clip[:] = clip.swapaxes(-1, -2)
    kept = rng.random(x.shape) > 0.3
    noise = rng.random(x.shape) < 0.03
    return np.maximum(x * kept, noise).astype(np.float32), y


class EventNet(nn.Module):
    """Convolutions with a sum of spikes (SEW), a recurrent layer, and the mean membrane."""

    def __init__(self) -> None:
        super().__init__()
        surrogate = snn.Arctan(width=2.0)
        self.conv1 = snn.Folded(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.lif1 = snn.LIF(alpha=0.8, surrogate=surrogate)
        self.conv2 = snn.Folded(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.lif2 = snn.LIF(alpha=0.8, surrogate=surrogate)
        self.fc1 = snn.Folded(nn.AvgPool2d(3), nn.Flatten(), nn.Linear(128, 32))
        self.lif3 = snn.LIF(alpha=0.8, reset=snn.Reset.SOFT, surrogate=surrogate, recurrent_size=32)
        self.fc2 = snn.Folded(nn.Linear(32, 4))
        self.li = snn.LI(alpha=0.9)
        self.readout = snn.MeanOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[T, B, 2, 12, 12]`` to mean membranes ``[B, 4]``."""
        z = self.lif1(self.conv1(x))
        z = z + self.lif2(self.conv2(z))
        z = self.lif3(self.fc1(z))
        return self.readout(self.li(self.fc2(z)))


class BatchFirst(nn.Module):
    """Give a time-major network batch-first clips, for training."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[B, T, ...]`` to the network's output."""
        return self.net(x.transpose(0, 1))


def main() -> None:
    """Train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=HERE, help="folder for model and data")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the same bytes on every number of cores
    torch.manual_seed(SEED)
    x_train, y_train = moving_edges(TRAIN_CLIPS, SEED + 1)
    x_test, y_test = moving_edges(TEST_CLIPS, SEED + 2)
    net = EventNet()
    fit(
        BatchFirst(net),
        torch.from_numpy(x_train),
        torch.from_numpy(y_train),
        epochs=args.epochs,
        learning_rate=5e-3,
        weight_decay=1e-5,
        console=Console(file=sys.stderr),
        title="events_edges",
    )
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "events_edges.onnx"
    time_major = np.ascontiguousarray(x_test.swapaxes(0, 1))
    example = torch.from_numpy(time_major[:, :1])
    snn.export_onnx(net, path, example, time_axis=0, fixed_timesteps=True)
    in_torch = accuracy(run_torch(net, time_major), y_test)
    in_onnx = accuracy(run_onnx(path, time_major), y_test)
    print(f"events_edges: test accuracy {in_torch:.4f} in torch, {in_onnx:.4f} in ONNX Runtime")
    first = slice(CALIBRATION_CLIPS)
    np.savez_compressed(args.out / "events_calibration.npz", x=x_train[first], y=y_train[first])
    np.savez_compressed(args.out / "events_test.npz", x=x_test, y=y_test)


if __name__ == "__main__":
    main()
