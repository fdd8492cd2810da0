"""The nine steps from a spiking LeNet to integers, on scikit-learn's digits.

python samples/quantize_digits.py            # needs: pip install '.[torch]' scikit-learn

The image enters as it is (direct coding): the first convolution is a learnable encoder, whose
current is the same at every time step. After the nine steps: load, export, and train at few bits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from recipe import SEED, fit, run_torch
from report import Row, judged, options_of, same, same_in_onnx, show, trainable_copy
from rich.console import Console
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from train_digits import load_data, shifted

from snnquant import nn as snn

#: Widths of weights at which training on is shown.
FEW_BITS = (3, 2)


# 1. Write the model from quantizable layers. A synapse returns its current and, with it, the
#    `q_param` that says on which scale the current lies; the neuron takes both.
class SpikingLeNet(snn.QModel):
    """conv-BN-LIF-pool, conv-BN-LIF-pool, fc-LIF, fc; scores: the mean last current."""

    def __init__(self, timesteps: int = 6) -> None:
        super().__init__()
        self.timesteps = timesteps
        self.conv1 = snn.QConv2d(1, 12, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(12)
        self.lif1 = self.lif()
        self.pool1 = snn.QMaxPool2d(2)
        self.conv2 = snn.QConv2d(12, 24, 3, padding=1, bias=False)
        self.norm2 = snn.Folded(nn.BatchNorm2d(24))  # sees [T*B, C, H, W]
        self.lif2 = self.lif()
        self.pool2 = snn.QAvgPool2d(2)
        self.fc1 = snn.QLinear(96, 48)
        self.lif3 = self.lif()
        self.fc2 = snn.QLinear(48, 10)

    @staticmethod
    def lif() -> snn.QLIF:
        """Return the neuron of every layer: threshold 1, reset to 0, leak 0.9."""
        return snn.QLIF(
            v_th_0=1, v_leaky_alpha=0.9, surrogate=snn.Arctan(width=2.0), multi_step=True
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to scores ``[B, 10]``."""
        current, q_param = self.conv1(x)
        z, _ = self.lif1(snn.repeat(self.norm1(current), self.timesteps), q_param)
        current, q_param = self.conv2(self.pool1(z))
        z, _ = self.lif2(self.norm2(current), q_param)
        current, q_param = self.fc1(self.pool2(z).flatten(2))
        z, _ = self.lif3(current, q_param)
        scores, _ = self.fc2(z)  # no neuron behind it: real values, in every mode
        return scores.mean(0)


@dataclass(frozen=True)
class Data:
    """Images to train on, images to judge on, and their labels."""

    x: Tensor
    y: Tensor
    x_test: np.ndarray
    y_test: np.ndarray


def load(validate: bool, quick: bool = False) -> Data:
    """Return the digits, split 60/40; to validate, the training part is split once more, 75/25."""
    x, y, x_test, y_test = load_data()
    if validate:
        x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=SEED)
    few = slice(256 if quick else None)
    return Data(torch.from_numpy(x[few]), torch.from_numpy(y[few]), x_test[few], y_test[few])


def train(model: snn.QModel, data: Data, epochs: int, seed: int, title: str) -> None:
    """Train with the recipe of the other digits nets; in aware mode, with the integers."""
    fit(
        model,
        data.x,
        data.y,
        epochs=epochs,
        learning_rate=1e-2,
        weight_decay=1e-3,
        augment=shifted,
        console=Console(file=sys.stderr),
        title=title,
        seed=seed,
    )


def nine_steps(data: Data, epochs: int, seed: int, out: Path) -> tuple[snn.QModel, list[Row]]:
    """Do the steps in order; return the quantized model, and what it reaches."""
    torch.manual_seed(seed)
    model = SpikingLeNet()  # 1., see above

    # 2. Train in float: a QModel is an ordinary torch module until told otherwise.
    train(model, data, epochs, seed, "in float")

    # 3. Fuse each batch normalization into the convolution in front of it.
    model.eval()
    unfused = run_torch(model, data.x_test)
    snn.fuse_conv_bn(model)
    rows = [judged("float", model, data.x_test, data.y_test)]
    agree = (run_torch(model, data.x_test).argmax(1) == unfused.argmax(1)).sum()
    print(f"fused: {agree} of {len(unfused)} predictions as before")

    # 4. From here on, inference keeps statistics of the inputs ...
    model.collect_q_params()

    # 5. ... so run it on training data; no gradients are needed.
    run_torch(model, data.x.numpy())

    # 6. Work out the scale of the analog input, that of the encoder.
    scales = model.calculate_q_params(target="generic")
    print(f"encoder: one step of the integer input is {scales['conv1'].scale:.6f}")

    # 7. Compute in integers.
    model.quantize(target="generic", weight_bits=8)

    # 8. Test with plain inference: whoever calls the model quantizes nothing.
    rows.append(judged("8 bit", model, data.x_test, data.y_test))

    # 9. Save integers, scales and real weights in one file.
    model.save_quantized_model(out / "digits.snnq")
    return model, rows


def take_along(model: snn.QModel, data: Data, out: Path) -> None:
    """Load the file into a model that was never trained, and export the integers to ONNX."""
    # Fused, too: the structure must be that of the model that was saved.
    again = snn.fuse_conv_bn(SpikingLeNet().eval())
    again.load_quantized_model(out / "digits.snnq")
    same("loaded", run_torch(again, data.x_test), run_torch(model, data.x_test))
    snn.export_onnx(model, out / "digits.onnx", data.x[:1])
    same_in_onnx("ONNX", model, out / "digits.onnx", data.x_test)


def few_bits(model: snn.QModel, data: Data, epochs: int, seed: int) -> list[Row]:
    """Quantize to few bits after training (PTQ), and train on with the integers (QAT)."""
    model.dequantize()
    trained = trainable_copy(model)
    model.quantize(weight_bits=4)
    rows = [judged("4 bit", model, data.x_test, data.y_test)]
    for bits in FEW_BITS:
        name = f"{bits} bit, "
        model.dequantize()
        model.load_state_dict(trained)
        model.quantize(weight_bits=bits)
        rows.append(judged(name + "PTQ", model, data.x_test, data.y_test))

        # The scales stay those of PTQ; weights are rounded anew in every forward.
        model.dequantize()
        model.aware(weight_bits=bits)
        train(model, data, epochs, seed, name + "in integers")
        trained_on = run_torch(model, data.x_test)
        model.quantize()  # freezes what was trained
        same(name + "frozen", run_torch(model, data.x_test), trained_on)
        rows.append(judged(name + "QAT", model, data.x_test, data.y_test))
    return rows


def main() -> None:
    """Do the steps once per seed, and print the table."""
    args = options_of(__doc__.splitlines()[0], "snnquant-digits", epochs=100, aware_epochs=40)
    data = load(args.validate, args.quick)
    runs = []
    for seed in range(args.seed, args.seed + args.seeds):
        model, rows = nine_steps(data, args.epochs, seed, args.out)
        take_along(model, data, args.out)
        runs.append(rows + few_bits(model, data, args.aware_epochs, seed))
    show(f"digits: {len(data.y_test)} images, {args.seeds} seed(s)", runs)


if __name__ == "__main__":
    main()
