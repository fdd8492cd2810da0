"""What hears of all that a model does with its values, during one forward."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch.overrides import TorchFunctionMode

from snnquant.nn.quantized.mode import QParam
from snnquant.nn.quantized.names import reported


@dataclass(frozen=True)
class NeuronCall:
    """One call of a quantizable neuron.

    Attributes:
        output: spikes or membranes that it returned.
        states: final states by name.
        given: states that it was given, by name.
        q_param: what it was given with the current.
        rank: number of feature axes; None: not known without data.
    """

    output: Any
    states: Mapping[str, Any]
    given: Mapping[str, Any]
    q_param: QParam | None
    rank: int | None


class Follower(TorchFunctionMode):
    """Hears of every function of torch, and of every quantizable layer, that forward calls.

    It is active as a torch function mode where forward runs on tensors, and told by the
    :class:`~snnquant.nn.quantized.wire.Wire` where there is no data.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function and hear of it."""
        result = func(*args, **(kwargs or {}))
        self.called(reported(func), args, kwargs or {}, result)
        return result

    @abstractmethod
    def called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Hear what a function of torch made of its arguments.

        Args:
            name: as torch reports it; see :func:`~snnquant.nn.quantized.names.canonical`.
            args: of the call.
            kwargs: of the call.
            result: what came out.
        """

    @abstractmethod
    def synapse(self, module: Any, x: Any) -> Any:
        """Hear of a quantizable synapse; returns what takes the place of its current."""

    @abstractmethod
    def neuron(self, module: Any, x: Any, call: NeuronCall) -> None:
        """Hear of a quantizable neuron on the current ``x``."""
