"""From sinabs to an evaluated integer network, on scikit-learn's digits.

python samples/from_sinabs.py      # needs: pip install '.[torch]' scikit-learn sinabs

The network is plain sinabs: squeezing layers, which take batch and time as one axis, of neurons
that may fire several times per step and have a lower bound, as on Speck and DynapCNN.
"""

from __future__ import annotations

import sinabs.layers as sl
import to_integers
import torch
from torch import Tensor, nn

TIMESTEPS = 8


def iaf() -> sl.IAFSqueeze:
    """Return the neuron of every layer: integrate and fire, no leak, membrane >= -1."""
    return sl.IAFSqueeze(num_timesteps=TIMESTEPS, min_v_mem=-1.0)


class Net(nn.Module):
    """conv-IAF-pool, conv-IAF-pool, fc-IAF; scores: the mean number of spikes per step."""

    #: Tells snnquant the shape of an input; `--input-shape` would do as well.
    example_input = torch.zeros(1, 1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            iaf(),
            sl.SumPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            iaf(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 10, bias=False),
            iaf(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to mean counts ``[B, 10]``."""
        for module in self.layers.modules():
            if isinstance(module, sl.StatefulLayer):
                module.reset_states()
        steps = x.unsqueeze(1).repeat(1, TIMESTEPS, 1, 1, 1).flatten(0, 1)
        return self.layers(steps).unflatten(0, (-1, TIMESTEPS)).mean(1)


if __name__ == "__main__":
    torch.manual_seed(0)
    to_integers.run("from_sinabs:Net", Net(), __doc__, epochs=12, rate=1e-2)
