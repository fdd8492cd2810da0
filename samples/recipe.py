"""What the training scripts of this folder share: one recipe, one way to measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

SEED = 0


def fit(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    console: Console,
    title: str,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    batch: int = 64,
    seed: int = SEED,
) -> None:
    """Train on samples ``x [N, ...]`` with Adam, a one-cycle schedule and cross entropy."""
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(x) // batch)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps
    )
    net.train()
    for _ in track(range(epochs), f"training {title}", console=console):
        for chosen in torch.randperm(len(x), generator=generator).split(batch):
            samples = x[chosen] if augment is None else augment(x[chosen], generator)
            loss = functional.cross_entropy(net(samples), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()


def accuracy(scores: np.ndarray, y: np.ndarray) -> float:
    """Return the share of samples whose highest score is right."""
    return float((scores.argmax(1) == y).mean())


def run_torch(net: nn.Module, x: np.ndarray) -> np.ndarray:
    """Return the model's output for a batch."""
    with torch.no_grad():
        return net(torch.from_numpy(x)).numpy()


def run_onnx(path: Path, x: np.ndarray) -> np.ndarray:
    """Return the exported model's output for a batch."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]
