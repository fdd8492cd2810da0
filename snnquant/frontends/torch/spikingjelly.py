"""SpikingJelly: IFNode, LIFNode, ParametricLIFNode and their kin, single-step and multi-step.

``h = v + (x - (v - v_reset))/tau`` or ``v - (v - v_reset)/tau + x``; ``s = H(h >= thr)``; the reset
follows in the same step, ``h - s*thr`` or ``v_reset``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snnquant.errors import ModelError
from snnquant.frontends.reading import FRAMEWORK_NAMES
from snnquant.frontends.torch.translation import (
    Described,
    Signals,
    Translation,
    is_infinite,
    plain,
)
from snnquant.neurons import CUBALIF, LI, LIF, Reset

KINDS = (
    "IFNode",
    "LIFNode",
    "ParametricLIFNode",
    "CUBALIFNode",
    "HalfThresholdIFNode",
    "SimpleIFNode",
    "SimpleLIFNode",
)
READ_OUTS = ("NonSpikingIFNode", "NonSpikingLIFNode")


class SpikingJellyNeuron(Described):
    """One of :data:`KINDS`; the membrane is the memory ``v``."""

    def translate(self) -> Translation:
        """Return the module in our terms, or raise ModelError."""
        module: Any = self.module
        kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in KINDS)
        self.layout = 0 if module.step_mode == "m" else None
        self.last: Any = None
        if not getattr(module.surrogate_function, "spiking", True):
            raise ModelError(
                "its surrogate_function is not spiking; set surrogate_function.spiking = True"
            )
        reset = module.v_reset
        rest = 0.0 if reset is None else plain(reset)
        # What the memory holds after a reset: simple nodes start at 0 whatever v_reset is.
        start = plain(module._memories_rv["v"])
        rate = 1.0 / plain(getattr(module, "tau", 1.0))
        if kind == "ParametricLIFNode":
            rate = plain(module.w.detach().sigmoid())
        if kind in ("IFNode", "HalfThresholdIFNode", "SimpleIFNode"):
            alpha, bias = 1.0, 0.0
        elif kind == "CUBALIFNode":
            alpha, bias = plain(module.v_decay), 0.0
        else:
            alpha, bias = 1.0 - rate, rate * rest
        decays_input = bool(getattr(module, "decay_input", False)) and alpha != 1.0
        values: dict[str, Tensor | float] = {
            "alpha": alpha,
            "leak_bias": bias,
            "v_reset": rest,
            "v_init": alpha * start + bias,
        }
        if kind == "CUBALIFNode":
            values["alpha_syn"] = plain(module.c_decay)
        name = f"{FRAMEWORK_NAMES['spikingjelly']} {kind}"
        feed = (lambda x: x * rate) if decays_input else (lambda x: x)
        if is_infinite(module.v_threshold):
            synaptic = int(kind == "CUBALIFNode")
            return Translation(
                name, LI, values, {"synaptic": synaptic}, feed=feed, never_fires=True
            )
        values["v_threshold"] = plain(module.v_threshold)
        choices = {
            "reset": int(Reset.SOFT if reset is None else Reset.HARD),
            "fire_on_equal": 1,
        }
        model = CUBALIF if kind == "CUBALIFNode" else LIF
        return Translation(name, model, values, choices, feed=feed)

    def reset(self) -> None:
        """Forget all states."""
        self.last = None
        self.module.reset()  # type: ignore[operator]

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the membrane is fresh; else it must be that of the last call."""
        v: Any = self.module.v
        if v is self.last and v is not None:
            return False
        if not isinstance(v, Tensor) or v.shape != self._step_shape(args, kwargs):
            return True
        start = plain(self.module._memories_rv["v"])  # type: ignore[index]
        if bool((v == start).all()):
            return True
        raise ModelError(
            "its membrane was set from outside; call functional.reset_net on the network instead"
        )

    def _step_shape(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Size:
        shape = self.given(args, kwargs).shape
        return shape[1:] if self.layout == 0 else shape

    def remember(self, answer: Any) -> None:
        """Keep the membrane after a call."""
        self.last = self.module.v

    def answer(self, signals: Signals) -> Any:
        """Return the spikes, and set the membrane (after the reset) and its record."""
        module: Any = self.module
        if self.translation.never_fires:
            signals = Signals(
                torch.zeros_like(signals.membrane), signals.membrane, signals.synaptic
            )
        after = self.after_reset(signals)
        if self.layout is None:
            module.v = after
            if getattr(module, "store_v_seq", False):
                held = module.v_seq
                step = after.unsqueeze(0)
                module.v_seq = step if held is None else torch.cat((held, step))
        else:
            module.v = after[-1]
            if getattr(module, "store_v_seq", False):
                module.v_seq = after
        return signals.spikes


class SpikingJellyReadOut(Described):
    """One of :data:`READ_OUTS`, which runs over ``[T, B, ...]`` and decodes the membrane."""

    layout = 0

    def translate(self) -> Translation:
        """Return the module in our terms, or raise ModelError."""
        module: Any = self.module
        kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in READ_OUTS)
        if module.decode is None:
            raise ModelError(
                "decode is None, so that it returns a list of membranes; choose "
                "decode='last_mem', 'max-mem' or 'mean-mem'"
            )
        rate = 1.0 / plain(getattr(module, "tau", 1.0))
        leaky = kind == "NonSpikingLIFNode"
        return Translation(
            f"{FRAMEWORK_NAMES['spikingjelly']} {kind}",
            LI,
            {"alpha": 1.0 - rate if leaky else 1.0},
            feed=(lambda x: x * rate) if leaky else (lambda x: x),
        )

    def reset(self) -> None:
        """Do nothing: each call starts anew."""

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return True: each call starts anew."""
        return True

    def remember(self, answer: Any) -> None:
        """Keep nothing."""

    def output(self, answer: Any) -> Tensor:
        """Return the decoded membrane, which :meth:`decoded` gives too."""
        decoded: Tensor = answer
        return decoded

    def answer(self, signals: Signals) -> Any:
        """Return the decoded membrane."""
        module: Any = self.module
        membrane = signals.membrane
        module.v = membrane[-1]
        return self.decoded(membrane)

    def decoded(self, membrane: Tensor) -> Tensor:
        """Return what ``decode`` makes of the membranes ``[T, B, ...]``."""
        mode: Any = self.module.decode
        if mode == "max-mem":
            return membrane.amax(0)
        if mode == "mean-mem":
            return membrane.mean(0)
        if mode == "last_mem":
            return membrane[-1]
        high, low = membrane.amax(0), membrane.amin(0)
        return torch.where(high.abs() > low.abs(), high, low)
