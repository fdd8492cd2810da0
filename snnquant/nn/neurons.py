"""The neuron modules: which options each takes; defaults come from the definition.

All of them run over ``[T, B, ...]``. A parameter is a number, a tensor with one value per channel
``[C]``, or one with a value per neuron; they are buffers, or with ``learn`` parameters of torch,
so a checkpoint holds them. Besides the field's names, which type checkers know, the seed's serve
(:data:`snnquant.nn.names.SEED_NAMES`); None is as good as leaving out. A gradient step may leave a
range, such as an alpha above 1: forward goes on with it, exporting or loading such a layer raises
an error.

With ``max_spikes`` above 1 the gradient of a step is that of its nearest spike: of the level
``v_threshold + k * dv`` at which one spike more or less would come.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, TypedDict

from snnquant.errors import UsageError
from snnquant.neurons import CUBALIF as CUBALIF_MODEL
from snnquant.neurons import EXTENDEDLIF as EXTENDEDLIF_MODEL
from snnquant.neurons import LI as LI_MODEL
from snnquant.neurons import LIF as LIF_MODEL
from snnquant.neurons import NeuronModel, Reset
from snnquant.neurons.dynamics import ALPHA, ALPHA_SYN
from snnquant.neurons.li import SYNAPTIC
from snnquant.nn.layer import NeuronLayer, Value
from snnquant.nn.parameters import reset_of
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
        reset: what a spike does to the membrane, or its name, such as ``"soft"``; default
            ``Reset.HARD``.
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
    reset: Reset | str
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

    def __init__(
        self, model: NeuronModel, own: Mapping[str, Value | None], options: SpikingOptions
    ) -> None:
        # Not keyword by keyword: what the seed calls by another name is in there, too.
        values = {name: value for name, value in options.items() if name not in self._keywords}
        learn = options.get("learn", ())
        if options.get("dv") is not None or "dv" in learn:
            reset = options.get("reset")
            if reset is None or reset_of(reset, self._name) is not Reset.SOFT_CONSTANT:
                raise UsageError(
                    f"{self._name}: dv is read with reset=Reset.SOFT_CONSTANT only; "
                    "leave it out or change the reset"
                )
        super().__init__(
            model,
            {**values, **own},
            surrogate=options.get("surrogate"),
            learn=learn,
            recurrent_size=options.get("recurrent_size"),
        )


class LIF(SpikingLayer):
    """Leaky integrate-and-fire.

    ``v3 = v + u; s = v3 > v_threshold; v = alpha * reset(v3) + leak_bias``.

    Shapes: current and spikes ``[T, B, ...]``; states ``v`` and ``r`` (refractory
    time), each ``[B, ...]``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1]; default 1.
        **options: see :class:`SpikingOptions`.

    Raises:
        UsageError: an option is unknown, given twice, or out of range.
    """

    def __init__(self, *, alpha: Value | None = None, **options: Unpack[SpikingOptions]) -> None:
        super().__init__(LIF_MODEL, {"alpha": alpha}, options)


class IF(SpikingLayer):
    """Integrate-and-fire: ``v3 = v + u; s = v3 > v_threshold; v = reset(v3) + leak_bias``.

    It is exported as ``LIF`` with ``alpha = 1``, and takes no other ``alpha``.

    Shapes: current and spikes ``[T, B, ...]``; states ``v`` and ``r`` (refractory
    time), each ``[B, ...]``.

    Args:
        **options: see :class:`SpikingOptions`.

    Raises:
        UsageError: an option is unknown, given twice, or out of range.
    """

    _fixed = SpikingLayer._fixed | {ALPHA.name}

    def __init__(self, **options: Unpack[SpikingOptions]) -> None:
        super().__init__(LIF_MODEL, {}, options)


class CubaLIF(SpikingLayer):
    """Current-based LIF: ``i = alpha_syn * i + u``, then a LIF step that sees ``i``.

    ``v3 = v + i; s = v3 > v_threshold; v = alpha * reset(v3) + leak_bias``.

    Shapes: current and spikes ``[T, B, ...]``; states ``v``, ``i`` and ``r``, each ``[B, ...]``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1]; default 1.
        alpha_syn: share of the synaptic current that a step keeps, in [0, 1]; default 0.
        **options: see :class:`SpikingOptions`; the refractory time blocks the membrane's input,
            the synaptic current goes on.

    Raises:
        UsageError: an option is unknown, given twice, or out of range.
    """

    def __init__(
        self,
        *,
        alpha: Value | None = None,
        alpha_syn: Value | None = None,
        **options: Unpack[SpikingOptions],
    ) -> None:
        super().__init__(CUBALIF_MODEL, {"alpha": alpha, "alpha_syn": alpha_syn}, options)


class ExtendedLIF(SpikingLayer):
    """LIF with an adaptive threshold and a lower bound, the seed's largest neuron.

    ``v3 = v + u; s = v3 > max(v_threshold + a, v_min);
    v = max(alpha * reset(v3) + leak_bias, v_min);
    a = threshold_decay * a + threshold_bias + s * threshold_increment``, where ``a`` is 0 at first.

    Shapes: current and spikes ``[T, B, ...]``; states ``v``, ``a`` and ``r``, each ``[B, ...]``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1]; default 1.
        v_min: lower bound of membrane and threshold; default: none.
        threshold_decay: share of the adaptation that a step keeps, in [0, 1]; default 1.
        threshold_bias: added to the adaptation at every step; default 0.
        threshold_increment: added to the adaptation per spike; default 0.
        **options: see :class:`SpikingOptions`.

    Raises:
        UsageError: an option is unknown, given twice, or out of range.
    """

    def __init__(
        self,
        *,
        alpha: Value | None = None,
        v_min: Value | None = None,
        threshold_decay: Value | None = None,
        threshold_bias: Value | None = None,
        threshold_increment: Value | None = None,
        **options: Unpack[SpikingOptions],
    ) -> None:
        own = {
            "alpha": alpha,
            "v_min": v_min,
            "threshold_decay": threshold_decay,
            "threshold_bias": threshold_bias,
            "threshold_increment": threshold_increment,
        }
        super().__init__(EXTENDEDLIF_MODEL, own, options)


class LI(NeuronLayer):
    """Leaky integrator, a read-out that never fires: ``v3 = v + u; v = alpha * v3 + leak_bias``.

    The output is ``v3``, the membrane before the leak. With ``alpha_syn`` the input is a leaky
    synaptic current: ``i = alpha_syn * i + u; v3 = v + i``.

    Shapes: current and output ``[T, B, ...]``; states ``v`` and ``i``, each ``[B, ...]``.

    Args:
        alpha: share of the membrane that a step keeps, in [0, 1]; default 1.
        leak_bias: added to the membrane at every leak; default 0.
        v_init: membrane before the first step; default 0.
        alpha_syn: share of the synaptic current that a step keeps, in [0, 1]; default: no synapse.
        learn: names of parameters that training changes.
        **seed: parameters under the seed's names.

    Raises:
        UsageError: a parameter is unknown, given twice, or out of range.
    """

    _fixed = NeuronLayer._fixed | {SYNAPTIC.name}

    @property
    def _keywords(self) -> tuple[str, ...]:
        return ("learn",)

    def __init__(
        self,
        *,
        alpha: Value | None = None,
        leak_bias: Value | None = None,
        v_init: Value | None = None,
        alpha_syn: Value | None = None,
        learn: Collection[str] = (),
        **seed: Value | None,
    ) -> None:
        own = {"alpha": alpha, "leak_bias": leak_bias, "v_init": v_init, ALPHA_SYN.name: alpha_syn}
        super().__init__(LI_MODEL, {**seed, **own}, learn=learn)
        learned = ALPHA_SYN.name in self._parameters
        self.choices[SYNAPTIC.name] = int(alpha_syn is not None or learned)
