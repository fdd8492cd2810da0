"""snnTorch: Leaky, Lapicque, Synaptic, RLeaky, RSynaptic.

``r = H(m - thr > 0); m = beta*m + x - r*thr`` (subtract), so that the reset comes with the next
step, after the leak; ``zero`` likewise, where all but Leaky lose that step's input as well.
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
    finite,
    is_zero,
    same_tensor,
)
from snnquant.neurons import CUBALIF, LIF, Reset

#: The states of each class, in the order in which forward takes them.
STATES = {
    "Leaky": ("mem",),
    "Lapicque": ("mem",),
    "Synaptic": ("syn", "mem"),
    "RLeaky": ("spk", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
}
_FUNCTIONS = {"_base_sub": 0, "_base_zero": 1, "_base_int": 2}
_RESETS = {0: Reset.SOFT, 1: Reset.HARD, 2: Reset.NONE}


class SnnTorchNeuron(Described):
    """One of :data:`STATES`; forward takes its states or holds them as buffers."""

    kind: str

    def translate(self) -> Translation:
        """Return the module in our terms, or raise ModelError."""
        module: Any = self.module
        self.kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in STATES)
        self.last: tuple[Any, ...] = ()
        grade = finite("graded_spikes_factor", module.graded_spikes_factor.detach())
        self.grade = torch.as_tensor(grade)
        self.graded = bool((self.grade != 1).any())
        if not bool(self.grade.all()):
            raise ModelError("graded_spikes_factor is 0, so that no spike leaves it")
        mode = self._reset_mode()
        threshold = finite("threshold", module.threshold)
        values: dict[str, Tensor | float] = {"v_threshold": threshold, "v_reset": 0.0}
        immediate = not getattr(module, "reset_delay", True)
        if immediate and mode == 0:
            raise ModelError(
                "reset_delay=False with 'subtract' compares with a threshold that depends on the "
                "membrane before; train with reset_delay=True or reset_mechanism='zero'"
            )
        if immediate and self.kind == "RSynaptic":
            raise ModelError("RSynaptic fails with reset_delay=False; take reset_delay=True")
        if mode == 0:
            # The compare of the first step's reset is with the membrane 0.
            values["v_init"] = torch.relu(-torch.as_tensor(threshold))
        elif mode == 1 and bool((torch.as_tensor(threshold) < 0).any()):
            raise ModelError("threshold is negative with reset 'zero'; only positive ones reset")
        loses_input = mode == 1 and not immediate and self.kind != "Leaky"
        choices = {
            "reset": int(_RESETS[mode]),
            "reset_after_leak": int(mode == 0),
            "refractory": int(loses_input),
        }
        values["refractory_steps"] = float(loses_input)
        feed = lambda x: x  # noqa: E731
        if self.kind == "Lapicque":
            step = module.time_step / (module.R * module.C)
            values["alpha"] = finite("R and C", 1 - step)
            gain = module.R * (1 / (module.R * module.C)) * module.time_step
            feed = lambda x: x * gain  # noqa: E731
        else:
            values["alpha"] = finite("beta", module.beta.detach().clamp(0, 1))
        synaptic = "syn" in STATES[self.kind]
        if synaptic:
            values["alpha_syn"] = finite("alpha", module.alpha.detach().clamp(0, 1))
        return Translation(
            f"{FRAMEWORK_NAMES['snntorch']} {self.kind}",
            CUBALIF if synaptic else LIF,
            values,
            choices,
            feed=feed,
            recurrence=self._feedback if "spk" in STATES[self.kind] else None,
        )

    def _reset_mode(self) -> int:
        """Return the number of the reset mechanism, or raise ModelError for options we lack."""
        module: Any = self.module
        if module.inhibition:
            raise ModelError("inhibition lets only one neuron of a layer fire; train without it")
        if module.state_quant:
            raise ModelError("state_quant rounds the membrane; train without it, or quantize here")
        mode = _FUNCTIONS[module.state_function.__name__]
        if mode != int(module.reset_mechanism_val):
            raise ModelError(
                "the checkpoint's reset_mechanism is another than the module's; "
                "build the module with the reset_mechanism that it was trained with"
            )
        return mode

    def _feedback(self, spikes: Tensor) -> Tensor:
        """Return what ungraded spikes add to the current of the next step."""
        module: Any = self.module
        back: Tensor = module.recurrent(spikes * self.grade)
        return back

    def output(self, answer: Any) -> Tensor:
        """Return the spikes before they are graded."""
        return super().output(answer) / self.grade

    def reset(self) -> None:
        """Forget all states."""
        self.last = ()
        for name in STATES[self.kind]:
            setattr(self.module, name, torch.zeros(0))

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the states are fresh; else they must be those of the last call."""
        names = STATES[self.kind]
        given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
        states = [
            held if (held := given.get(name)) is not None else getattr(self.module, name)
            for name in names
        ]
        shape = self.given(args, kwargs).shape
        if self.last and all(same_tensor(a, b) for a, b in zip(states, self.last, strict=True)):
            return False
        if all(is_zero(state) or state.shape != shape for state in states):
            return True
        raise ModelError(
            "it is given a state that is neither zero nor its own last one; "
            "start from reset_mem() inside forward and hand on what the layer returns"
        )

    def remember(self, answer: Any) -> None:
        """Keep the states after a call."""
        self.last = tuple(getattr(self.module, name) for name in STATES[self.kind])

    def answer(self, signals: Signals) -> Any:
        """Return what forward would return, and set its buffers."""
        module: Any = self.module
        immediate = not getattr(module, "reset_delay", True)
        held = {
            "spk": signals.spikes * self.grade if self.graded else signals.spikes,
            "syn": signals.synaptic,
            "mem": self.after_reset(signals) if immediate else signals.membrane,
        }
        for name in STATES[self.kind]:
            setattr(module, name, held[name])
        if module.init_hidden and not module.output:
            return held["spk"]
        states = [held[name] for name in STATES[self.kind] if name != "spk"]
        return (held["spk"], *states)
