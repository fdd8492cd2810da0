"""Draw what two neurons of the digits network do, in floating point and in integers.

python samples/quantize_digits.py            # writes snnquant-digits/digits.snnq
python samples/plot_neuron.py                # needs: pip install matplotlib

Each panel follows one neuron over time. The line rises from the membrane that the last step left to
the membrane that is compared with the threshold (marker), and falls with reset and leak. Integer
membranes are drawn at their real value; the axis on the right has the integers themselves.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # writes files; needs no display

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from quantize_digits import SpikingLeNet, load
from torch import Tensor

from snnquant import nn as snn

#: Blue and vermilion of Okabe and Ito: apart in every kind of colour vision, and in grey.
FLOAT, INTEGER = "#0072B2", "#D55E00"
LAYERS = {
    "lif1": "encoder neuron (lif1), constant current",
    "lif3": "hidden neuron (lif3), spikes as input",
}
BITS = (8, 3)


@dataclass(frozen=True)
class Trace:
    """What the neurons of a layer did on one image; all arrays ``[T, neurons]``, real values.

    Attributes:
        compared: membranes that are compared with the threshold.
        left: membranes that a step leaves, after reset and leak.
        spikes: 0 or 1.
        step: real value of one integer of the membrane, per neuron (None: floating point).
    """

    compared: np.ndarray
    left: np.ndarray
    spikes: np.ndarray
    step: np.ndarray | None


def trace(model: snn.QModel, layer: str, image: Tensor) -> Trace:
    """Run an image, then call one layer again step by step on the current that it got."""
    neuron = model.get_submodule(layer)
    given: list[tuple[Tensor, snn.QParam]] = []
    hook = neuron.register_forward_pre_hook(lambda _, arguments: given.append(arguments[:2]))
    with torch.no_grad():
        model(image)
    hook.remove()
    current, q_param = given[0]
    unit = torch.ones(1)  # real value of one step of the membrane
    if model.options is not None:
        unit = neuron.membrane_scale(q_param)
    before = torch.zeros(current.shape[1:], dtype=torch.float64)  # v_init is 0
    compared, left, spikes, v = [], [], [], None
    for u in current:
        fired, v = neuron(u.unsqueeze(0), q_param, v)  # a time axis of one step
        compared.append(before + q_param.dequantize(u))
        before = v * unit
        left.append(before)
        spikes.append(fired[0])
    step = None if model.options is None else unit.expand(current.shape[1:]).flatten().numpy()
    return Trace(
        *(torch.stack(a).flatten(1).double().numpy() for a in (compared, left, spikes)), step
    )


def typical(one: Trace) -> int:
    """Return the neuron whose firing rate is the closest to a third, so that there is a rhythm."""
    return int(np.abs(one.spikes.mean(0) - 1 / 3).argmin())


def draw(panel: Axes, raster: Axes, real: Trace, whole: Trace, bits: int, index: int) -> None:
    """Draw the membrane of one neuron, and under it its spikes."""
    steps = np.arange(1, len(real.spikes) + 1)
    for one, color, marker, style, label in (
        (real, FLOAT, "o", "-", "float"),
        (whole, INTEGER, "s", "--", "integer"),
    ):
        up, down = one.compared[:, index], one.left[:, index]
        x = np.concatenate([[0], np.repeat(steps, 2)])
        y = np.concatenate([[0], np.stack([up, down], 1).reshape(-1)])
        size = 6.5 if one is real else 3.5
        panel.plot(x, y, style, color=color, linewidth=1.2, alpha=0.85)
        panel.plot(steps, up, marker, color=color, markersize=size, linestyle="", label=label)
        row = 1 if one is real else 0
        fired = steps[one.spikes[:, index] > 0]
        raster.vlines(fired, row - 0.36, row + 0.36, color=color, linewidth=3)
    panel.axhline(1, color="0.35", linestyle=":", linewidth=1.5, label="threshold")
    panel.grid(axis="y", color="0.92")
    assert whole.step is not None
    unit = whole.step[index]
    right = panel.secondary_yaxis("right", functions=(lambda v: v / unit, lambda i: i * unit))
    right.set_ylabel(f"integer (1 = {unit:.2g})")
    panel.set_ylabel("membrane")
    raster.set_yticks([1, 0], ["float", "integer"])
    raster.set_ylim(-0.6, 1.6)
    raster.set_xlim(0, len(steps) + 0.5)
    raster.set_xlabel("time step")
    differ = int((real.spikes[:, index] != whole.spikes[:, index]).sum())
    raster.set_title(f"spikes: {differ} of {len(steps)} steps differ", fontsize=9, loc="left")


def main() -> None:
    """Load the model, follow two neurons, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("snnquant-digits/digits.snnq"))
    parser.add_argument("--image", type=int, default=0, help="number within the test part")
    parser.add_argument("--timesteps", type=int, default=16, help="more than the model trained on")
    parser.add_argument("--out", type=Path, default=Path("snnquant-digits/neuron.png"))
    args = parser.parse_args()
    data = load(validate=False)
    image = torch.from_numpy(data.x_test[args.image : args.image + 1])
    model = SpikingLeNet(timesteps=args.timesteps)
    snn.fuse_conv_bn(model.eval(), image)
    model.load_quantized_model(args.model)
    model.dequantize()  # the file holds the real weights, too
    real = {layer: trace(model, layer, image) for layer in LAYERS}
    figure, axes = plt.subplots(
        2 * len(LAYERS),
        len(BITS),
        figsize=(12, 9),
        sharex=True,
        sharey="row",
        height_ratios=[4, 1] * len(LAYERS),
        layout="constrained",
    )
    for column, bits in enumerate(BITS):
        model.quantize(weight_bits=bits, example_input=image)
        for row, (layer, what) in enumerate(LAYERS.items()):
            index = typical(real[layer])
            panel, raster = axes[2 * row, column], axes[2 * row + 1, column]
            whole = trace(model, layer, image)
            draw(panel, raster, real[layer], whole, bits, index)
            panel.set_title(f"{what}, {bits} bit weights")
            error = np.abs(whole.compared - real[layer].compared)[:, index].max()
            print(f"{layer}, neuron {index}, {bits} bit: membranes differ by {error:.4f} at most")
        model.dequantize()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(f"Two neurons on an image of the digit {data.y_test[args.image]}")
    figure.savefig(args.out, dpi=130)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
