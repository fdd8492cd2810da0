"""One place for the neurons that the tests of this folder run: every model, every structure."""

import numpy as np
import torch

from snnquant.nn import IF, LI, LIF, CubaLIF, ExtendedLIF, Reset

CHANNELS = 3
ALPHAS = torch.tensor([0.5, 0.75, 1.0])
THRESHOLDS = torch.tensor([1.0, 0.5, 2.0])
ADAPTIVE = {"threshold_decay": 0.5, "threshold_increment": 0.25, "threshold_bias": 0.125}

#: All constants are sums of powers of two, so that short runs are exact in float32.
CASES = {
    "if_hard": lambda: IF(),
    "if_soft": lambda: IF(reset=Reset.SOFT, v_threshold=0.75),
    "lif": lambda: LIF(alpha=0.5),
    "lif_channels": lambda: LIF(alpha=ALPHAS, v_threshold=THRESHOLDS, leak_bias=ALPHAS / 8),
    "lif_neurons": lambda: LIF(alpha=0.5, v_threshold=torch.arange(1, 13).view(3, 2, 2) / 8),
    "lif_reset_value": lambda: LIF(alpha=0.5, v_reset=-0.25, leak_bias=0.125),
    "lif_initial": lambda: LIF(alpha=0.5, v_reset=-0.25, v_init=0.5),
    "lif_soft": lambda: LIF(alpha=0.5, reset=Reset.SOFT),
    "lif_soft_constant": lambda: LIF(alpha=0.5, reset=Reset.SOFT_CONSTANT, dv=0.5),
    "lif_no_reset": lambda: LIF(alpha=0.5, reset=Reset.NONE),
    "lif_equal": lambda: LIF(alpha=0.5, fire_on_equal=True),
    "lif_late_reset": lambda: LIF(alpha=0.5, reset=Reset.SOFT, reset_after_leak=True),
    "lif_refractory": lambda: LIF(alpha=0.5, refractory_steps=2),
    "lif_refractory_channels": lambda: LIF(refractory_steps=torch.tensor([0, 1, 3])),
    "lif_multi": lambda: LIF(alpha=0.5, reset=Reset.SOFT, v_threshold=0.5, max_spikes=3),
    "lif_multi_equal": lambda: LIF(
        reset=Reset.SOFT, v_threshold=0.5, max_spikes=255, fire_on_equal=True
    ),
    "lif_recurrent": lambda: recurrent(LIF(alpha=0.5, recurrent_size=12)),
    "cubalif": lambda: CubaLIF(alpha=0.5, alpha_syn=0.75),
    "cubalif_channels": lambda: CubaLIF(alpha=ALPHAS, alpha_syn=ALPHAS, refractory_steps=1),
    "cubalif_recurrent": lambda: recurrent(CubaLIF(alpha=0.5, alpha_syn=0.5, recurrent_size=12)),
    "extended": lambda: ExtendedLIF(alpha=0.5),
    "extended_floor": lambda: ExtendedLIF(alpha=0.5, v_min=-0.25, leak_bias=-0.125),
    "extended_adaptive": lambda: ExtendedLIF(alpha=0.5, **ADAPTIVE, refractory_steps=1),
    "extended_soft": lambda: ExtendedLIF(alpha=0.5, **ADAPTIVE, reset=Reset.SOFT, v_min=ALPHAS - 1),
    "extended_soft_constant": lambda: ExtendedLIF(
        **ADAPTIVE, reset=Reset.SOFT_CONSTANT, dv=0.5, max_spikes=2
    ),
    "li": lambda: LI(alpha=0.5),
    "li_channels": lambda: LI(alpha=ALPHAS, leak_bias=0.125, v_init=-0.5),
    "li_synaptic": lambda: LI(alpha=0.5, alpha_syn=0.75),
}


def recurrent(layer):
    """Give a layer recurrent weights that are multiples of 1/4."""
    rng = np.random.default_rng(1)
    with torch.no_grad():
        layer.recurrent_weight.copy_(torch.from_numpy(rng.integers(-3, 4, (12, 12)) / 4))
    return layer


def currents(steps=8, batch=2, seed=0, dtype=np.float32):
    """Return currents ``[T, B, 3, 2, 2]`` in steps of 1/4, so that some hit thresholds."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-4, 9, (steps, batch, CHANNELS, 2, 2)) / 4).astype(dtype)
