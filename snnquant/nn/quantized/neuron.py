"""What quantizable neurons share: single-step and multi-step calls, states, integer constants."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnquant.errors import NumericalError, UsageError
from snnquant.lowering.integers import neuron_integers, recurrent_integers
from snnquant.neurons import Parameter
from snnquant.nn.layer import NeuronLayer, State
from snnquant.nn.merge_runs import CALL
from snnquant.nn.parameters import allowed
from snnquant.nn.quantized.follower import NeuronCall
from snnquant.nn.quantized.mode import Mode, QParam
from snnquant.nn.quantized.module import QModule, buffer_of, real
from snnquant.nn.quantized.running import NeuronSettings, run_aware, run_integers
from snnquant.nn.quantized.wire import Wire
from snnquant.numerics import FloatArray, IntArray
from snnquant.ops.schema import LAST_SPIKES, RECURRENT_WEIGHT

#: Numbers the calls that are exported.
_calls = itertools.count()
#: A neuron's states: the membrane alone where there is no other, else all by name.
Membrane = Tensor | dict[str, Tensor]


class QNeuron(QModule, NeuronLayer):
    """Base of the quantizable neurons; ``out, v = neuron(x, q_param, v)``."""

    def _start(self, multi_step: bool) -> None:
        if multi_step not in (True, False):
            raise UsageError(f"{self.label}: multi_step is {multi_step!r}, must be True or False")
        self.multi_step = bool(multi_step)
        self.spikes_seen = 0.0
        self.steps_seen = 0
        self.settings: dict[str, NeuronSettings] = {}
        self._has_vectors = False

    @property
    def _name(self) -> str:
        return self.label

    @property
    def live_states(self) -> tuple[str, ...]:
        """Names of the states that this layer has: those that its choices leave unused are not."""
        names = [s.name for s in self.model.states_in_use(self.choices)]
        return (*names, *([LAST_SPIKES] if self.recurrent_weight is not None else []))

    def forward(  # type: ignore[override]
        self, x: Tensor, q_param: QParam | None = None, v: Any = None
    ) -> tuple[Tensor, Membrane]:
        """Run one step, or with ``multi_step`` all steps, and return spikes and states.

        Args:
            x: current ``[B, ...]``; with ``multi_step`` ``[T, B, ...]``.
            q_param: what the synapse returned with the current; needed once quantized.
            v: states before the first step, each ``[B, ...]``: what the last call returned, or the
                membrane alone; None: the initial state. A floating-point tensor is a real value,
                an integer one is on the membrane's scale.

        Returns:
            Spikes (of a read-out: membranes) in the shape of ``x``, floating point; and the states
            after the last step, in integers when quantized. The states are one tensor where the
            membrane is the only one, else tensors by name.

        Raises:
            UsageError: a shape or type does not fit, or the ``q_param`` is missing or another's.
        """
        if self.mode is Mode.FOLLOW:
            return self._followed(x, q_param, v)
        if not isinstance(x, Tensor):
            raise UsageError(
                f"{self.label}: its current is a {type(x).__name__}, must be a tensor; call it as "
                "out, v = neuron(current, q_param, v)"
            )
        if q_param is not None and not isinstance(q_param, QParam):
            raise UsageError(
                f"{self.label}: its q_param is a {type(q_param).__name__}; pass what the synapse "
                "returned with the current"
            )
        current = x if self.multi_step else x.unsqueeze(0)
        if self.mode in (Mode.FLOAT, Mode.COLLECT):
            output, after = self._float(current, v)
        else:
            settings = self._settings_for(q_param)
            self._check_integer_current(current, settings)
            run = run_integers if self.mode is Mode.QUANTIZED else run_aware
            output, after = run(self, current, settings, v)
        if self.mode is Mode.COLLECT and self.model.spiking:
            self.spikes_seen += float(output.detach().sum(dtype=torch.float64))
            self.steps_seen += output.numel()
        return output if self.multi_step else output.squeeze(0), self._given_out(after)

    def _given_out(self, states: Mapping[str, Tensor]) -> Membrane:
        """Return the states in the form that callers see."""
        live = self.live_states
        if len(live) == 1:
            return states[live[0]]
        return {name: states[name] for name in live}

    # -- floating point --------------------------------------------------------------------------

    def _float(self, current: Tensor, v: Any) -> tuple[Tensor, State]:
        self._check_current(current)
        start = self._real_state(current, v)
        if not torch.onnx.is_in_onnx_export():
            return self._run(current, start)
        if v is None:
            # Whether the final states are read is known once the whole graph is there.
            marks = {CALL: next(_calls)}
            output = self._symbolic(current, None, marks)[0]
            _, *last = self._symbolic(current, start, marks)
            return output, dict(zip(start, last, strict=True))
        output, *last = self._symbolic(current, start)
        return output, dict(zip(start, last, strict=True))

    def _real_state(self, current: Tensor, v: Any) -> State:
        """Return all states in floating point."""
        start = self.initial_state(current)
        for name, value in self.named(v).items():
            if not isinstance(value, Tensor) or not value.is_floating_point():
                raise UsageError(
                    f"{self.label}: state {name} is {_kind(value)}, must be a floating-point "
                    "tensor while the model is not quantized; start from v=None"
                )
            start[name] = self.fitting(name, value, current.shape[1:]).to(current.dtype)
        return start

    def named(self, v: Any) -> dict[str, Any]:
        """Return the given states by name."""
        if v is None:
            return {}
        if not isinstance(v, Mapping):
            return {self.model.states[0].name: v}
        unknown = sorted(set(v) - set(self.live_states))
        if unknown:
            raise UsageError(
                f"{self.label}: has no state {unknown[0]}; it has {', '.join(self.live_states)}"
            )
        return dict(v)

    def fitting(self, name: str, value: Tensor, shape: torch.Size) -> Tensor:
        """Return a state in the shape of one step, or raise UsageError."""
        if value.shape != shape and not (value.dim() == 0):
            raise UsageError(
                f"{self.label}: state {name} has shape {list(value.shape)}, must be {list(shape)}, "
                "that of one step; start from v=None for another batch size"
            )
        return value.expand(shape)

    # -- following -------------------------------------------------------------------------------

    def _followed(self, x: Any, q_param: Any, v: Any) -> tuple[Any, Any]:
        if isinstance(x, Wire):
            output: Any = Wire(self.tracker)
            states: Any = {name: Wire(self.tracker) for name in self.live_states}
            rank = None
        else:
            current = x if self.multi_step else x.unsqueeze(0)
            with torch._C.DisableTorchFunction():
                output, states = self._float(current, v)
            output = output if self.multi_step else output.squeeze(0)
            rank = current.dim() - 2
        live = {name: states[name] for name in self.live_states}
        call = NeuronCall(output, live, self.named(v), q_param, rank)
        self.tracker.neuron(self, x, call)
        return output, self._given_out(states)

    def real_parameters(self) -> dict[str, FloatArray]:
        """Return the real parameters as float64, ``[1]``, ``[C]`` or per neuron.

        Raises:
            NumericalError: training or an assignment left a value outside its range.
        """
        return {p.name: self._real_parameter(p) for p in self.model.parameters}

    def _real_parameter(self, parameter: Parameter) -> FloatArray:
        what = f"{parameter.name} of {self.label}"
        tensor = self.parameter_value(parameter.name).detach().double()
        if parameter.limit and parameter.default is not None:
            # No limit at all, which is no finite number in a narrow floating-point type.
            tensor = tensor.masked_fill(tensor == -torch.inf, parameter.default)
        value = real(tensor, what)
        ok, wanted = allowed(parameter, value)
        if not ok.all():
            raise NumericalError(f"{what} is {value[~ok][0]:g}, must be {wanted}")
        return value

    def real_recurrent_weight(self) -> FloatArray | None:
        """Return the recurrent weights as float64, if there are any."""
        weight = self.recurrent_weight
        return None if weight is None else real(weight, f"the recurrent weight of {self.label}")

    # -- integers --------------------------------------------------------------------------------

    def quantize(
        self,
        settings: list[NeuronSettings] | None = None,
        mode: Mode = Mode.QUANTIZED,
        integers: Mapping[str, Mapping[str, IntArray]] | None = None,
    ) -> None:
        """Take what was decided for each current and enter quantized or aware mode.

        Args:
            settings: the decisions, one per group of synapses that feeds the layer; None: forward
                does not use it.
            mode: QUANTIZED or AWARE.
            integers: constants by group and name where they are known; None: made here.
        """
        self.dequantize()
        self.mode = mode
        if settings is None:
            return
        self.settings = {entry.group: entry for entry in settings}
        self._has_vectors = any(value.size > 1 for value in self.real_parameters().values())
        if mode is Mode.QUANTIZED:
            for entry in settings:
                known = self.integers(entry) if integers is None else integers[entry.group]
                self._hold(entry.group, known)

    def check_unchanged(self) -> None:
        """Raise UsageError if real parameters changed since the integers were made of them."""
        for group, settings in self.settings.items():
            made, held = self.integers(settings), self.held(group)
            if any(not np.array_equal(held[k].cpu().numpy(), made[k]) for k in made):
                raise self._changed()

    def integers(self, settings: NeuronSettings) -> dict[str, IntArray]:
        """Return the integer constants by parameter name, and the recurrent weight."""
        made = neuron_integers(
            self.model,
            self.real_parameters(),
            settings.membrane_scale,
            settings.target,
            rank=settings.rank,
            fire_on_equal=bool(self.choices.get("fire_on_equal", 0)),
        )
        weight = self.real_recurrent_weight()
        if weight is not None:
            # Rank 1 is the only one whose scale is per neuron.
            made[RECURRENT_WEIGHT] = settings.gain * recurrent_integers(
                weight, settings.scale, settings.gain, settings.bits, (len(weight),)
            )
        return made

    def _hold(self, group: str, integers: Mapping[str, IntArray]) -> None:
        """Keep the integers of one current as buffers."""
        index = list(self.settings).index(group)
        device = self.parameter_value(self.model.parameters[0].name).device
        for name, array in integers.items():
            buffer = buffer_of(array.astype(np.int64)).to(device)
            self.register_buffer(f"{name}_integers_{index}", buffer, persistent=False)

    def held(self, group: str) -> dict[str, Tensor]:
        """Return the integers of one current by parameter name."""
        suffix = f"_integers_{list(self.settings).index(group)}"
        return {
            name.removesuffix(suffix): buffer
            for name, buffer in self.named_buffers(recurse=False)
            if name.endswith(suffix)
        }

    def dequantize(self) -> None:
        """Go back to floating point; the integers are dropped."""
        super().dequantize()
        for name in [n for n, _ in self.named_buffers(recurse=False) if "_integers_" in n]:
            delattr(self, name)
        self.settings = {}

    def membrane_scale(self, q_param: QParam | None) -> Tensor:
        """Return the real value of one integer step of the states, in quantized and aware mode.

        Args:
            q_param: what the synapse returned with the current.

        Returns:
            float64, ``[1]`` or broadcastable along the features ``[C, ...]``; counters
            (refractory time, last spikes) have steps of 1.

        Raises:
            UsageError: the ``q_param`` is missing or another's.
        """
        return torch.as_tensor(self._settings_for(q_param).membrane_scale)

    def _settings_for(self, q_param: QParam | None) -> NeuronSettings:
        if not self.settings:
            raise self._missing()
        if q_param is None:
            raise UsageError(
                f"{self.label}: got no q_param; call it as out, v = neuron(current, q_param, v) "
                "with the q_param that the synapse returned"
            )
        if q_param.group not in self.settings:
            known = " or ".join(f"'{name}'" for name in self.settings)
            raise UsageError(
                f"{self.label}: its q_param comes from '{q_param.synapse or 'a float synapse'}', "
                f"but it was quantized on currents of {known}"
            )
        return self.settings[q_param.group]

    def _check_integer_current(self, current: Tensor, settings: NeuronSettings) -> None:
        if self.mode is Mode.QUANTIZED and current.is_floating_point():
            raise UsageError(
                f"{self.label}: its current is {current.dtype}, must be the integers that a "
                "quantized synapse returned; between the two, integers can be moved, added and "
                "max pooled, nothing else"
            )
        # The checks of shape are those of floating point; they look at no value.
        self._check_current(torch.empty(current.shape, dtype=torch.float32, device="meta"))
        rank = current.dim() - 2
        if rank < settings.rank or (self._has_vectors and rank != settings.rank):
            raise UsageError(
                f"{self.label}: its current has {rank} feature axes, but it was quantized for "
                f"{settings.rank}; call quantize(example_input=...) with an input of this shape"
            )


def _kind(value: Any) -> str:
    """Say what a value is."""
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
