"""From NIR's differential equations to the constants of a neuron's step.

``tau dv/dt = (v_leak - v) + r u`` becomes ``h = alpha * v + (1 - alpha) * (v_leak + r * u)`` with
``alpha = 1 - dt/tau`` (euler) or ``exp(-dt/tau)`` (exact for a current that is constant during the
step). The neurons of the op set cut the same loop behind the leak and take ``u`` as it is, so that
the gain ``(1 - alpha) * r`` goes into the constants: a spiking neuron whose threshold, reset and
leak bias are divided by the gain gives the same spikes, whatever feeds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from snnquant.errors import ModelError
from snnquant.frontends.nir.convention import PREFIX, Convention, time_constant
from snnquant.frontends.nir.graph import INTEGRATORS, NEURONS, Array, Graph, Node
from snnquant.frontends.nir.tree import Field
from snnquant.neurons import CUBALIF, LI, LIF, NeuronModel, Reset

#: A factor so close to 1 was meant to be 1.
_ROUNDING = 1e-6
#: Beyond it float32 cannot hold a threshold that is divided by the factor.
_LARGEST_GAIN = 1e20
_PARAMETERS = frozenset(
    {"tau", "tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in", "threshold"}
)
_RESETS = {"hard": Reset.HARD, "soft": Reset.SOFT, "none": Reset.NONE}


@dataclass(frozen=True)
class Neuron:
    """One neuron of the graph.

    Attributes:
        model: its definition.
        parameters: real values by name, float64, scalar or as the file has them.
        choices: structural choices that are not the default.
        gain: what the current is multiplied by in front of it (read-outs only; else 1).
    """

    model: NeuronModel
    parameters: Mapping[str, Array]
    choices: Mapping[str, int]
    gain: Array


def fitted(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """Return the graph with the parameters of all neurons shaped to broadcast to the features.

    Args:
        graph: the graph.
        shapes: of one step behind each node; parameters are one number, one per channel, or one
            per neuron.

    Raises:
        ModelError: a parameter does not fit.
    """
    nodes = dict(graph.nodes)
    for node in graph.of_kind(NEURONS):
        if node.path in shapes:
            shape = shapes[node.path]
            nodes[node.path] = replace(
                node,
                fields={n: _fit(node, n, v, shape) for n, v in node.fields.items() if np.size(v)},
                metadata={
                    n: _fit(node, n, v, shape) if n.startswith(PREFIX) else v
                    for n, v in node.metadata.items()
                },
            )
    return Graph(nodes, graph.edges, graph.metadata, graph.notes)


def _fit(node: Node, name: str, held: Field, shape: tuple[int, ...]) -> Field:
    """Return one parameter shaped to broadcast."""
    if isinstance(held, str) or (name not in _PARAMETERS and not name.startswith(PREFIX)):
        return held
    if held.size == 1:
        return held.reshape(())
    if held.shape == shape[:1]:
        return held.reshape(shape[:1] + (1,) * (len(shape) - 1))
    fits = held.ndim == len(shape) and all(
        a in (1, b) for a, b in zip(held.shape, shape, strict=True)
    )
    if not fits:
        raise ModelError(
            f"node '{node.path}' ({node.kind}): {name} has the shape {list(held.shape)}, its "
            f"neurons {list(shape)}"
        )
    return held


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # what overflows is refused
def neuron_of(node: Node, convention: Convention, recurrent: bool) -> Neuron:
    """Return the neuron that a NIR node is under a convention.

    Args:
        node: the node, its parameters shaped to broadcast (:func:`fitted`).
        convention: what NIR leaves open.
        recurrent: whether the neuron's spikes feed it.

    Raises:
        ModelError: a step is longer than a time constant, or the input does not act.
        NumericalError: NaN or infinite parameters.
    """
    if node.kind == "Threshold":
        zero = np.zeros(())
        return Neuron(
            LIF,
            {"alpha": zero, "v_threshold": node.numbers("threshold")},
            {"reset": Reset.NONE, "fire_on_equal": int(convention.fire_on_equal)},
            np.ones(()),
        )
    alpha, share, gain = _membrane(node, convention)
    leaks = time_constant(node) is not None
    rest = node.numbers("v_leak", 0.0) if leaks else np.zeros(())
    parameters: dict[str, Array] = {"alpha": alpha, "leak_bias": share * rest}
    synaptic = node.kind.startswith("Cuba")
    if synaptic:
        parameters["alpha_syn"], share = _decay(node, "tau_syn", convention)
        w_in = node.numbers("w_in", 1.0, infinite=True)
        gain = gain * (w_in if convention.jumps else _product(share, w_in, node, "tau_syn"))
    if not ((gain > 1 / _LARGEST_GAIN) & (gain < _LARGEST_GAIN)).all():
        raise ModelError(
            f"node '{node.path}' ({node.kind}): its input acts with the factor {gain.min():g} per "
            f"step; dt = {convention.dt:g} does not fit its time constants, give --dt"
        )
    # Writers compute r from tau and dt in float32, to cancel them.
    gain = np.where(np.abs(gain - 1) < _ROUNDING, 1.0, gain)
    if node.kind in INTEGRATORS:
        start = _given(node, "v_init", rest)
        choices = {"synaptic": int(synaptic)}
        return Neuron(LI, parameters | {"v_init": start}, choices, gain)
    threshold = node.numbers("v_threshold")
    reset = _reset(node, convention)
    parameters |= {
        "v_threshold": threshold,
        "dv": _given(node, "dv", threshold),
        "v_reset": node.numbers("v_reset", 0.0),
        # At first the membrane rests; behind the leak it still does.
        "v_init": _given(node, "v_init", rest if leaks else node.numbers("v_reset", 0.0)),
    }
    blocked = int(
        reset is Reset.HARD and convention.loses_input and (synaptic or recurrent) and node.resets
    )
    refractory = _given(node, "refractory_steps", np.full((), float(blocked)))
    scaled = {k: v if k.startswith("alpha") else v / gain for k, v in parameters.items()}
    choices = {
        "reset": int(reset),
        "reset_after_leak": _choice(
            node, "reset_after_leak", convention.delayed and reset is Reset.SOFT
        ),
        "fire_on_equal": _choice(node, "fire_on_equal", convention.fire_on_equal),
        "max_spikes": _choice(node, "max_spikes", convention.max_spikes),
        "refractory": int(bool(refractory.any())),
    }
    model = CUBALIF if synaptic else LIF
    return Neuron(model, scaled | {"refractory_steps": refractory}, choices, np.ones(()))


def _membrane(node: Node, convention: Convention) -> tuple[Array, Array, Array]:
    """Return what a step keeps of the membrane, the rest, and the factor of its input."""
    r = node.numbers("r", 1.0, infinite=True)
    if time_constant(node) is None:
        return np.ones(()), np.zeros(()), r * (1.0 if convention.steps else convention.dt)
    name = "tau_mem" if node.kind.startswith("Cuba") else "tau"
    alpha, share = _decay(node, name, convention)
    if convention.whole and node.kind in INTEGRATORS:
        return alpha, share, _product(np.ones(()), r, node, name)
    return alpha, share, _product(share, r, node, name)


def _decay(node: Node, name: str, convention: Convention) -> tuple[Array, Array]:
    """Return what a step keeps by a time constant, and the rest."""
    tau = node.numbers(name, infinite=True)
    if not (tau > 0).all():
        raise ModelError(f"node '{node.path}' ({node.kind}): {name} is {tau.min():g}, must be > 0")
    share = convention.dt / tau
    if convention.discretize == "exp":
        share = -np.expm1(-share)
    # float32 writers round dt and tau apart.
    if (share > 1 + 1e-5).any():
        raise ModelError(
            f"node '{node.path}' ({node.kind}): {name} = {tau.min():g} is shorter than the step "
            f"dt = {convention.dt:g}; give a shorter --dt, or --discretize exp"
        )
    share = np.minimum(share, 1.0)
    return 1 - share, share


def _product(share: Array, factor: Array, node: Node, name: str) -> Array:
    """Return ``share * factor``, 1 where a time constant without end meets a factor without end.

    snnTorch writes neurons that keep everything so.
    """
    endless = np.isinf(factor) & (share == 0)
    if (np.isinf(factor) & (share > 0)).any():
        raise ModelError(
            f"node '{node.path}' ({node.kind}) has an infinite input factor at a finite {name}"
        )
    finite = np.where(np.isinf(factor), 0.0, factor)
    return np.where(endless, 1.0, share * finite)


def _reset(node: Node, convention: Convention) -> Reset:
    """Return what a spike does, as the node's metadata or else the convention says."""
    if not node.resets:
        return Reset.NONE
    stated = node.hint(PREFIX + "reset")
    return _RESETS[stated if stated in _RESETS else convention.reset]


def _given(node: Node, name: str, default: Array) -> Array:
    """Return a parameter from the node's metadata, or its default."""
    held = node.metadata.get(PREFIX + name)
    if not isinstance(held, np.ndarray) or not held.size or not np.isfinite(held).all():
        return default
    return np.asarray(held, np.float64)


def _choice(node: Node, name: str, default: int) -> int:
    """Return a structural choice from the node's metadata, or its default, within its range."""
    held: Any = node.hint(PREFIX + name)
    known = next(choice for choice in LIF.choices if choice.name == name)
    value = int(held) if isinstance(held, (int, float, np.number, np.bool_)) else int(default)
    if not known.low <= value <= known.high:
        raise ModelError(
            f"node '{node.path}': metadata {PREFIX}{name} is {value}, must be from {known.low} to "
            f"{known.high}"
        )
    return value
