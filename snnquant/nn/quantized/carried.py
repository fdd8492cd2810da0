"""States of neurons on their way through forward: in integers they count steps of their neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from snnquant.errors import UsageError
from snnquant.lowering.flow import Flow, continue_group
from snnquant.nn.quantized.names import FUNCTIONS, Effect
from snnquant.nn.quantized.states import counted_states

if TYPE_CHECKING:
    from snnquant.nn.quantized.functions import Call
    from snnquant.nn.quantized.neuron import QNeuron

#: What leaves a state the numbers that it had, or takes some of them.
_KEPT = frozenset(
    {Effect.SAME, Effect.RESHAPED, Effect.CUT, Effect.PERMUTED, Effect.SCRAMBLED, Effect.JOINED}
)
#: Functions that take a shape or a type from a state, and nothing of its numbers.
_UNRELATED = ("zeros", "ones", "empty", "full", "new_", "rand", "size", "dim", "__get__", "__len__")


@dataclass(frozen=True)
class Carried:
    """A state, and what forward did to it.

    Attributes:
        neuron: whose state it is.
        name: of the state.
        membrane: flow of the neuron's membrane; None: the state is a count.
        touched: function that changed its numbers, if any did.
    """

    neuron: QNeuron
    name: str
    membrane: Flow | None
    touched: str = ""

    def __str__(self) -> str:
        how = f", changed by '{self.touched}'," if self.touched else ""
        return f"state {self.name} of {self.neuron.label}{how}"


class States:
    """The states that are somewhere in forward, by identity of the value."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Carried]] = {}

    def of(self, value: Any) -> Carried | None:
        """Return what is known of a value that is, or was made of, a state."""
        held = self._known.get(id(value))
        return None if held is None else held[1]

    def give(self, neuron: QNeuron, states: Mapping[str, Any], membrane: Flow) -> None:
        """Note the states that a neuron returned."""
        counts = counted_states(neuron)
        for name, value in states.items():
            scale = None if name in counts else membrane
            self._known[id(value)] = (value, Carried(neuron, name, scale))

    def take(self, neuron: QNeuron, states: Mapping[str, Any], membrane: Flow) -> None:
        """Note that a neuron goes on from states: both count in the same steps.

        Raises:
            UsageError: forward changed the numbers of one.
        """
        for value in states.values():
            carried = self.of(value)
            if carried is None:
                continue
            if carried.touched:
                raise UsageError(
                    f"{neuron.label}: goes on from {carried} which has no integer form; states can "
                    "be moved, selected and set to 0, and a neuron's parameters do the rest"
                )
            if carried.membrane is not None:
                continue_group(neuron.path, carried.membrane, membrane)

    def refuse(self, value: Any, who: str) -> None:
        """Raise UsageError where a state goes where real values are expected."""
        carried = self.of(value)
        if carried is not None:
            raise UsageError(
                f"{who} {carried}, which counts integer steps once quantized; use spikes, the "
                "output of a QLI, or neuron.membrane_scale(q_param)"
            )

    def called(self, call: Call, results: Callable[[Any], Any]) -> None:
        """Note what a function made of states."""
        found = [c for value in call.values() if (c := self.of(value)) is not None]
        if not found or call.reported.startswith(_UNRELATED):
            return
        known = FUNCTIONS.get(call.name)
        kept = known is not None and known.effect in _KEPT
        if call.reported in ("where", "masked_fill", "masked_fill_", "__setitem__"):
            # A selection between states, or between a state and 0 (of which nothing is known).
            last = call.args[-1] if call.args else None
            kept = not isinstance(last, (int, float)) or last == 0
        for value in results(call.result):
            touched = found[0].touched or ("" if kept else call.name)
            self._known[id(value)] = (value, replace(found[0], touched=touched))
