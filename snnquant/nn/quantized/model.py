"""The quantizable model: the steps from a trained network to integers."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from snnquant.calibration import AUTO
from snnquant.errors import UsageError
from snnquant.lowering.plan import InputScale
from snnquant.nn.quantized import checkpoint
from snnquant.nn.quantized.collecting import Collected, observe
from snnquant.nn.quantized.link import Decisions, Known, decide, q_modules
from snnquant.nn.quantized.mode import Mode
from snnquant.nn.quantized.module import QModule
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.synapse import QSynapse
from snnquant.observers import OBSERVERS
from snnquant.quantize_options import QuantizeOptions, choose_options
from snnquant.target import load_target


class QModel(nn.Module):
    """Base of models made of quantizable layers; in float mode an ordinary torch module.

    The steps: train; ``fuse_conv_bn(model)``; and, where an encoder layer takes analog inputs,
    :meth:`collect_q_params`, inference, :meth:`calculate_q_params`; then :meth:`quantize`, plain
    inference, :meth:`save_quantized_model`. :meth:`aware` trains on with the integers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._mode = Mode.FLOAT
        self._collected: Collected | None = None
        self._options: QuantizeOptions | None = None
        self._hook: Any = None

    @property
    def mode(self) -> Mode:
        """What forward does now."""
        return self._mode

    @property
    def options(self) -> QuantizeOptions | None:
        """Target and widths of the integers; None in floating point."""
        return self._options

    # -- collecting ------------------------------------------------------------------------------

    def collect_q_params(self) -> None:
        """Keep statistics of all inference from now on, for the scales of analog inputs.

        Raises:
            UsageError: the model is quantized, or has no quantizable layer.
        """
        if self._mode in (Mode.QUANTIZED, Mode.AWARE):
            raise self._out_of_order("collect_q_params", "dequantize()", "is in integers")
        for module in self._layers().values():
            if isinstance(module, QSynapse):
                module.statistics = None
            if isinstance(module, QNeuron):
                module.spikes_seen, module.steps_seen = 0.0, 0
            module.mode = Mode.COLLECT
        self._collected = Collected()
        self._stop_observing()
        self._hook = self.register_forward_hook(observe, with_kwargs=True)
        self._settle(Mode.COLLECT)

    def _layers(self) -> dict[str, QModule]:
        """Return the quantizable layers by path; UsageError if there is none."""
        modules = q_modules(self)
        if not modules:
            raise UsageError(
                f"{type(self).__name__}: has no quantizable layer; build it from QLinear, QConv2d, "
                "QLIF and their like"
            )
        return modules

    def _stop_observing(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def calculate_q_params(
        self, *, target: str | None = None, input_bits: int | None = None, method: str = AUTO
    ) -> dict[str, InputScale]:
        """Work out how every outside input enters the integers, and go back to float mode.

        Args:
            target: arithmetic profile, for its width and observer; what :meth:`quantize` and
                :meth:`aware` take, too, where they are not told another; default "generic".
            input_bits: width of analog inputs, kept likewise; default: the target's.
            method: observer, kept likewise; "auto": the target's.

        Returns:
            Scale and range per synapse path, of every synapse that was used. Only those whose
            input comes from outside the spikes are encoders.

        Raises:
            UsageError: nothing was collected, the model is quantized, or an input does not fit its
                ``is_encoder``.
        """
        collected = self._collected
        if self._mode in (Mode.QUANTIZED, Mode.AWARE):
            raise self._out_of_order("calculate_q_params", "dequantize()", "is in integers")
        if collected is None:
            raise self._out_of_order(
                "calculate_q_params", "collect_q_params()", "has collected nothing"
            )
        if method != AUTO and method not in OBSERVERS:
            raise UsageError(
                f"calculate_q_params: method is {method!r}, must be one of "
                f"{', '.join((AUTO, *OBSERVERS))}"
            )
        if self._mode is Mode.COLLECT:
            collected.take(self)
        collected.method, collected.target, collected.input_bits = method, target, input_bits
        known = collected.known(self, self._choose(None, None, None, None))
        self._stop_observing()
        for module in q_modules(self).values():
            module.mode = Mode.FLOAT
        self._settle(Mode.FLOAT)
        return dict(known.inputs)

    def known(self) -> Known:
        """Return the scales and firing rates that the integers were made with.

        Raises:
            UsageError: the model is not in integers.
        """
        if self._options is None:
            raise self._out_of_order("known", "quantize()", "is not in integers")
        return self._data().known(self, self._options)

    # -- quantizing ------------------------------------------------------------------------------

    def quantize(
        self,
        target: str | None = None,
        *,
        weight_bits: int | None = None,
        input_bits: int | None = None,
        per_channel: bool | None = None,
        example_input: Any = None,
    ) -> None:
        """Compute in integers from now on.

        After :meth:`aware`, without arguments, the integers are those that were trained.

        Args:
            target: arithmetic profile, by name or path; default: that of
                :meth:`calculate_q_params`, else "generic".
            weight_bits: width of weights; default: the target's.
            input_bits: width of analog inputs; default: that of :meth:`calculate_q_params`, else
                the target's.
            per_channel: one weight scale per output channel; default: the target's.
            example_input: an input (or tuple of forward's arguments) to follow forward with, for
                models that nothing was collected on and that decide by shapes.

        Raises:
            UsageError: a step is missing, or forward does what has no integer form.
            ModelError: a neuron that the target does not have.
            NumericalError: values for which no faithful integers exist.
        """
        given = (target, weight_bits, input_bits, per_channel, example_input)
        if self._mode is Mode.AWARE and all(entry is None for entry in given):
            self._freeze()
            return
        self._begin(
            Mode.QUANTIZED,
            "quantize",
            self._choose(target, weight_bits, input_bits, per_channel),
            example_input,
        )

    def aware(
        self,
        target: str | None = None,
        *,
        weight_bits: int | None = None,
        input_bits: int | None = None,
        per_channel: bool | None = None,
        example_input: Any = None,
    ) -> None:
        """Train with the integers from now on: forward is theirs, gradients pass straight through.

        Forward gives what :meth:`quantize` would give, spike for spike. The scales are chosen now
        and stay; weights, and neuron parameters that are learned, are rounded in every forward.

        Args:
            target: as of :meth:`quantize`.
            weight_bits: as of :meth:`quantize`.
            input_bits: as of :meth:`quantize`.
            per_channel: as of :meth:`quantize`.
            example_input: as of :meth:`quantize`.

        Raises:
            UsageError: a step is missing, or forward does what has no integer form.
            ModelError: a neuron that the target does not have.
            NumericalError: values for which no faithful integers exist.
        """
        options = self._choose(target, weight_bits, input_bits, per_channel)
        self._begin(Mode.AWARE, "aware", options, example_input)

    def _begin(self, mode: Mode, step: str, options: QuantizeOptions, example_input: Any) -> None:
        if self._mode is Mode.COLLECT:
            raise self._out_of_order(step, "calculate_q_params()", "is still collecting")
        for module in self._layers().values():
            if isinstance(module, QSynapse) and module.is_encoder and not self._data().has(module):
                raise UsageError(
                    f"{module.label}: is an encoder, but the scale of its input was not collected; "
                    f"call collect_q_params(), run inference and calculate_q_params() before "
                    f"{step}()"
                )
        decisions = decide(
            self, options, self._data().known(self, options), self._example(example_input)
        )
        self._take(decisions, options, mode)

    def _choose(
        self,
        target: str | None,
        weight_bits: int | None,
        input_bits: int | None,
        per_channel: bool | None,
    ) -> QuantizeOptions:
        """Fill what is left open from what was calculated, then from the target."""
        data = self._data()
        profile = load_target(target or data.target or "generic")
        bits = data.input_bits if input_bits is None else input_bits
        return choose_options(profile, weight_bits, bits, per_channel)

    def _data(self) -> Collected:
        """Return what was collected, or nothing."""
        return self._collected or Collected()

    def _example(self, given: Any) -> tuple[Any, ...] | None:
        """Return arguments to follow forward with: those given, or of the collected shapes."""
        if given is not None:
            arguments = given if isinstance(given, tuple) else (given,)
            if not any(isinstance(entry, Tensor) for entry in arguments):
                raise UsageError(
                    f"{type(self).__name__}: example_input is a {type(given).__name__}, must be a "
                    "tensor, or a tuple of forward's arguments with one among them"
                )
            return arguments
        if self._collected is None or self._collected.example is None:
            return None
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        zeros: tuple[Any, ...] = pytree.tree_map_only(
            Tensor,
            lambda t: torch.zeros(t.shape, dtype=t.dtype, device=device),
            self._collected.example,
        )
        return zeros

    def _take(self, decisions: Decisions, options: QuantizeOptions, mode: Mode) -> None:
        """Let every layer take what was decided; nothing changes where one of them has no form."""
        made: dict[QModule, tuple[Any, Any]] = {
            synapse: (settings, synapse.integers(settings))
            for synapse, settings in decisions.synapses.items()
        }
        for neuron, uses in decisions.neurons.items():
            made[neuron] = (uses, {entry.group: neuron.integers(entry) for entry in uses})
        for module in q_modules(self).values():
            module.dequantize()
            settings, integers = made.get(module, (None, None))
            module.quantize(settings, mode, integers)
        self._settle(mode, options)

    def _settle(self, mode: Mode, options: QuantizeOptions | None = None) -> None:
        """Note the mode, in models that are part of this one, too."""
        for module in self.modules():
            if isinstance(module, QModel):
                module._mode, module._options = mode, options

    def _freeze(self) -> None:
        """Go from aware to quantized mode with the scales that were trained."""
        modules, options = q_modules(self).values(), self._options
        if options is None:
            raise RuntimeError("a model in aware mode has no options")
        synapses = {m: m.settings for m in modules if isinstance(m, QSynapse) and m.settings}
        neurons = {m: list(m.settings.values()) for m in modules if isinstance(m, QNeuron)}
        self._take(Decisions(synapses, neurons), options, Mode.QUANTIZED)

    def dequantize(self) -> None:
        """Compute in floating point again; the integers are dropped, the statistics stay.

        Raises:
            UsageError: the model is not in integers.
        """
        if self._mode not in (Mode.QUANTIZED, Mode.AWARE):
            raise self._out_of_order("dequantize", "quantize()", "is not in integers")
        for module in q_modules(self).values():
            module.dequantize()
        self._settle(Mode.FLOAT)

    def _out_of_order(self, step: str, missing: str, state: str) -> UsageError:
        return UsageError(f"{type(self).__name__}: {state}; call {missing} before {step}()")

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Load real parameters, as every torch module does; not while they stand for integers.

        Raises:
            UsageError: the model is quantized.
        """
        if self._mode is Mode.QUANTIZED:
            raise self._out_of_order("load_state_dict", "dequantize()", "is quantized")
        return super().load_state_dict(*arguments, **options)

    # -- files -----------------------------------------------------------------------------------

    def save_quantized_model(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Write real parameters, integers and scales to one file.

        Args:
            checkpoint_path: file to write; it is replaced only when complete.

        Raises:
            UsageError: the model is not quantized, or the file cannot be written.
        """
        if self._mode is not Mode.QUANTIZED or self._options is None:
            raise self._out_of_order("save_quantized_model", "quantize()", "is not quantized")
        checkpoint.save(self, self._options, self._collected, checkpoint_path)

    def load_quantized_model(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Read what :meth:`save_quantized_model` wrote into a model of the same structure.

        No code from the file is run: it holds arrays and one JSON text.

        Args:
            checkpoint_path: file to read.

        Raises:
            ModelError: no such file, not such a file, or of another model or version.
        """
        loaded = checkpoint.load(self, checkpoint_path)
        self._stop_observing()
        self._collected = loaded.collected
        self._settle(Mode.QUANTIZED, loaded.options)
