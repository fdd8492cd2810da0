"""What the operations of :mod:`snnquant.nn.operations` share: parameters, names, the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar

from torch import Tensor, nn

from snnquant.errors import UsageError
from snnquant.neurons import Constants, Parameter
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.nn.names import field_names
from snnquant.nn.parameters import Value, checked_value, make_learnable
from snnquant.nn.surrogate import Surrogate, surrogate_of
from snnquant.nn.torch_backend import TorchBackend


class Operation(nn.Module):
    """One operation on the operands of one step; base of the modules that users take.

    Shapes: operands and result ``[B, ...]``, or any that broadcast.

    Args:
        *values: parameters in the order of :attr:`takes`.
        surrogate: gradient of spikes, for operations that fire; also by name.
        learn: names of parameters that training changes.
        **named: parameters by name; None is as good as leaving it out.

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """

    takes: ClassVar[tuple[Parameter, ...]] = ()

    def __init__(
        self,
        *values: Value | None,
        surrogate: Surrogate | str | None = None,
        learn: Collection[str] = (),
        **named: Value | None,
    ) -> None:
        super().__init__()
        self.surrogate = surrogate_of(surrogate, self._name)
        given = self._by_name(values, named)
        for parameter in self.takes:
            value = given.get(parameter.name, parameter.default)
            if value is not None:
                self.register_buffer(parameter.name, checked_value(parameter, value, self._name))
        held = [parameter for parameter in self.takes if parameter.name in self._buffers]
        make_learnable(self, held, learn)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _by_name(
        self, values: tuple[Value | None, ...], named: dict[str, Value | None]
    ) -> dict[str, Value]:
        """Return the parameters that are given, by the field's names."""
        names = [parameter.name for parameter in self.takes]
        known = ", ".join(names) or "no parameters"
        if len(values) > len(names):
            raise UsageError(f"{self._name} takes {known}; {len(values)} values are given")
        given: dict[str, Value | None] = dict(zip(names, values, strict=False))
        for name, value in field_names(named, self._name, names, ("surrogate", "learn")).items():
            if name in given:
                raise UsageError(f"{self._name}: {name} is given by position and by name")
            given[name] = value
        return {name: value for name, value in given.items() if value is not None}

    def _run(self, function: Callable[..., Any], *operands: Any) -> Tensor:
        """Return what a function of the dynamics gives for these operands."""
        result: Tensor = function(FloatArithmetic(TorchBackend(self.surrogate)), *operands)
        return result

    def _constants(self, **choices: Any) -> Constants:
        """Return the parameters as the dynamics read them."""
        held = {p.constant_name: getattr(self, p.name, None) for p in self.takes}
        return Constants(**held, **choices)

    def extra_repr(self) -> str:
        """Return the parameters, shown in the module's repr."""
        held = {p.name: getattr(self, p.name, None) for p in self.takes}
        return ", ".join(
            f"{name}={value.item():g}" if value.numel() == 1 else f"{name}={list(value.shape)}"
            for name, value in held.items()
            if value is not None
        )
