"""Networks whose neurons remember for long, trained here on spikes of scikit-learn's digits.

The images are rate-coded: every pixel spikes with a probability of a fifth of its brightness at
each of 100 steps. A seed decides the split (60/40, stratified), the spikes, the initial weights and
the order of the batches. ``train(alpha, seed)`` keeps what it made in a folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from low_bit_nets import FastSigmoid, Trained
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from snnquant import nn as snn

STEPS, EPOCHS, BATCH, RATE, PEAK = 100, 15, 64, 2e-3, 0.2
#: The first training samples, of which the quantizer sees no label.
CALIBRATION = 128


class Remembering(nn.Module):
    """64-64-32-10 on spikes."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        pairs = ((64, 64), (64, 32), (32, 10))
        self.synapses = nn.ModuleList(snn.Folded(nn.Linear(*pair)) for pair in pairs)
        self.neurons = nn.ModuleList(snn.LIF(alpha=alpha, surrogate=FastSigmoid()) for _ in pairs)
        for synapse in self.synapses:
            # What a synapse gives adds up over 1 / (1 - alpha) steps.
            synapse[0].weight.data *= 3 * (1 - alpha) ** 0.5
            synapse[0].bias.data *= 1 - alpha
        self.readout = snn.SumOverTime()

    def forward(self, x: Tensor) -> Tensor:
        """Map spikes ``[T, B, 64]`` to spike counts ``[B, 10]``."""
        for synapse, neuron in zip(self.synapses, self.neurons, strict=True):
            x = neuron(synapse(x))
        return self.readout(x)


def _spikes(images: np.ndarray, seed: int) -> np.ndarray:
    """Return spikes ``[N, T, 64]``."""
    rng = np.random.default_rng(seed)
    chance = PEAK * images.reshape(len(images), 1, 64) / 16
    return (rng.random((len(images), STEPS, 64)) < chance).astype(np.float32)


def train(alpha: float, seed: int, folder: Path) -> Trained:
    """Return a trained network with its data, made where the folder does not hold it yet."""
    stem = f"leak-{alpha}-{seed}"
    model, calibration, test = (
        folder / f"{stem}{end}" for end in (".onnx", ".calibration.npz", ".test.npz")
    )
    made = Trained(model, calibration, test)
    if all(path.is_file() for path in (model, calibration, test)):
        return made
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        _spikes(digits.images, seed),
        digits.target,
        test_size=0.4,
        random_state=seed,
        stratify=digits.target,
    )
    torch.set_num_threads(1)  # the same weights on every number of cores
    torch.manual_seed(seed)
    net = Remembering(alpha)
    inputs, labels = torch.from_numpy(x_train.swapaxes(0, 1).copy()), torch.from_numpy(y_train)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels)).split(BATCH):
            loss = functional.cross_entropy(net(inputs[:, chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
    net.eval()
    snn.export_onnx(net, model, inputs[:, :1])
    np.savez_compressed(calibration, x=x_train[:CALIBRATION], y=y_train[:CALIBRATION])
    np.savez_compressed(test, x=x_test, y=y_test)
    return made
