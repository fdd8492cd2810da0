"""sinabs: adaptive thresholds, recurrence, read-outs, squeezed convolutional nets."""

from __future__ import annotations

from typing import Any

import sinabs
import torch
from sinabs import activation as act
from sinabs import layers as sl
from torch import nn

from zoo.base import ZooNet, integrator, neuron, settle
from zoo.sinabs_parts import NETS, RESET, add, keeps, mlp

# -- adaptive thresholds ---------------------------------------------------------------------------

for reset in ("subtract", "reset"):
    for floor in (None, -0.3):
        mlp(
            f"alif_{reset}{'_floor' if floor else ''}",
            lambda n, r=reset, f=floor: sl.ALIF(
                tau_mem=4.0,
                tau_adapt=3.0,
                adapt_scale=1.8,
                spike_threshold=torch.tensor(0.7),
                spike_fn=act.SingleSpike,
                reset_fn=RESET[r][0],
                min_v_mem=f,
                norm_input=False,
            ),
            lambda n, r=reset, f=floor: neuron(
                keeps(4.0),
                0.7,
                equal=True,
                v_min=f and f * keeps(4.0),
                adaptation=(keeps(3.0), 0.0, 1.8 * (1 - keeps(3.0))),
                **RESET[r][1](keeps(4.0)),
            ),
            gain=1.3,
            kind="BT" if floor else "static",
            steps=4,
        )
mlp(
    "alif_norm",
    lambda n: sl.ALIF(
        tau_mem=3.0, tau_adapt=4.0, spike_threshold=torch.tensor(0.3), spike_fn=act.SingleSpike
    ),
    lambda n: neuron(
        keeps(3.0), 0.3, "soft", equal=True, adaptation=(keeps(4.0), 0.0, 1.8 * (1 - keeps(4.0)))
    ),
    gain=2.5,
    steps=8,
)
mlp(
    "alif_synapse",
    lambda n: sl.ALIF(
        tau_mem=4.0,
        tau_adapt=3.0,
        tau_syn=2.0,
        spike_threshold=torch.tensor(0.6),
        spike_fn=act.SingleSpike,
        norm_input=False,
    ),
    None,
    refused="adaptive threshold with a synaptic current",
)

# -- recurrence ------------------------------------------------------------------------------------

for label, synapse in (("", None), ("_synapse", 2.0)):
    add(
        f"lif_recurrent{label}",
        lambda s=synapse: [
            nn.Linear(12, 8),
            sl.LIFRecurrent(
                tau_mem=4.0,
                tau_syn=s,
                rec_connect=nn.Linear(8, 8, bias=False),
                spike_fn=act.SingleSpike,
                norm_input=False,
            ),
            nn.Linear(8, 5),
            sl.LIF(tau_mem=4.0, spike_fn=act.SingleSpike, norm_input=False),
        ],
        (
            neuron(
                keeps(4.0),
                1.0,
                "soft",
                equal=True,
                recurrent=True,
                alpha_syn=synapse and keeps(synapse),
            ),
            neuron(keeps(4.0), 1.0, "soft", equal=True),
        ),
        gain=0.9,
    )
add(
    "iaf_recurrent_bias",
    lambda: [
        nn.Linear(12, 8),
        sl.IAFRecurrent(rec_connect=nn.Linear(8, 8), spike_fn=act.SingleSpike),
    ],
    ({**neuron(1.0, 1.0, "soft", equal=True, recurrent=True), "v_init": None},),
    gain=0.7,
    optional=True,  # its bias is missing in the first step: an initial membrane of -bias
)
add(
    "alif_recurrent",
    lambda: [
        nn.Linear(12, 8),
        sl.ALIFRecurrent(
            tau_mem=4.0,
            tau_adapt=3.0,
            rec_connect=nn.Linear(8, 8, bias=False),
            spike_threshold=torch.tensor(0.8),
            spike_fn=act.SingleSpike,
            norm_input=False,
        ),
    ],
    (
        neuron(
            keeps(4.0),
            0.8,
            "soft",
            equal=True,
            recurrent=True,
            adaptation=(keeps(3.0), 0.0, 1.8 * (1 - keeps(3.0))),
        ),
    ),
    gain=0.9,
)

# -- read-outs -------------------------------------------------------------------------------------

IAF1 = neuron(1.0, 1.0, "soft", equal=True)
for read_out in ("last", "mean", "max", "stack", "sum"):
    add(
        f"expleak_{read_out}",
        lambda: [
            nn.Linear(12, 10),
            sl.IAF(spike_fn=act.SingleSpike),
            nn.Linear(10, 5),
            sl.ExpLeak(tau_mem=5.0, norm_input=False),
        ],
        (IAF1, integrator(keeps(5.0))),
        read_out=read_out,
        gain=0.8,
    )
add(
    "expleak_norm",
    lambda: [
        nn.Linear(12, 10),
        sl.IAF(spike_fn=act.SingleSpike),
        nn.Linear(10, 5),
        sl.ExpLeak(tau_mem=5.0),
    ],
    (IAF1, integrator(keeps(5.0))),
    read_out="max",
    kind="static",
)
add(
    "expleak_floor",
    lambda: [
        nn.Linear(12, 10),
        sl.IAF(spike_fn=act.SingleSpike),
        nn.Linear(10, 5),
        sl.ExpLeak(tau_mem=5.0, norm_input=False, min_v_mem=-0.2),
    ],
    None,
    optional=True,
    read_out="max",
    kind="static",
)

# -- squeezed layers in convolutional nets ---------------------------------------------------------


def squeezed(steps: int, **options: Any) -> nn.Module:
    return sl.IAFSqueeze(
        num_timesteps=steps, **{"spike_fn": act.SingleSpike, "min_v_mem": None, **options}
    )


add(
    "squeeze_conv",
    lambda: [
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        squeezed(4),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 2),
        squeezed(4),
        nn.Flatten(),
        nn.Linear(24, 5),
        squeezed(4),
    ],
    (IAF1,) * 3,
    features=(1, 8, 8),
    squeezed=True,
    gain=0.8,
)
FLOORED = neuron(1.0, 1.0, "soft", v_min=-1.0, equal=True)
add(
    "squeeze_speck",  # what sinabs' converter makes: floors at -threshold, sum pooling, no biases
    lambda: [
        nn.Conv2d(2, 4, 3, bias=False),
        squeezed(3, min_v_mem=-1.0),
        sl.SumPool2d(2),
        nn.Conv2d(4, 6, 2, bias=False),
        squeezed(3, min_v_mem=-1.0),
        nn.Flatten(),
        nn.Linear(24, 5, bias=False),
        squeezed(3, min_v_mem=-1.0),
    ],
    (FLOORED,) * 3,
    features=(2, 8, 8),
    squeezed=True,
    steps=3,
    read_out="sum",
    gain=0.9,
)
add(
    "squeeze_lif",
    lambda: [
        nn.Conv2d(1, 4, 3),
        sl.LIFSqueeze(num_timesteps=4, tau_mem=4.0, spike_fn=act.MultiSpike, norm_input=False),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 5),
        sl.ExpLeakSqueeze(num_timesteps=4, tau_mem=5.0, norm_input=False),
    ],
    (neuron(keeps(4.0), 1.0, "soft", equal=True, max_spikes=255), integrator(keeps(5.0))),
    features=(1, 8, 8),
    squeezed=True,
    read_out="last",
    kind="static",
)
add(
    "repeat",
    lambda: [
        sl.Repeat(nn.Conv2d(1, 4, 3)),
        sl.IAF(spike_fn=act.SingleSpike),
        sl.Repeat(nn.AvgPool2d(2)),
        sl.FlattenTime(),
        nn.Flatten(),
        nn.Linear(36, 5),
        nn.Unflatten(0, (-1, 3)),
        sl.IAF(spike_fn=act.SingleSpike),
    ],
    (IAF1, IAF1),
    features=(1, 8, 8),
    steps=3,
)


class Converted(nn.Module):
    """An ordinary net through ``sinabs.from_model``."""

    def __init__(self) -> None:
        super().__init__()
        from sinabs.from_torch import from_model

        plain = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 8),
            nn.ReLU(),
            nn.Linear(8, 5),
        )
        settle(plain, 0.9)
        self.net = from_model(
            plain, input_shape=(1, 8, 8), num_timesteps=4, add_spiking_output=True
        ).spiking_model

    def forward(self, x: Any) -> Any:
        sinabs.zero_grad(self)
        for part in self.modules():
            if isinstance(part, sl.StatefulLayer):
                for name, _ in list(part.named_buffers(recurse=False)):
                    part.register_buffer(name, torch.zeros(0))
        return self.net(x.flatten(0, 1)).unflatten(0, (-1, 4))


NETS.append(
    ZooNet(
        "sinabs/from_model",
        lambda: Converted().eval().requires_grad_(False),
        ((1, 8, 8),),
        "BT",
        4,
        (neuron(1.0, 1.0, "soft", v_min=-1.0, equal=True, max_spikes=255),) * 3,
    )
)
