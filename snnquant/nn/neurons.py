"""The neuron modules: which options each takes; defaults come from the definition.

All of them run over ``[T, B, ...]``. A parameter is a number, a tensor with one value per channel
``[C]``, or one with a value per neuron; they are buffers, or with ``learn`` parameters of torch,
so a checkpoint holds them. A gradient step may leave a range, such as an alpha above 1: forward
goes on with it, exporting or loading such a layer raises an error.

With ``max_spikes`` above 1 the gradient of a step is that of its nearest spike: of the level
``v_threshold + k * dv`` at which one spike more or less would come.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypedDict

from snnquant.errors import UsageError
from snnquant.neurons import CUBALIF as CUBALIF_MODEL
from snnquant.neurons import EXTENDEDLIF as EXTENDEDLIF_MODEL
from snnquant.neurons import LI as LI_MODEL
from snnquant.neurons import LIF as LIF_MODEL
from snnquant.neurons import NeuronModel, Reset
from snnquant.nn.layer import NeuronLayer, Value
from snnquant.nn.surrogate import Surrogate

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SpikingOptions(TypedDict, total=False):
    """Keywords that every spiking neuron takes; all are optional.

    Attributes:
        v_threshold: the neuron fires above it; default 1.
        leak_bias: added to the membrane at every leak; default 0.
        v_reset: membrane after a hard reset; default 0.
        v_init: membrane before the first step; default ``v_reset``.
        reset: what a spike does to the membrane; default ``Reset.HARD``.
        dv: what one spike subtracts, for ``Reset.SOFT_CONSTANT`` only; default ``v_threshold``.
        refractory_steps: steps after a spike whose input is lost, a whole number; default 0.
        max_spikes: most spikes that one step can give, 1 to 255; default 1.
        fire_on_equal: fire at ``v == v_threshold`` too; default False.
        reset_after_leak: the leak comes first, then the reset; default False.
        surrogate: gradient of the spikes in training, or its name in
            :data:`snnquant.nn.SURROGATES`; default ``Arctan()``.
        learn: names of parameters that training changes, such as ``("alpha", "v_threshold")``;
            they start from the values given here; default none.
        recurrent_size: number of neurons that feed their last spikes back through a learnable
            ``recurrent_weight``; default none.
    """

    v_threshold: Value
    leak_bias: Value
    v_reset: Value
    v_init: Value
    reset: Reset
    dv: Value
    refractory_steps: Value
    max_spikes: int
    fire_on_equal: bool
    reset_after_leak: bool
    surrogate: Surrogate | str
    learn: Collection[str]
    recurrent_size: int


class SpikingLayer(NeuronLayer):
    """A layer of neurons that fire; use one of its subclasses."""

    def __init__(self, model: NeuronModel, own: dict[str, Value], options: SpikingOptions) -> None:
        values: dict[str, object] = {**options}
        for name in ("surrogate", "learn", "recurrent_size"):
            values.pop(name, None)
        learn = options.get("learn", ())
        if ("dv" in options or "dv" in learn) and options.get("reset") != Reset.SOFT_CONSTANT:
            raise UsageError(
                f"{type(self).__name__}: dv is read with reset=Reset.SOFT_CONSTANT only; "
                "leave it out or change the reset"
            )
        super().__init__(
            model,
            {**own, **values},
            surrogate=options.get("surrogate"),
            learn=learn,
            recurrent_size=options.get("recurrent_size"),
        )


class LIF(SpikingLayer):
    """Leaky integrate-and-fire.

    ``v3 = v + u; s = v3 > v_threshold; v = alpha * reset(v3) + leak_bias``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1].
        **options: see :class:`SpikingOptions`.

    Raises:
        UsageError: an option is unknown or out of range.
    """

    def __init__(self, *, alpha: Value = 1.0, **options: Unpack[SpikingOptions]) -> None:
        super().__init__(LIF_MODEL, {"alpha": alpha}, options)


class IF(SpikingLayer):
    """Integrate-and-fire: ``v3 = v + u; s = v3 > v_threshold; v = reset(v3) + leak_bias``.

    It is exported as ``LIF`` with ``alpha = 1``.

    Args:
        **options: see :class:`SpikingOptions`.

    Raises:
        UsageError: an option is unknown or out of range.
    """

    def __init__(self, **options: Unpack[SpikingOptions]) -> None:
        super().__init__(LIF_MODEL, {}, options)


class CubaLIF(SpikingLayer):
    """Current-based LIF: ``i = alpha_syn * i + u``, then a LIF step that sees ``i``.

    ``v3 = v + i; s = v3 > v_threshold; v = alpha * reset(v3) + leak_bias``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1].
        alpha_syn: share of the synaptic current that a step keeps, in [0, 1].
        **options: see :class:`SpikingOptions`; the refractory time blocks the membrane's input,
            the synaptic current goes on.

    Raises:
        UsageError: an option is unknown or out of range.
    """

    def __init__(
        self, *, alpha: Value = 1.0, alpha_syn: Value = 0.0, **options: Unpack[SpikingOptions]
    ) -> None:
        super().__init__(CUBALIF_MODEL, {"alpha": alpha, "alpha_syn": alpha_syn}, options)


class ExtendedLIF(SpikingLayer):
    """LIF with an adaptive threshold and a lower bound, the seed's largest neuron.

    ``v3 = v + u; s = v3 > max(v_threshold + a, v_min);
    v = max(alpha * reset(v3) + leak_bias, v_min);
    a = threshold_decay * a + threshold_bias + s * threshold_increment``, where ``a`` is 0 at first.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1].
        v_min: lower bound of membrane and threshold; None: none.
        threshold_decay: share of the adaptation that a step keeps, in [0, 1].
        threshold_bias: added to the adaptation at every step.
        threshold_increment: added to the adaptation per spike.
        **options: see :class:`SpikingOptions`.

    Raises:
        UsageError: an option is unknown or out of range.
    """

    def __init__(
        self,
        *,
        alpha: Value = 1.0,
        v_min: Value | None = None,
        threshold_decay: Value = 1.0,
        threshold_bias: Value = 0.0,
        threshold_increment: Value = 0.0,
        **options: Unpack[SpikingOptions],
    ) -> None:
        own: dict[str, Value] = {
            "alpha": alpha,
            "threshold_decay": threshold_decay,
            "threshold_bias": threshold_bias,
            "threshold_increment": threshold_increment,
        }
        if v_min is not None:
            own["v_min"] = v_min
        super().__init__(EXTENDEDLIF_MODEL, own, options)


class LI(NeuronLayer):
    """Leaky integrator, a read-out that never fires: ``v3 = v + u; v = alpha * v3 + leak_bias``.

    The output is ``v3``, the membrane before the leak. With ``alpha_syn`` the input is a leaky
    synaptic current: ``i = alpha_syn * i + u; v3 = v + i``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1].
        leak_bias: added to the membrane at every leak.
        v_init: membrane before the first step.
        alpha_syn: share of the synaptic current that a step keeps, in [0, 1]; None: no synapse.
        learn: names of parameters that training changes.

    Raises:
        UsageError: a parameter is out of range.
    """

    def __init__(
        self,
        *,
        alpha: Value = 1.0,
        leak_bias: Value = 0.0,
        v_init: Value = 0.0,
        alpha_syn: Value | None = None,
        learn: Collection[str] = (),
    ) -> None:
        values: dict[str, object] = {"alpha": alpha, "leak_bias": leak_bias, "v_init": v_init}
        if alpha_syn is not None:
            values.update(alpha_syn=alpha_syn, synaptic=1)
        super().__init__(LI_MODEL, values, learn=learn)
