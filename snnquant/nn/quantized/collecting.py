"""What inference on calibration data leaves: statistics of inputs, firing rates, shapes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from snnquant.calibration import AUTO, SPIKES, input_scale
from snnquant.errors import UsageError
from snnquant.lowering.plan import InputScale
from snnquant.nn.quantized.link import Known, q_modules
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.synapse import QSynapse
from snnquant.observers import TensorStatistics
from snnquant.quantize_options import QuantizeOptions


@dataclass
class Collected:
    """What inference in collect mode left.

    Attributes:
        first: statistics of the model's own input.
        inputs: statistics of the input of every synapse, by path.
        rates: firing rate of every neuron, by path.
        example: arguments of the first forward, without their values.
        method: observer that makes scales of the statistics, once calculated.
        target: target that was calculated for, if it was said.
        input_bits: width that was calculated for, if it was said.
    """

    first: TensorStatistics = field(default_factory=lambda: TensorStatistics("input"))
    inputs: dict[str, TensorStatistics] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    example: tuple[Any, ...] | None = None
    method: str = AUTO
    target: str | None = None
    input_bits: int | None = None

    def has(self, synapse: QSynapse) -> bool:
        """Whether the input of a synapse was seen."""
        return synapse.path in self.inputs

    def take(self, model: nn.Module) -> None:
        """Take what the layers of a model counted.

        Raises:
            UsageError: they saw nothing.
        """
        for path, module in q_modules(model).items():
            if isinstance(module, QSynapse) and module.statistics is not None:
                self.inputs[path] = module.statistics
            if isinstance(module, QNeuron) and module.steps_seen:
                self.rates[path] = module.spikes_seen / module.steps_seen
        if not self.inputs:
            raise UsageError(
                f"{type(model).__name__}: calculate_q_params() was called before any inference; "
                "run the model on calibration data after collect_q_params()"
            )

    def known(self, model: nn.Module, options: QuantizeOptions) -> Known:
        """Return scales and rates of a model's layers under these options.

        Raises:
            UsageError: a synapse is declared to see spikes, and saw analog values.
        """
        bits, default = options.input_bits, options.target.input_observer
        method = default if self.method == AUTO else self.method
        inputs = {
            path: _entry(module, self.inputs.get(path), bits, method)
            for path, module in q_modules(model).items()
            if isinstance(module, QSynapse)
        }
        first = input_scale(self.first, bits, method) if self.first.count else SPIKES
        return Known(inputs, first, self.rates)


def observe(
    model: nn.Module, positional: tuple[Any, ...], named: dict[str, Any], output: Any
) -> None:
    """Keep statistics of the model's own input, and the shapes of its arguments.

    It is called after forward, which refuses what does not fit.
    """
    collected = getattr(model, "_collected", None)
    bound = inspect.signature(model.forward).bind(*positional, **named)
    bound.apply_defaults()
    # What stands behind ``*`` in forward stays at its default when the model is followed.
    arguments = bound.args
    first = next((a for a in arguments if isinstance(a, Tensor)), None)
    if not isinstance(collected, Collected) or first is None:
        return
    collected.first.update(first.detach().float().cpu().numpy())
    if collected.example is None:
        collected.example = pytree.tree_map_only(Tensor, lambda t: t.to("meta"), arguments)


def _entry(
    module: QSynapse, statistics: TensorStatistics | None, bits: int, method: str
) -> InputScale:
    """Return how the input of a synapse enters, if it comes from outside."""
    if statistics is None:
        return SPIKES
    forced = {None: "", True: "analog", False: "spikes"}[module.is_encoder]
    entry = input_scale(statistics, bits, method, forced)
    if forced == "spikes" and not statistics.all_integer:
        raise UsageError(
            f"{module.label}: is_encoder=False, but its collected inputs are analog (from "
            f"{statistics.minimum:g} to {statistics.maximum:g}); leave is_encoder out"
        )
    return entry
