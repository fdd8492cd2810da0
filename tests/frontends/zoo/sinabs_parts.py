"""sinabs: every activation, reset and lower bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from sinabs import activation as act
from sinabs import layers as sl
from torch import nn

from zoo.base import ZooNet, neuron, settle, spread

NETS: list[ZooNet] = []


class Net(nn.Module):
    """A row of layers over ``[B, T, ...]``; squeezed layers see ``[B * T, ...]``."""

    def __init__(
        self, layers: Sequence[nn.Module], steps: int, kind: str, read_out: str, squeezed: bool
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)
        self.steps, self.kind, self.read_out, self.squeezed = steps, kind, read_out, squeezed

    def forward(self, x: Any) -> Any:
        for part in self.net.modules():
            if isinstance(part, sl.StatefulLayer):
                for name, _ in list(part.named_buffers(recurse=False)):
                    part.register_buffer(name, torch.zeros(0))
        if self.kind == "static":
            x = x.unsqueeze(1).repeat(1, self.steps, *[1] * (x.dim() - 1))
        if self.kind == "TB":
            x = x.transpose(0, 1)
        y = (
            self.net(x.flatten(0, 1)).unflatten(0, (-1, self.steps))
            if self.squeezed
            else self.net(x)
        )
        return {
            "stack": lambda: y,
            "sum": lambda: y.sum(1),
            "mean": lambda: y.mean(1),
            "last": lambda: y[:, -1],
            "max": lambda: y.max(1).values,
        }[self.read_out]()


def add(
    name: str,
    layers: Callable[[], list[nn.Module]],
    expected: Sequence[Any] | None,
    *,
    features: tuple[int, ...] = (12,),
    steps: int = 4,
    kind: str = "BT",
    read_out: str = "stack",
    gain: float = 1.0,
    squeezed: bool = False,
    **more: Any,
) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return settle(Net(layers(), steps, kind, read_out, squeezed), gain)

    known = None if expected is None or "refused" in more else tuple(expected)
    NETS.append(ZooNet(f"sinabs/{name}", build, (features,), kind, steps, known, **more))


def mlp(
    name: str, make: Callable[[int], nn.Module], found: Callable[[int], Any] | None, **more: Any
) -> None:
    def layers() -> list[nn.Module]:
        linear = [nn.Linear(12, 10), nn.Linear(10, 6)]
        return [linear[0], make(10), linear[1], make(6)]

    add(name, layers, None if found is None else (found(10), found(6)), **more)


def keeps(tau: float) -> float:
    return math.exp(-1 / tau)


#: spikes: (class, most in one step)
FIRE: dict[str, tuple[Any, int]] = {
    "single": (act.SingleSpike, 1),
    "multi": (act.MultiSpike, 255),
    "max": (act.MaxSpike(3), 3),
}
#: resets: (module, what the neuron becomes for a given alpha)
RESET: dict[str, tuple[Any, Callable[[float], dict[str, Any]]]] = {
    "subtract": (act.MembraneSubtract(), lambda a: {"reset": "soft"}),
    "subtract_0.6": (act.MembraneSubtract(0.6), lambda a: {"reset": "soft", "dv": 0.6}),
    "reset": (act.MembraneReset(), lambda a: {"reset": "hard"}),
    # the value is added in every step, fired or not
    "reset_0.2": (act.MembraneReset(0.2), lambda a: {"reset": "hard", "leak_bias": a * 0.2}),
}

count = 0
for fire, (spikes, most) in FIRE.items():
    for reset, (module, structure) in RESET.items():
        count += 1
        options = {
            "gain": 1.4 if fire == "single" else 2.4,
            "kind": ("BT", "static", "TB")[count % 3],
            "steps": (3, 4, 2, 8)[count % 4],
            "read_out": ("stack", "sum", "mean")[count % 3],
        }
        # `dv` divides the membrane into counts of our own neuron, sinabs divides by the threshold
        apart = most > 1 and reset == "subtract_0.6"
        mlp(
            f"lif_{fire}_{reset}",
            lambda n, s=spikes, r=module: sl.LIF(
                tau_mem=4.0, spike_fn=s, reset_fn=r, norm_input=False
            ),
            lambda n, m=most, s=structure: neuron(
                keeps(4.0), 1.0, equal=True, max_spikes=m, **s(keeps(4.0))
            ),
            optional=apart,
            **options,
        )
        if reset in ("subtract", "reset"):
            mlp(
                f"iaf_{fire}_{reset}",
                lambda n, s=spikes, r=module: sl.IAF(spike_fn=s, reset_fn=r, spike_threshold=0.9),
                lambda n, m=most, s=structure: neuron(1.0, 0.9, equal=True, max_spikes=m, **s(1.0)),
                **options,
            )
            mlp(
                f"lif_norm_{fire}_{reset}",
                lambda n, s=spikes, r=module: sl.LIF(
                    tau_mem=3.0, spike_fn=s, reset_fn=r, spike_threshold=torch.tensor(0.6)
                ),
                lambda n, m=most, s=structure: neuron(
                    keeps(3.0), 0.6, equal=True, max_spikes=m, **s(keeps(3.0))
                ),
                **{**options, "gain": 2.5 if fire == "single" else 4.0},
            )

for fire in ("single", "multi"):
    for reset in ("subtract", "reset"):
        mlp(
            f"lif_synapse_{fire}_{reset}",
            lambda n, f=fire, r=reset: sl.LIF(
                tau_mem=4.0,
                tau_syn=2.0,
                spike_fn=FIRE[f][0],
                reset_fn=RESET[r][0],
                norm_input=False,
            ),
            lambda n, f=fire, r=reset: neuron(
                keeps(4.0),
                1.0,
                alpha_syn=keeps(2.0),
                equal=True,
                max_spikes=FIRE[f][1],
                **RESET[r][1](keeps(4.0)),
            ),
            gain=1.2,
            kind="BT" if fire == "single" else "static",
        )
        mlp(
            f"lif_floor_{fire}_{reset}",
            lambda n, f=fire, r=reset: sl.LIF(
                tau_mem=4.0,
                spike_fn=FIRE[f][0],
                reset_fn=RESET[r][0],
                norm_input=False,
                min_v_mem=-0.25,
            ),
            lambda n, f=fire, r=reset: neuron(
                keeps(4.0),
                1.0,
                v_min=-0.25 * keeps(4.0),
                equal=True,
                max_spikes=FIRE[f][1],
                **RESET[r][1](keeps(4.0)),
            ),
            gain=1.8,
            steps=4,
            kind="static" if fire == "single" else "BT",
        )
mlp(
    "iaf_floor",
    lambda n: sl.IAF(min_v_mem=-1.0, spike_fn=act.SingleSpike),
    lambda n: neuron(1.0, 1.0, "soft", v_min=-1.0, equal=True),
    gain=1.6,
    steps=8,
)
mlp(
    "lif_norm_synapse",
    lambda n: sl.LIF(tau_mem=4.0, tau_syn=2.0, spike_fn=act.SingleSpike, spike_threshold=0.5),
    lambda n: neuron(keeps(4.0), 0.5, "soft", alpha_syn=keeps(2.0), equal=True),
    gain=3.0,
)
mlp(
    "iaf_synapse",
    lambda n: sl.IAF(tau_syn=2.0, spike_fn=act.SingleSpike),
    lambda n: neuron(1.0, 1.0, "soft", alpha_syn=keeps(2.0), equal=True),
    steps=3,
)
mlp(
    "lif_per_neuron",
    lambda n: sl.LIF(
        tau_mem=spread(n, 2.0, 8.0),
        spike_fn=act.SingleSpike,
        norm_input=False,
        spike_threshold=spread(n, 0.6, 1.2),
    ),
    lambda n: neuron(
        torch.exp(-1 / spread(n, 2.0, 8.0)).tolist(),
        spread(n, 0.6, 1.2).tolist(),
        "soft",
        equal=True,
    ),
)
mlp(
    "lif_train_alphas",
    lambda n: sl.LIF(
        tau_mem=5.0,
        spike_fn=act.SingleSpike,
        train_alphas=True,
        norm_input=True,
        spike_threshold=0.4,
    ),
    lambda n: neuron(keeps(5.0), 0.4, "soft", equal=True),
    gain=3.0,
)
mlp(
    "lif_recorded",
    lambda n: sl.LIF(tau_mem=5.0, spike_fn=act.SingleSpike, record_states=True, norm_input=False),
    lambda n: neuron(keeps(5.0), 1.0, "soft", equal=True),
    kind="static",
)
