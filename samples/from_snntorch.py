"""From snnTorch to an evaluated integer network, on scikit-learn's digits.

python samples/from_snntorch.py      # needs: pip install '.[torch]' scikit-learn snntorch

The network is plain snnTorch: `Leaky` neurons whose membranes a loop over time hands on. What
snnquant needs of it is the class (or a function that builds it) and the state dict.
"""

from __future__ import annotations

import snntorch as snn
import to_integers
import torch
from torch import Tensor, nn

TIMESTEPS = 8


class Net(nn.Module):
    """Two layers of leaky neurons; the image is a constant current for every step."""

    #: Tells snnquant the shape of an input; `--input-shape` would do as well.
    example_input = torch.zeros(1, 1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, 64)
        self.lif1 = snn.Leaky(beta=0.9, learn_threshold=True)
        self.fc2 = nn.Linear(64, 10)
        self.lif2 = snn.Leaky(beta=0.9, learn_threshold=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to spike counts ``[B, 10]``."""
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        counts = []
        for _ in range(TIMESTEPS):
            spikes, mem1 = self.lif1(self.fc1(x.flatten(1)), mem1)
            spikes, mem2 = self.lif2(self.fc2(spikes), mem2)
            counts.append(spikes)
        return torch.stack(counts).sum(0)


if __name__ == "__main__":
    torch.manual_seed(0)
    to_integers.run("from_snntorch:Net", Net(), __doc__, epochs=10, rate=1e-2)
