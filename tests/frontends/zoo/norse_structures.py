"""Norse recurrence, read-outs, convolutions, and what no neuron expresses."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from torch import nn

from zoo.base import Rolled, ZooNet, integrator, neuron, settle
from zoo.norse_parts import DT, NETS, Lifted, add, box_parameters, constant, lif_parameters, mlp

# -- recurrence ------------------------------------------------------------------------------------

CUBA = neuron(0.7, 1.0, "hard", alpha_syn=0.6, recurrent=True)
for autapses in (False, True):
    add(
        f"lif_recurrent_{'autapses' if autapses else 'plain'}",
        lambda a=autapses: [
            norse.LIFRecurrent(12, 9, lif_parameters(), autapses=a),
            nn.Linear(9, 5),
            norse.LIF(lif_parameters(0.3, 0.4)),
        ],
        (CUBA, {**CUBA, "recurrent": False}),
        over_time=True,
        kind="TB",
        read_out="stack",
        gain=2.5,
    )
add(
    "lif_recurrent_cell",
    lambda: [
        norse.LIFRecurrentCell(12, 9, lif_parameters()),
        nn.Linear(9, 5),
        norse.LIFBoxCell(box_parameters(0.4)),
    ],
    (CUBA, neuron(0.6, 1.0, "hard")),
    kind="static",
    steps=3,
    gain=3.0,
)
add(
    "sequential_recurrent",
    lambda: [
        nn.Linear(12, 8),
        norse.LIFRecurrentCell(8, 8, lif_parameters()),
        nn.Linear(8, 5),
        norse.LICell(),
    ],
    (CUBA, integrator(0.9, alpha_syn=0.8)),
    kind="TB",
    steps=3,
    read_out="last",
    gain=1.5,
)

# -- read-outs and convolutions --------------------------------------------------------------------

BOX = neuron(0.6, 1.0, "hard")


def box() -> nn.Module:
    return norse.LIFBoxCell(box_parameters(0.4))


LI = norse.LIParameters(
    tau_syn_inv=constant(0.3 / DT), tau_mem_inv=constant(0.2 / DT), v_leak=constant(0.1)
)
LI_FOUND = integrator(0.8, alpha_syn=0.7, leak_bias=0.02, v_init=0.1)
for read_out in ("last", "stack", "mean", "max", "log_softmax", "softmax"):
    add(
        f"li_cell_{read_out}",
        lambda: [nn.Linear(12, 10), box(), nn.Linear(10, 6), norse.LICell(LI)],
        (BOX, LI_FOUND),
        read_out=read_out,
        gain=2.0,
    )
add(
    "li_linear",
    lambda: [nn.Linear(12, 10), box(), norse.LILinearCell(10, 6, LI)],
    (BOX, LI_FOUND),
    read_out="last",
    gain=2.0,
    kind="TB",
)
add(
    "li_time",
    lambda: [
        nn.Linear(12, 10),
        norse.LIF(lif_parameters(0.3, 0.4)),
        nn.Linear(10, 6),
        norse.LI(LI),
    ],
    ({**CUBA, "recurrent": False}, LI_FOUND),
    over_time=True,
    read_out="max",
    gain=2.0,
)
add(
    "li_box",
    lambda: [
        nn.Linear(12, 10),
        box(),
        nn.Linear(10, 6),
        norse.LIBoxCell(LIBoxParameters(tau_mem_inv=constant(250.0))),
    ],
    (BOX, integrator(0.75)),
    read_out="max",
    gain=2.0,
)
add(
    "conv_cells",
    lambda: [
        nn.Conv2d(1, 4, 3),
        box(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 2, bias=False),
        box(),
        nn.Flatten(),
        nn.Linear(24, 7),
        box(),
        norse.LILinearCell(7, 5, LI),
    ],
    (BOX, BOX, BOX, LI_FOUND),
    features=(1, 8, 8),
    read_out="max",
    gain=2.0,
)
add(
    "lift",
    lambda: [
        norse.Lift(nn.Conv2d(1, 4, 3)),
        norse.LIF(lif_parameters(0.3, 0.4)),
        norse.Lift(nn.AvgPool2d(2)),
        norse.Lift(nn.Conv2d(4, 5, 3)),
        norse.Lift(nn.BatchNorm2d(5)),
        norse.LIF(lif_parameters(0.3, 0.4)),
        nn.Flatten(2),
        nn.Linear(5, 4),
        norse.LI(LI),
    ],
    ({**CUBA, "recurrent": False}, {**CUBA, "recurrent": False}, LI_FOUND),
    features=(1, 8, 8),
    over_time=True,
    kind="TB",
    read_out="stack",
    gain=2.0,
    steps=3,
)
add(
    "lift_cell",
    lambda: [norse.Lift(nn.Linear(12, 10)), Lifted(box()), nn.Linear(10, 6), Lifted(box())],
    (BOX, BOX),
    over_time=True,
    kind="BT",
    read_out="mean",
    gain=2.0,
)
add(
    "conv_of_time",
    lambda: [norse.LConv2d(2, 4, 3), Lifted(box()), nn.Flatten(2), nn.Linear(64, 6), Lifted(box())],
    (BOX, BOX),
    features=(2, 6, 6),
    over_time=True,
    kind="TB",
    read_out="stack",
    gain=2.0,
    steps=3,
)


class Encoded(Rolled):
    """``ConstantCurrentLIFEncoder``'s equations, then cells."""

    def __init__(self) -> None:
        super().__init__(4, "static", "sum")
        self.net = norse.SequentialState(nn.Linear(12, 8), box())

    def start(self, x: Any) -> None:
        self.state: Any = None
        self.v = torch.zeros_like(x)

    def step(self, x: Any) -> Any:
        spikes, self.v = norse.lif_current_encoder(4 * x, self.v, lif_parameters(0.3))
        y, self.state = self.net(spikes, self.state)
        return y


NETS.append(
    ZooNet(
        "norse/current_encoder",
        lambda: settle(Encoded(), 2.0),
        ((12,),),
        "static",
        4,
        (neuron(0.7, 1.0, "hard"), BOX),
    )
)

# -- what no neuron expresses ----------------------------------------------------------------------

mlp("lif_adex", lambda n: norse.LIFAdExCell(), None, refused="exponential", gain=4.0)
mlp("lif_ex", lambda n: norse.LIFExCell(), None, refused="exponential", gain=3.0)
mlp("lsnn", lambda n: norse.LSNNCell(), None, refused="the input comes one step late", gain=6.0)
mlp(
    "lif_refrac",
    lambda n: norse.LIFRefracCell(
        norse.LIFRefracParameters(lif=lif_parameters(), rho_reset=constant(2.0))
    ),
    None,
    refused="spikes are suppressed in the refractory time",
    gain=2.0,
)
mlp(
    "izhikevich",
    lambda n: norse.IzhikevichCell(norse.tonic_spiking),
    None,
    refused="Izhikevich",
    gain=30.0,
    steps=8,
)
add(
    "lsnn_recurrent",
    lambda: [
        norse.LSNNRecurrentCell(
            12,
            9,
            norse.LSNNParameters(
                tau_syn_inv=constant(400.0),
                tau_mem_inv=constant(300.0),
                tau_adapt_inv=constant(100.0),
            ),
        )
    ],
    None,
    refused="the input comes one step late",
    gain=1.5,
    kind="TB",
    steps=4,
)
