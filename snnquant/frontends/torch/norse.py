"""Norse: cells of one step and layers over ``[T, B, ...]``.

LIFBox: ``h = v + a*(x + v_leak - v)``; LIF: ``j = i + x; h = v + a*((v_leak - v) + j);
i = j*(1 - b)`` with ``a = dt*tau_mem_inv, b = dt*tau_syn_inv``; ``s = H(h > v_th)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from snnquant.errors import ModelError
from snnquant.frontends.reading import FRAMEWORK_NAMES
from snnquant.frontends.torch.translation import Described, Signals, Translation, same_tensor
from snnquant.neurons import CUBALIF, LI, LIF, Reset

#: Class name: whether it has a synaptic current, and whether it fires.
CELLS = {
    "LIFBoxCell": (False, True),
    "LIFCell": (True, True),
    "LIFRecurrentCell": (True, True),
    "IAFCell": (False, True),
    "LIBoxCell": (False, False),
    "LICell": (True, False),
    "LILinearCell": (True, False),
}
LAYERS = {
    "LIF": (True, True),
    "LIFRecurrent": (True, True),
    "IAF": (False, True),
    "LI": (True, False),
}
_RESETS = {"reset_value": Reset.HARD, "reset_subtract": Reset.SOFT}


class NorseNeuron(Described):
    """One of :data:`CELLS` or :data:`LAYERS`; forward returns the output and a state."""

    def translate(self) -> Translation:
        """Return the module in our terms, or raise ModelError."""
        module: Any = self.module
        known = CELLS | LAYERS
        kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in known)
        self.kind = kind
        self.layout = 0 if kind in LAYERS else None
        self.last: Any = None
        synaptic, fires = known[kind]
        p, dt = module.p, module.dt
        if getattr(p, "method", "super") == "logistic":
            raise ModelError("method 'logistic' fires at random; train with method 'super'")
        integrates = kind.startswith("IAF")
        gain = torch.ones(()) if integrates else dt * torch.as_tensor(p.tau_mem_inv)
        rest = torch.zeros(()) if integrates else torch.as_tensor(p.v_leak)
        values: dict[str, Tensor | float] = {
            "alpha": torch.ones(()) if integrates else 1 - gain,
            "leak_bias": gain * rest,
            "v_init": torch.as_tensor(p.v_reset) if integrates else rest,
        }
        if synaptic:
            values["alpha_syn"] = 1 - dt * torch.as_tensor(p.tau_syn_inv)
        weights = getattr(module, "input_weights", None)

        def feed(x: Tensor) -> Tensor:
            seen = x if weights is None else functional.linear(x, weights)
            return seen if integrates else seen * gain

        name = f"{FRAMEWORK_NAMES['norse']} {kind}"
        if not fires:
            return Translation(name, LI, values, {"synaptic": int(synaptic)}, feed=feed)
        method = getattr(getattr(p, "reset_method", None), "__name__", "reset_value")
        if method not in _RESETS:
            raise ModelError(
                f"reset_method {method} is not known; take reset_value or reset_subtract"
            )
        values |= {"v_threshold": torch.as_tensor(p.v_th), "v_reset": torch.as_tensor(p.v_reset)}
        recurrent = getattr(module, "recurrent_weights", None)
        return Translation(
            name,
            CUBALIF if synaptic else LIF,
            values,
            {"reset": int(_RESETS[method])},
            feed=feed,
            recurrence=None
            if recurrent is None
            else lambda spikes: functional.linear(spikes, recurrent) * gain,
        )

    def reset(self) -> None:
        """Forget the last state: the module itself holds none."""
        self.last = None

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether no state is given; else it must be that of the last call."""
        state = args[1] if len(args) > 1 else kwargs.get("state")
        if state is None:
            return True
        if self.last is not None and all(
            same_tensor(a, b) for a, b in zip(state, self.last, strict=True)
        ):
            return False
        fallback: Any = getattr(self.module, "state_fallback", None)
        if fallback is not None:
            initial = fallback(self.given(args, kwargs))
            if all(bool((a == b).all()) for a, b in zip(state, initial, strict=True)):
                return True
        raise ModelError(
            "it is given a state that is neither None nor its own last one; "
            "start from None inside forward and hand on what the layer returns"
        )

    def remember(self, answer: Any) -> None:
        """Keep the state after a call."""
        self.last = answer[1]
        self.state_type = type(answer[1])

    def alone(self, given: Tensor, state: Any) -> tuple[Any, Any]:
        """Call the module by itself; return its answer, and the state for the next call."""
        answer = self.module(given, state)
        return answer, answer[1]

    def answer(self, signals: Signals) -> Any:
        """Return the output and a state of the framework's own type."""
        fires = self.translation.model.spiking
        after = self.after_reset(signals)
        out = signals.spikes if fires else signals.membrane
        held = {"z": signals.spikes, "v": after, "i": signals.synaptic}
        if self.layout == 0 and not getattr(self.module, "record_states", False):
            held = {name: value[-1] for name, value in held.items()}
        state = self.state_type(**{name: held[name] for name in self.state_type._fields})
        return out, state
