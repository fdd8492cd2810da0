"""What all neuron modules share: parameters as buffers, the loop over time, the exported op.

The equations are not here: forward runs the neuron's ``step`` (see :mod:`snnquant.neurons`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snnquant.errors import UsageError
from snnquant.neurons import Choice, NeuronModel, Parameter, constants_of
from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.neurons.dynamics import MAX_SPIKES, REFRACTORY, REFRACTORY_STEPS, RESET
from snnquant.nn.loop import run_steps
from snnquant.nn.names import field_names
from snnquant.nn.parameters import Value, checked_value, make_learnable, reset_of
from snnquant.nn.surrogate import Surrogate, surrogate_of
from snnquant.nn.torch_backend import TorchBackend
from snnquant.ops import DOMAIN, OPSET_VERSION, op_name
from snnquant.ops.schema import CURRENT, LAST_SPIKES, RECURRENT_WEIGHT, schemas

__all__ = ["NeuronLayer", "State", "Value"]

State = dict[str, Tensor]


class NeuronLayer(nn.Module):
    """A layer of neurons of one model over ``[T, B, ...]``; base of the modules that users take.

    Args:
        model: the definition of the neuron.
        values: real parameters and structural choices by the field's names or the seed's; a
            parameter that is left out, or None, has the definition's default, or follows the
            parameter that the definition names for that.
        surrogate: gradient of the spikes in training, or its registered name; None: arctangent.
        learn: names of the parameters that training may change: they are ``nn.Parameter`` then,
            under the same names in a checkpoint. No count of steps can be learned.
        recurrent_size: number ``N`` of neurons whose last spikes come back through a learnable
            ``recurrent_weight`` ``[N, N]`` (row: from, column: to); None: no recurrence.

    Raises:
        UsageError: a name is unknown or a value is out of range.
    """

    recurrent_weight: nn.Parameter | None
    #: Parameters and choices of the definition that are not for users of the class to set.
    _fixed: ClassVar[frozenset[str]] = frozenset({REFRACTORY.name})

    def __init__(
        self,
        model: NeuronModel,
        values: Mapping[str, object],
        *,
        surrogate: Surrogate | str | None = None,
        learn: Collection[str] = (),
        recurrent_size: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.surrogate = surrogate_of(surrogate, self._name)
        values = self._by_name(values)
        learn = (learn,) if isinstance(learn, str) else tuple(learn)
        self._numbers: dict[str, tuple[Tensor, int, float]] = {}
        for parameter in model.parameters:
            given = values.get(parameter.name, parameter.default)
            if given is None and parameter.name in learn:
                given = values.get(
                    parameter.default_from, model.parameter(parameter.default_from).default
                )
            if given is not None:
                value = checked_value(parameter, given, self._name)
                self.register_buffer(parameter.name, value if value.dim() else value.reshape(1))
        make_learnable(self, self._settable_parameters(), learn)
        self.choices = {c.name: self._checked_choice(c, values) for c in model.choices}
        weight = None if recurrent_size is None else self._new_recurrent_weight(recurrent_size)
        self.register_parameter("recurrent_weight", weight)
        self._use_refractory()
        self.register_load_state_dict_post_hook(_check_loaded)  # type: ignore[no-untyped-call]

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _keywords(self) -> tuple[str, ...]:
        """What the constructor takes that is no value of the definition."""
        return ("surrogate", "learn", "recurrent_size")

    @property
    def max_spikes(self) -> int:
        """Most spikes that one step can give."""
        return self.choices.get(MAX_SPIKES.name, 1)

    def _settable_parameters(self) -> list[Parameter]:
        return [p for p in self.model.parameters if p.name not in self._fixed]

    def _by_name(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return the values that are given, by the field's names, or raise UsageError."""
        choices = [c.name for c in self.model.choices if c.name not in self._fixed]
        known = [*(p.name for p in self._settable_parameters()), *choices]
        given = {name: value for name, value in values.items() if value is not None}
        return field_names(given, self._name, known, self._keywords)

    def check_values(self) -> None:
        """Raise UsageError where training or a checkpoint left a parameter out of its range."""
        for parameter in self.model.parameters:
            value = self._own_value(parameter.name)
            if value is not None:
                checked_value(parameter, value, self._name)

    def _own_value(self, name: str) -> Tensor | None:
        """Return a parameter that has a value of its own."""
        value = self._parameters.get(name, self._buffers.get(name))
        # In a replica of torch.nn.DataParallel, parameters are plain attributes.
        return vars(self).get(name) if value is None else value

    def _checked_choice(self, choice: Choice, values: Mapping[str, object]) -> int:
        """Return a structural choice, or raise UsageError."""
        value = values.get(choice.name, choice.default)
        if choice.name == RESET.name:
            return reset_of(value, self._name)
        if not isinstance(value, int) or not choice.low <= value <= choice.high:
            raise UsageError(
                f"{self._name}: {choice.name} is {value!r}, must be an integer from "
                f"{choice.low} to {choice.high} ({choice.doc})"
            )
        return int(value)

    def _new_recurrent_weight(self, size: int) -> nn.Parameter:
        if size < 1:
            raise UsageError(f"{self._name}: recurrent_size is {size}, must be at least 1")
        bound = 1 / math.sqrt(size)
        return nn.Parameter(torch.empty(size, size).uniform_(-bound, bound))

    def _use_refractory(self) -> None:
        """Let the step read ``refractory_steps`` only where some neuron has any."""
        if REFRACTORY.name in self.choices:
            steps = self.get_buffer(REFRACTORY_STEPS.name)
            self.choices[REFRACTORY.name] = int(bool((steps > 0).any()))

    def parameter_value(self, name: str) -> Tensor:
        """Return a real parameter: ``[1]``, per channel ``[C]`` or per neuron."""
        value = self._own_value(name)
        return (
            self.parameter_value(self.model.parameter(name).default_from)
            if value is None
            else value
        )

    def initial_state(self, current: Tensor) -> State:
        """Return the states before the first step, each ``[B, ...]``, for ``current [T, B, ...]``.

        The names are those of the definition; a recurrent layer also has ``s``, its last spikes.
        """
        step_shape = current.shape[1:]
        state = {}
        for variable in self.model.states:
            if variable.initial:
                value = self._along_channels(variable.initial, current)
                state[variable.name] = value.expand(step_shape)
            else:
                state[variable.name] = current.new_zeros(step_shape)
        if self.recurrent_weight is not None:
            state[LAST_SPIKES] = current.new_zeros(step_shape)
        return state

    def forward(
        self, current: Tensor, state: State | None = None, return_state: bool = False
    ) -> Tensor | tuple[Tensor, State]:
        """Run over time and return the spikes (of a read-out: the membranes).

        Args:
            current: ``[T, B, ...]``, floating point, at least one step.
            state: states ``[B, ...]`` to start from; None: :meth:`initial_state`.
            return_state: return the states after the last step too.

        Returns:
            ``[T, B, ...]``, or a pair of that and the states by name.

        Raises:
            UsageError: the current has no time and batch axis, or a shape does not fit.
        """
        self._check_current(current)
        start = self._checked_state(current, state)
        if not torch.onnx.is_in_onnx_export():
            output, after = self._run(current, start)
        elif state is None and not return_state:
            output, after = self._symbolic(current, None)[0], start
        else:
            output, *last = self._symbolic(current, start)
            after = dict(zip(start, last, strict=True))
        return (output, after) if return_state else output

    def _run(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the definition's step over time."""
        arithmetic = FloatArithmetic(TorchBackend(self.surrogate))
        values = {p.constant_name: self._constant(p.name, current) for p in self.model.parameters}
        constants = constants_of(self.model, values, self.choices)
        weight = self.recurrent_weight
        outputs, after = run_steps(
            self.model,
            arithmetic,
            current.unbind(0),
            state,
            constants,
            None if weight is None else lambda last: (last.flatten(1) @ weight).view_as(last),
        )
        return torch.stack(outputs), after

    def _constant(self, name: str, current: Tensor) -> Tensor | float:
        """Return a parameter as the step reads it: a plain number where one serves all neurons.

        Numbers cost no broadcast and no gradient, and the arithmetic leaves out 0 and 1. They are
        read once per change, since that waits for the device.
        """
        value = self.parameter_value(name)
        if value.numel() != 1 or value.requires_grad or torch.compiler.is_compiling():
            return self._along_channels(name, current)
        try:
            tensor, version, number = self._numbers.get(name, (None, 0, 0.0))
            if tensor is not value or version != value._version:
                number = value.item()
                self._numbers[name] = (value, value._version, number)
        except RuntimeError:
            # Tensors of torch.func and of inference mode: without a number, or without versions.
            return self._along_channels(name, current)
        return number

    def _symbolic(
        self, current: Tensor, state: State | None, marks: Mapping[str, int] | None = None
    ) -> tuple[Tensor, ...]:
        """Stand for the whole run as one op of domain ``snnquant`` during ONNX export."""
        schema = schemas()[
            op_name(
                self.model,
                integer=False,
                recurrent=self.recurrent_weight is not None,
                stateful=state is not None,
            )
        ]
        sources: dict[str, Tensor] = {CURRENT: current}
        if self.recurrent_weight is not None:
            sources[RECURRENT_WEIGHT] = self.recurrent_weight
        for name in schema.parameter_names:
            self._along_channels(name, current)
            sources[name] = self.parameter_value(name)
        if state is not None:
            sources.update(state)
        inputs = [sources[port.name] for port in schema.inputs]
        shapes = [current.shape if port.timed else current.shape[1:] for port in schema.outputs]
        return tuple(
            torch.onnx.ops.symbolic_multi_out(
                f"{DOMAIN}::{schema.name}",
                inputs,
                attrs={**self.choices, **(marks or {})},
                dtypes=[current.dtype] * len(shapes),
                shapes=shapes,
                version=OPSET_VERSION,
            )
        )

    def _check_current(self, current: Tensor) -> None:
        if current.dim() < 2 or current.shape[0] < 1 or not current.is_floating_point():
            raise UsageError(
                f"{self._name}: the current is {current.dtype} {list(current.shape)}, must be "
                "floating point [T, B, ...] with at least one step; snnquant.nn.repeat gives a "
                "static input a time axis"
            )
        weight = self.recurrent_weight
        if weight is not None and math.prod(current.shape[2:]) != weight.shape[0]:
            raise UsageError(
                f"{self._name}: recurrent_size is {weight.shape[0]}, but a step has "
                f"{math.prod(current.shape[2:])} neurons ({list(current.shape[2:])})"
            )

    def _along_channels(self, name: str, current: Tensor) -> Tensor:
        """Shape a parameter for one step ``[B, C, ...]``."""
        value, features = self.parameter_value(name), current.shape[2:]
        if value.numel() == 1:
            return value.reshape((1,) * (current.dim() - 1))
        if features and value.shape == features[:1]:
            return value.reshape((1, -1) + (1,) * (len(features) - 1))
        if value.shape == features:
            return value.unsqueeze(0)
        raise UsageError(
            f"{self._name}: {name} has shape {list(value.shape)} but the neurons "
            f"{list(features)}; give one value, one per channel, or one per neuron"
        )

    def _checked_state(self, current: Tensor, state: State | None) -> State:
        """Return the states in order, or raise UsageError."""
        start = self.initial_state(current)
        if state is None:
            return start
        if set(state) != set(start):
            raise UsageError(
                f"{self._name}: the state has {sorted(state)}, must have {sorted(start)}"
            )
        for name, value in state.items():
            if value.shape != current.shape[1:]:
                raise UsageError(
                    f"{self._name}: state {name} has shape {list(value.shape)}, must be "
                    f"{list(current.shape[1:])}, that of one step"
                )
        return {name: state[name] for name in start}

    def extra_repr(self) -> str:
        """Return the parameters that differ from their defaults, shown in the module's repr."""
        parts = []
        for parameter in self.model.parameters:
            name, value = parameter.name, self._own_value(parameter.name)
            if value is not None and value.numel() > 1:
                parts.append(f"{name}={list(value.shape)}")
            elif value is not None and float(value.detach()) != parameter.default:
                parts.append(f"{name}={float(value.detach()):g}")
        learned = [p.name for p in self.model.parameters if p.name in self._parameters]
        parts += [f"learn={tuple(learned)}"] if learned else []
        parts += [
            f"{c.name}={v}" for c in self.model.choices if (v := self.choices[c.name]) != c.default
        ]
        return ", ".join(parts)


def _check_loaded(layer: nn.Module, _: Any) -> None:
    """Hold parameters from a checkpoint to the same ranges as those of the constructor."""
    if isinstance(layer, NeuronLayer):
        layer.check_values()
        layer._use_refractory()
