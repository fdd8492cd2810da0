"""From Norse to an evaluated integer network, on scikit-learn's digits.

python samples/from_norse.py      # needs: pip install '.[torch]' scikit-learn norse

The network is plain Norse: a `SequentialState` with current-based `LIFCell`s and a leaky
integrator, called once per time step; the largest membrane of the read-out is the score.
"""

from __future__ import annotations

import norse.torch as norse
import to_integers
import torch
from torch import Tensor, nn

TIMESTEPS = 12
#: The time constants in 1/s; Norse's step is 1 ms.
NEURON = norse.LIFParameters(
    tau_mem_inv=torch.tensor(200.0), tau_syn_inv=torch.tensor(400.0), v_th=torch.tensor(0.5)
)


class Net(nn.Module):
    """Two layers of LIF neurons with synaptic currents, and a leaky read-out."""

    #: Tells snnquant the shape of an input; `--input-shape` would do as well.
    example_input = torch.zeros(1, 1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.layers = norse.SequentialState(
            nn.Flatten(),
            nn.Linear(64, 64),
            norse.LIFCell(NEURON),
            nn.Linear(64, 32),
            norse.LIFCell(NEURON),
            nn.Linear(32, 10),
            norse.LICell(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images ``[B, 1, 8, 8]`` to the largest membranes ``[B, 10]``."""
        state, membranes = None, []
        for _ in range(TIMESTEPS):
            membrane, state = self.layers(x, state)
            membranes.append(membrane)
        return torch.stack(membranes).amax(0)


if __name__ == "__main__":
    torch.manual_seed(0)
    to_integers.run("from_norse:Net", Net(), __doc__, epochs=12, rate=3e-2)
