"""From training straight to integers: a recurrent network on generated event clips.

python samples/quantize_events.py            # needs: pip install '.[torch]'

Events are 0 or 1, so no input needs a scale: there is no encoder, and nothing is collected.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from recipe import SEED, fit, run_torch
from report import Row, judged, options_of, same, same_in_onnx, show
from rich.console import Console
from torch import Tensor, nn
from train_events import TEST_CLIPS, TRAIN_CLIPS, BatchFirst, moving_edges

from snnquant import nn as snn

VALIDATION_CLIPS = 300
#: What the table shows: target and width of the weights.
KINDS = (("generic", 8), ("tianjic", 8), ("generic", 3), ("generic", 2))


# 1. Write the model. Everything keeps its time axis: [T, B, ...].
class EventNet(snn.QModel):
    """conv-BN-CubaLIF, pool, fc with recurrent LIF, and the mean membrane of a leaky integrator."""

    def __init__(self) -> None:
        super().__init__()
        surrogate = snn.Arctan(width=2.0)
        self.conv = snn.QConv2d(2, 8, 3, padding=1, bias=False)
        self.norm = snn.Folded(nn.BatchNorm2d(8))
        self.cuba = snn.QCubaLIF(
            alpha_syn=0.5, alpha=0.8, v_threshold=1.0, surrogate=surrogate, multi_step=True
        )
        self.pool = snn.QAvgPool2d(3)
        self.fc1 = snn.QLinear(128, 32)
        self.lif = snn.QLIF(alpha=0.8, surrogate=surrogate, recurrent_size=32, multi_step=True)
        self.fc2 = snn.QLinear(32, 4)
        self.li = snn.QLI(alpha=0.9, multi_step=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips ``[T, B, 2, 12, 12]`` to mean membranes ``[B, 4]``."""
        current, q_param = self.conv(x)
        z, _ = self.cuba(self.norm(current), q_param)
        current, q_param = self.fc1(self.pool(z).flatten(2))
        z, _ = self.lif(current, q_param)
        current, q_param = self.fc2(z)
        membrane, _ = self.li(current, q_param)
        return membrane.mean(0)


def train(model: snn.QModel, x: Tensor, y: Tensor, epochs: int, seed: int, title: str) -> None:
    """Train with the recipe that all samples share; in aware mode, with the integers."""
    fit(
        BatchFirst(model),
        x,
        y,
        epochs=epochs,
        learning_rate=5e-3 if model.options is None else 2e-3,
        weight_decay=1e-5,
        console=Console(file=sys.stderr),
        title=title,
        seed=seed,
    )


def time_major(x: np.ndarray) -> np.ndarray:
    """Return clips ``[N, T, ...]`` as ``[T, N, ...]``."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def main() -> None:
    """Do the steps once per seed, and print the table."""
    args = options_of(__doc__.splitlines()[0], "snnquant-events", epochs=12, aware_epochs=5)
    clips, directions = moving_edges(TRAIN_CLIPS, SEED + 1)
    if args.validate:
        x_test, y_test = clips[-VALIDATION_CLIPS:], directions[-VALIDATION_CLIPS:]
        clips, directions = clips[:-VALIDATION_CLIPS], directions[:-VALIDATION_CLIPS]
    else:
        x_test, y_test = moving_edges(TEST_CLIPS, SEED + 2)
    if args.quick:
        clips, directions, x_test, y_test = clips[:256], directions[:256], x_test[:64], y_test[:64]
    x, y, x_test = torch.from_numpy(clips), torch.from_numpy(directions), time_major(x_test)
    runs = [
        steps(x, y, x_test, y_test, args.epochs, args.aware_epochs, seed, args.out)
        for seed in range(args.seed, args.seed + args.seeds)
    ]
    show(f"events: {len(y_test)} clips, {args.seeds} seed(s)", runs)


def steps(
    x: Tensor,
    y: Tensor,
    x_test: np.ndarray,
    y_test: np.ndarray,
    epochs: int,
    aware_epochs: int,
    seed: int,
    out: Path,
) -> list[Row]:
    """Do the steps in order and return what they reach."""
    torch.manual_seed(seed)
    model = EventNet()
    example = x[:1].swapaxes(0, 1)

    # 2. Train in float.
    train(model, x, y, epochs, seed, "in float")

    # 3. Fuse batch normalization. An example shows the functions that ask for shapes the way.
    model.eval()
    snn.fuse_conv_bn(model, example)
    rows = [judged("float", model, x_test, y_test)]

    # 4. - 6. collect the scales of encoders, and there is none.
    for target, bits in KINDS:
        # 7. Compute in integers.
        model.quantize(target=target, weight_bits=bits, example_input=example)

        # 8. Test with plain inference.
        kind = f"{target}, {bits} bit"
        rows.append(judged(kind, model, x_test, y_test))

        # 9. Save, and load into a model that was never trained (fused: the structure must match).
        stem = out / f"events_{target}_{bits}"
        model.save_quantized_model(stem.with_suffix(".snnq"))
        again = snn.fuse_conv_bn(EventNet().eval(), example)
        again.load_quantized_model(stem.with_suffix(".snnq"))
        scores = run_torch(model, x_test)
        same(f"{kind}, loaded", run_torch(again, x_test), scores)

        # Export the integers, and run them without torch.
        path = stem.with_suffix(".onnx")
        snn.export_onnx(model, path, example, time_axis=0, fixed_timesteps=True)
        same_in_onnx(f"{kind}, ONNX", model, path, x_test)
        model.dequantize()

    # Train on with the integers, from the same float model.
    model.aware(target="generic", weight_bits=2, example_input=example)
    train(model, x, y, aware_epochs, seed, "2 bit")
    model.quantize()
    rows.append(judged("generic, 2 bit, trained on", model, x_test, y_test))
    return rows


if __name__ == "__main__":
    main()
