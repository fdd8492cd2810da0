"""The quantizable neurons, under the seed framework's names of parameters and the field's."""

from __future__ import annotations

from typing import Any

from snnquant.nn.neurons import IF, LI, LIF, CubaLIF, ExtendedLIF
from snnquant.nn.quantized.neuron import QNeuron


class _QNeuronLayer(QNeuron):
    """The constructor of them all; bases: this one, then the layer that it makes quantizable."""

    def __init__(self, *, multi_step: bool = False, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._start(multi_step)

    @property
    def _keywords(self) -> tuple[str, ...]:
        return (*super()._keywords, "multi_step")


class QIF(_QNeuronLayer, IF):
    """Quantizable integrate-and-fire.

    ``v3 = v + u; s = v3 > v_threshold; v = reset(v3) + leak_bias``.

    Shapes: current and spikes ``[B, ...]``, with ``multi_step`` ``[T, B, ...]``; states
    ``[B, ...]``.

    Args:
        multi_step: the call runs over a time axis in front of the batch.
        **parameters: as :class:`snnquant.nn.IF` takes them, or under the seed's names
            (``v_th_0``, ``v_leaky_beta``, ``v_reset``, ``v_init``, ``dv``, ``ref_len``).

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """


class QLIF(_QNeuronLayer, LIF):
    """Quantizable leaky integrate-and-fire.

    ``v3 = v + u; s = v3 > v_threshold; v = alpha * reset(v3) + leak_bias``. Quantized, ``u`` is the
    integer current, ``v_threshold``, ``v_reset``, ``v_init``, ``leak_bias`` and ``dv`` become
    ``round(value / (S_w * S_x))``, and ``alpha`` becomes ``k / 2**leak_shift`` (seed, figures
    "spike input" and "encoder").

    Shapes: current and spikes ``[B, ...]``, with ``multi_step`` ``[T, B, ...]``; states
    ``[B, ...]``.

    Args:
        multi_step: the call runs over a time axis in front of the batch.
        **parameters: as :class:`snnquant.nn.LIF` takes them, or under the seed's names (``v_th_0``,
            ``v_leaky_alpha``, ``v_leaky_beta``, ``v_reset``, ``v_init``, ``dv``, ``ref_len``).

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """


class QCubaLIF(_QNeuronLayer, CubaLIF):
    """Quantizable current-based LIF: ``i = alpha_syn * i + u``, then a LIF step that sees ``i``.

    ``v3 = v + i; s = v3 > v_threshold; v = alpha * reset(v3) + leak_bias``. Quantized, ``i`` is an
    integer on the membrane's scale.

    Shapes: current and spikes ``[B, ...]``, with ``multi_step`` ``[T, B, ...]``; states ``v`` and
    ``i`` (and ``r`` where refractory), each ``[B, ...]``.

    Args:
        multi_step: the call runs over a time axis in front of the batch.
        **parameters: as :class:`snnquant.nn.CubaLIF` takes them, or under the seed's names.

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """


class QExtendedLIF(_QNeuronLayer, ExtendedLIF):
    """Quantizable LIF with adaptive threshold, refractory time and a lower bound.

    ``v3 = v + u; s = v3 > max(v_threshold + a, v_min); v = max(alpha * reset(v3) + leak_bias,
    v_min); a = threshold_decay * a + threshold_bias + s * threshold_increment``.

    Shapes: current and spikes ``[B, ...]``, with ``multi_step`` ``[T, B, ...]``; states ``v`` and
    ``a`` (and ``r`` where refractory), each ``[B, ...]``.

    Args:
        multi_step: the call runs over a time axis in front of the batch.
        **parameters: as :class:`snnquant.nn.ExtendedLIF` takes them, or under the seed's names
            (those of :class:`QLIF`, and ``v_l``, ``v_th_alpha``, ``v_th_beta``, ``v_th_incre``).

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """


class QLI(_QNeuronLayer, LI):
    """Quantizable leaky integrator, a read-out: ``v3 = v + u; v = alpha * v3 + leak_bias``.

    The output is ``v3``, real values in every mode; quantized, the states are integers.

    Shapes: current and output ``[B, ...]``, with ``multi_step`` ``[T, B, ...]``; states
    ``[B, ...]``.

    Args:
        multi_step: the call runs over a time axis in front of the batch.
        **parameters: as :class:`snnquant.nn.LI` takes them, or under the seed's names.

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """
