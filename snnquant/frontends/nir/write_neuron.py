"""From a neuron's constants back to NIR's differential equations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.nir.convention import PREFIX
from snnquant.frontends.nir.graph import Array
from snnquant.frontends.nir.tree import Field, RawNode
from snnquant.neurons import CUBALIF, LI, LIF, NeuronModel, Reset

#: Leak of a neuron that keeps all, beside others that leak: in float32 it keeps all still.
_NO_LEAK = 1e-9


@dataclass(frozen=True)
class Written:
    """A neuron as NIR nodes, in a row.

    Attributes:
        nodes: the neuron; without a reset an integrator and a Threshold.
        lost: what a reader other than snnquant does not see, half a sentence each.
    """

    nodes: tuple[RawNode, ...]
    lost: tuple[str, ...]


def write_neuron(
    name: str,
    model: NeuronModel,
    parameters: Mapping[str, Array],
    choices: Mapping[str, int],
    features: tuple[int, ...],
    dt: float,
) -> Written:
    """Return the NIR nodes of a neuron.

    Args:
        name: for messages.
        model: its definition.
        parameters: real values by name, shaped to broadcast to the features.
        choices: structural choices.
        features: shape of one step.
        dt: length of a step in seconds.

    Raises:
        ModelError: NIR has no such neuron.
    """
    if model not in (LIF, CUBALIF, LI):
        raise ModelError(
            f"neuron '{name}' is a {model.name}, which NIR cannot express (adaptive threshold, "
            "lower bound); export a network of LIF, CubaLIF and LI neurons"
        )
    synaptic = model is CUBALIF or bool(choices.get("synaptic", 0))
    whole = {key: np.broadcast_to(value, features) for key, value in parameters.items()}
    alpha, bias = whole["alpha"], whole["leak_bias"]
    if min(alpha.min(), whole.get("alpha_syn", alpha).min()) < 0 or alpha.max() > 1:
        raise ModelError(f"neuron '{name}': alpha must be from 0 to 1 to be a time constant")
    fields: dict[str, Field] = {}
    if (alpha == 1).all() and not bias.any() and not synaptic:
        kind, rest = "I", np.zeros(features)
        fields["r"] = np.full(features, 1 / dt)
    else:
        kind = "CubaLI" if synaptic else "LI"
        leak = np.maximum(1 - alpha, _NO_LEAK)
        fields["tau_mem" if synaptic else "tau"] = dt / leak
        fields["r"] = 1 / leak
        fields["v_leak"] = rest = bias / leak
        if synaptic:
            decay = np.maximum(1 - whole["alpha_syn"], _NO_LEAK)
            fields |= {"tau_syn": dt / decay, "w_in": 1 / decay}
    metadata: dict[str, Field] = {}
    if model is LI:
        _state(metadata, "v_init", whole["v_init"], rest)
        return Written((RawNode(kind, fields, metadata),), _start_lost(metadata))
    firing: dict[str, Field] = {"v_threshold": whole["v_threshold"], "v_reset": whole["v_reset"]}
    resets = choices["reset"] != Reset.NONE
    lost = _spiking_choices(metadata, choices)
    at_first = whole["v_reset"] if kind == "I" and resets else rest
    _state(metadata, "v_init", whole["v_init"], at_first)
    if choices["reset"] in (Reset.SOFT, Reset.SOFT_CONSTANT) or choices["max_spikes"] > 1:
        _state(metadata, "dv", whole["dv"], whole["v_threshold"])
    if choices["refractory"] and whole["refractory_steps"].any():
        metadata[PREFIX + "refractory_steps"] = whole["refractory_steps"]
        lost += ("is refractory",)
    lost += _start_lost(metadata)
    if resets:
        spiking = {"LI": "LIF", "CubaLI": "CubaLIF", "I": "IF"}[kind]
        return Written((RawNode(spiking, fields | firing, metadata),), lost)
    threshold = RawNode("Threshold", {"threshold": firing["v_threshold"]}, metadata)
    integrator = RawNode(kind, fields)
    return Written((integrator, threshold), lost)


def _spiking_choices(metadata: dict[str, Field], choices: Mapping[str, int]) -> tuple[str, ...]:
    """Record the structure that NIR has no field for; return it in words."""
    lost = []
    if choices["reset"] in (Reset.SOFT, Reset.SOFT_CONSTANT):
        metadata[PREFIX + "reset"] = "soft"
        lost.append("subtracts at a spike instead of resetting to v_reset")
    words = {
        "reset_after_leak": "resets behind the leak",
        "fire_on_equal": "fires at v == v_threshold too",
        "max_spikes": f"gives up to {choices['max_spikes']} spikes per step",
    }
    for name, what in words.items():
        known = next(choice for choice in LIF.choices if choice.name == name)
        unused = name == "reset_after_leak" and choices["reset"] == Reset.NONE
        if choices[name] != known.default and not unused:
            metadata[PREFIX + name] = np.array(choices[name])
            lost.append(what)
    return tuple(lost)


def _state(metadata: dict[str, Field], name: str, value: Array, default: Array) -> None:
    """Record a parameter that is not what a reader takes by itself."""
    if (value.astype(np.float32) != default.astype(np.float32)).any():
        metadata[PREFIX + name] = value


def _start_lost(metadata: Mapping[str, Field]) -> tuple[str, ...]:
    """Say so where the first membrane, or what a spike subtracts, is recorded."""
    words = {"v_init": "starts at another membrane than at rest", "dv": "subtracts another amount"}
    return tuple(what for name, what in words.items() if PREFIX + name in metadata)
