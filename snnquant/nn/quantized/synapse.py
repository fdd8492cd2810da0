"""What quantizable synapses share: their input's integers, their own, and the exact current."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnquant.errors import DataError, NumericalError, UsageError
from snnquant.lowering.flow import Flow, Kind
from snnquant.lowering.integers import SynapseIntegers, sum_bound, synapse_integers
from snnquant.nn.quantized.exact import exact_sum, round_through
from snnquant.nn.quantized.mode import Mode, QParam
from snnquant.nn.quantized.module import QModule, buffer_of, real
from snnquant.numerics import FLOAT32_EXACT, INT32, FloatArray, IntRange
from snnquant.observers import TensorStatistics

#: How far from an integer a value may lie that is an average of integers in float32.
_NEARLY = 1e-3
#: How many currents can be added up in aware mode, exactly.
_MOST_ADDED = 256


@dataclass(frozen=True)
class SynapseSettings:
    """What was decided for a synapse: how its input enters, and the scale of its current.

    Attributes:
        factor: real value of one integer step of the input.
        low: least integer of the input.
        high: largest integer of the input.
        encoder: the input is analog.
        enters: the input comes from outside the integers, and is limited to its range.
        bits: width of the weights.
        scale: of the current, ``[channels]`` or ``[1]``; the membrane may be finer by
            ``current_shift``.
        gain: power of two of the weights.
        current_shift: see the ops' attribute.
        group: name of the first synapse that shares the scale.
        reads_out: the current reaches no neuron, and is given out as real values.
    """

    factor: float
    low: int
    high: int
    encoder: bool
    enters: bool
    bits: int
    scale: FloatArray = field(repr=False)
    gain: int
    current_shift: int
    group: str
    reads_out: bool

    @property
    def source(self) -> Flow:
        """The input as the lowering sees it."""
        return Flow(Kind.INTEGER, self.factor, self.low, self.high)


class QSynapse(QModule, ABC):
    """Base of the quantizable synapses; ``y, q_param = synapse(x)``.

    In quantized mode ``y`` is the current as int64 on the scale that ``q_param`` tells; a synapse
    that feeds no neuron (a read-out) gives real values. The input is always given in real values,
    as in float mode: spikes, or the analog values of an encoder.
    """

    weight: Tensor
    bias: Tensor | None
    weight_integers: Tensor | None
    bias_integers: Tensor | None
    #: Axis of the weight that counts output channels, and number of spatial axes.
    channel_axis = 0
    spatial = 0

    def _start(self, is_encoder: bool | None) -> None:
        if is_encoder not in (None, True, False):
            raise UsageError(
                f"{self.label}: is_encoder is {is_encoder!r}, must be None, True or False"
            )
        self.is_encoder = is_encoder
        self.statistics: TensorStatistics | None = None
        self.settings: SynapseSettings | None = None
        self.register_buffer("weight_integers", None, persistent=False)
        self.register_buffer("bias_integers", None, persistent=False)
        self._bound = 0
        self._q_param = QParam("")

    # -- what it computes ------------------------------------------------------------------------

    @abstractmethod
    def apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the sums of one batch ``[B, ...]`` (or ``[T*B, ...]``)."""

    @abstractmethod
    def check_input(self, x: Tensor) -> None:
        """Raise UsageError for an input of a shape that does not fit."""

    def forward(self, x: Tensor) -> tuple[Tensor, QParam]:
        """Return the current, and on which scale it lies.

        Args:
            x: spikes or analog values, ``[B, ...]`` or ``[T, B, ...]``.

        Returns:
            The current with the same leading axes; in quantized mode int64, or real values if it
            reaches no neuron. The second goes on to the neuron.

        Raises:
            UsageError: the shape does not fit.
            DataError: quantized: analog values where spikes are expected.
            NumericalError: quantized: NaN or infinite values.
        """
        if self.mode is Mode.FOLLOW:
            return self.tracker.synapse(self, x), QParam(self.path, scale=np.ones(1))
        if self.mode is Mode.COLLECT:
            self._observe(x)
        if self.mode in (Mode.FLOAT, Mode.COLLECT):
            return self.real_current(x), self._q_param
        if self.settings is None:
            raise self._missing()
        self._check(x)
        if self.mode is Mode.AWARE:
            return self._aware_current(x, self.settings), self._q_param
        return self._integer_current(x, self.settings), self._q_param

    def real_current(self, x: Tensor) -> Tensor:
        """Return the current in floating point."""
        self._check(x)
        return self._folded(x, lambda y: self.apply_weight(y, self.weight, self.bias))

    def _check(self, x: Any) -> None:
        if not isinstance(x, Tensor):
            raise UsageError(
                f"{self.label}: its input is a {type(x).__name__}, must be a tensor; a synapse "
                "returns a pair (current, q_param), of which only neurons take the second"
            )
        self.check_input(x)

    def _folded(self, x: Tensor, apply: Any) -> Tensor:
        """Apply to one batch, with time folded into it where there is time."""
        if not self.spatial or x.dim() == self.spatial + 2:
            y: Tensor = apply(x)
            return y
        y = apply(x.flatten(0, 1))
        return y.reshape(x.shape[0], -1, *y.shape[1:])

    def _observe(self, x: Any) -> None:
        """Keep the statistics of an input."""
        self._check(x)
        if self.statistics is None:
            self.statistics = TensorStatistics(self.path)
        self.statistics.update(x.detach().float().cpu().numpy())

    # -- integers --------------------------------------------------------------------------------

    def real_weights(self) -> tuple[FloatArray, FloatArray | None]:
        """Return weight and bias as float64; NumericalError if a value is not finite."""
        bias = None if self.bias is None else real(self.bias, f"the bias of '{self.path}'")
        return real(self.weight, f"the weight of '{self.path}'"), bias

    def quantize(
        self,
        settings: SynapseSettings | None = None,
        mode: Mode = Mode.QUANTIZED,
        integers: SynapseIntegers | None = None,
    ) -> None:
        """Take what was decided and enter quantized or aware mode.

        Args:
            settings: the decisions; None: forward does not use the layer.
            mode: QUANTIZED or AWARE.
            integers: those of quantized mode where they are known; None: made here.
        """
        self.mode = mode
        if settings is None:
            return
        self.settings = settings
        channels = settings.scale.reshape(-1, *([1] * self.spatial))
        self._q_param = QParam(self.path, settings.group, channels)
        if mode is Mode.QUANTIZED:
            made = self.integers(settings) if integers is None else integers
            self.weight_integers = buffer_of(made.weight.astype(np.int8)).to(self.weight.device)
            self.bias_integers = buffer_of(made.bias).to(self.weight.device)
            sums = sum_bound(made.weight, self.channel_axis, settings.source.reach)
            self._bound = int(sums.max(initial=0))

    def integers(self, settings: SynapseSettings) -> SynapseIntegers:
        """Return weight and bias in integers.

        Raises:
            NumericalError: a value is not finite, or the current can leave 32 bits.
        """
        weight, bias = self.real_weights()
        return synapse_integers(
            self.path,
            weight,
            bias,
            settings.source,
            settings.scale,
            settings.gain,
            axis=self.channel_axis,
            bits=settings.bits,
        )

    def check_unchanged(self) -> None:
        """Raise UsageError if real parameters changed since the integers were made of them."""
        if self.settings is None or self.weight_integers is None or self.bias_integers is None:
            return
        made = self.integers(self.settings)
        held = (self.weight_integers, self.bias_integers)
        if not all(
            np.array_equal(ours.cpu().numpy(), new)
            for ours, new in zip(held, (made.weight, made.bias), strict=True)
        ):
            raise self._changed()

    def dequantize(self) -> None:
        """Go back to floating point; the integers are dropped."""
        super().dequantize()
        self.settings = None
        self.weight_integers = None
        self.bias_integers = None
        self._q_param = QParam("")

    def _entered(self, x: Tensor, settings: SynapseSettings) -> Tensor:
        """Return the input as integers, in floating point."""
        if not x.is_floating_point():
            x = x.to(torch.float32)
        if not bool(torch.isfinite(x).all()):
            raise NumericalError(f"{self.label}: its input holds NaN or infinite values")
        # As QuantizeLinear does it: a division in float32, ties to even.
        # A divisor on the device: CUDA multiplies by the inverse of a number.
        factor = torch.full((), settings.factor, dtype=torch.float32, device=x.device)
        ratio = x.to(torch.float32) / factor
        integers = ratio.detach().round()
        if not settings.encoder:
            wrong = (ratio.detach() - integers).abs().max() if ratio.numel() else ratio.sum()
            if float(wrong) > (0 if settings.factor == 1 else _NEARLY):
                raise DataError(
                    f"{self.label}: its input is analog (off by {float(wrong):.3g} from spikes), "
                    "but it was quantized for spikes; collect its scale with collect_q_params() "
                    f"and calculate_q_params(), or declare is_encoder=True{self._dropout_hint}"
                )
            beyond = integers.abs().max() if integers.numel() else integers.sum()
            if not settings.enters and float(beyond) > settings.source.reach:
                raise DataError(
                    f"{self.label}: its input has {float(beyond):g} spikes at once, at most "
                    f"{settings.source.reach} can come; quantize the model on inputs of this kind"
                    f"{self._dropout_hint}"
                )
        return round_through(ratio, settings.low, settings.high)

    @property
    def _dropout_hint(self) -> str:
        """What to say of values that dropout may have scaled."""
        hint = "; dropout scales spikes while training: take it out, or call model.eval()"
        return hint if self.training else ""

    def _integer_current(self, x: Tensor, settings: SynapseSettings) -> Tensor:
        weight, bias = self.weight_integers, self.bias_integers
        if weight is None or bias is None:
            raise self._missing()
        with torch.no_grad():
            entered = self._entered(x, settings)
            sums = exact_sum(self._sums, entered, weight, self._bound).to(torch.int64)
            if settings.gain != 1:
                sums = sums * settings.gain
            current = sums + bias.reshape(-1, *([1] * self.spatial))
        return self._q_param.dequantize(current) if settings.reads_out else current

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._folded(x, lambda y: self.apply_weight(y, weight, None))

    def _aware_current(self, x: Tensor, settings: SynapseSettings) -> Tensor:
        """Return the integer current in floating point, with gradients for input and weights.

        What float32 would not hold exactly is summed in float64; the neuron goes on from there.
        """
        for name, value in (("weight", self.weight), ("bias", self.bias)):
            if value is not None and not bool(torch.isfinite(value).all()):
                raise NumericalError(f"{self.label}: its {name} holds NaN or infinite values")
        limits = IntRange.signed(settings.bits)
        step = torch.as_tensor(settings.scale, dtype=torch.float64, device=self.weight.device)
        along = [1] * self.weight.dim()
        along[self.channel_axis] = -1
        ratio = self.weight.double() * settings.factor / (settings.gain * step.reshape(along))
        weight = round_through(ratio, limits.low, limits.high)
        fan_in = weight.numel() // max(weight.shape[self.channel_axis], 1)
        bound = fan_in * -limits.low * settings.source.reach
        current = exact_sum(self._sums, self._entered(x, settings), weight, bound)
        offset = None
        if self.bias is not None:
            each = (self.bias.double() / step).reshape(-1, *([1] * self.spatial))
            offset = round_through(each, INT32.low, INT32.high)
            bound += int(offset.detach().abs().max())
        # Forward may add several currents before a neuron takes them.
        if bound * settings.gain >= FLOAT32_EXACT // _MOST_ADDED:
            current = current.double()
        current = current * settings.gain
        if offset is not None:
            current = current + offset.to(current.dtype)
        if settings.reads_out:
            return self._q_param.dequantize(current)
        return current
