"""From SpikingJelly to an evaluated integer network, on scikit-learn's digits.

python samples/from_spikingjelly.py      # needs: pip install '.[torch]' scikit-learn spikingjelly

The network is plain SpikingJelly in multi-step mode: the first convolution encodes the image, its
current is repeated over time, and every further layer sees `[T, B, ...]`.
"""

from __future__ import annotations

import to_integers
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

TIMESTEPS = 6


def lif() -> neuron.LIFNode:
    """Return the neuron of every layer: threshold 1, hard reset to 0, `tau` 2."""
    return neuron.LIFNode(tau=2.0, decay_input=False, surrogate_function=surrogate.ATan())


class Net(nn.Module):
    """conv-BN-LIF-pool, conv-BN-LIF-pool, fc-LIF; scores: the firing rate."""

    #: Tells snnquant the shape of an input; `--input-shape` would do as well.
    example_input = torch.zeros(1, 1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12))
        self.layers = nn.Sequential(
            lif(),
            layer.MaxPool2d(2),
            layer.Conv2d(12, 24, 3, padding=1, bias=False),
            layer.BatchNorm2d(24),
            lif(),
            layer.AvgPool2d(2),
            layer.Flatten(),
            layer.Linear(96, 10),
            lif(),
        )
        functional.set_step_mode(self.layers, "m")

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to firing rates ``[B, 10]``."""
        functional.reset_net(self)
        current = self.encoder(x).unsqueeze(0).repeat(TIMESTEPS, 1, 1, 1, 1)
        return self.layers(current).mean(0)


if __name__ == "__main__":
    torch.manual_seed(0)
    to_integers.run("from_spikingjelly:Net", Net(), __doc__, epochs=8, rate=1e-2)
