"""What a NIR file leaves open, and how each framework that writes NIR means it.

NIR is continuous: it has no step, no order of a step, and one reset. This table says what the
frameworks compute; a file tells its writer by the resistances, time constants and names that its
exporter makes up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from snnquant.errors import UsageError
from snnquant.frontends.nir.graph import NEURONS, Array, Graph, Node
from snnquant.frontends.reading import FRAMEWORK_NAMES, SourceOptions

#: Step that snnTorch's and SpikingJelly's exporters and importers take.
_DT = 1e-4
_TOLERANCE = 1e-4
RESETS = ("hard", "soft")
DISCRETIZATIONS = ("euler", "exp")
#: Metadata that our own export writes; it says what NIR cannot.
PREFIX = "snnquant."


@dataclass(frozen=True)
class Convention:
    """How the numbers of a file become steps.

    Attributes:
        writer: framework whose convention it is.
        dt: length of a step, in the unit of the file's time constants.
        reset: ``hard`` or ``soft``.
        discretize: ``euler``: ``1 - dt/tau`` of the membrane is kept; ``exp``: ``exp(-dt/tau)``.
        fire_on_equal: spikes at ``v == v_threshold`` too.
        max_spikes: most spikes of one step.
        delayed: a soft reset comes after the next leak.
        loses_input: a hard reset of a CubaLIF or recurrent neuron loses the next step's input.
        jumps: an input adds ``w_in`` to the synaptic current, not ``dt/tau_syn * w_in``.
        whole: a read-out LI adds ``r`` times its input, not ``(1 - alpha) * r`` times.
        steps: IF and I integrate ``r`` per step, not ``dt * r``.
    """

    writer: str
    dt: float
    reset: str = "hard"
    discretize: str = "euler"
    fire_on_equal: bool = False
    max_spikes: int = 1
    delayed: bool = False
    loses_input: bool = False
    jumps: bool = False
    whole: bool = False
    steps: bool = False


NIR = Convention("NIR", _DT)
CONVENTIONS = {
    "snntorch": Convention(
        FRAMEWORK_NAMES["snntorch"], _DT, "soft", delayed=True, loses_input=True
    ),
    "spikingjelly": Convention(FRAMEWORK_NAMES["spikingjelly"], _DT, fire_on_equal=True),
    # Its exporter divides the step by the inverse time constant, so that both are multiplied.
    "norse": Convention(FRAMEWORK_NAMES["norse"], 1e-6, jumps=True, steps=True),
    "sinabs": Convention(
        FRAMEWORK_NAMES["sinabs"],
        1.0,
        "soft",
        "exp",
        fire_on_equal=True,
        max_spikes=255,
        whole=True,
        steps=True,
    ),
}


def convention_of(graph: Graph, options: SourceOptions) -> Convention:
    """Return the convention of a file, with what the user says instead; note all that is assumed.

    Raises:
        UsageError: an option that is none of its values.
    """
    if options.reset not in (None, *RESETS):
        raise UsageError(f"--reset is '{options.reset}', must be one of {', '.join(RESETS)}")
    if options.discretize not in (None, *DISCRETIZATIONS):
        raise UsageError(
            f"--discretize is '{options.discretize}', must be one of {', '.join(DISCRETIZATIONS)}"
        )
    if options.dt is not None and not 0 < options.dt < np.inf:
        raise UsageError(f"--dt is {options.dt:g}, must be a length of time above 0")
    neurons = graph.of_kind(NEURONS)
    found, why = _recognised(graph, neurons)
    graph.notes.append(why)
    chosen = replace(
        found,
        dt=options.dt or found.dt,
        reset=options.reset or found.reset,
        discretize=options.discretize or found.discretize,
        # Nothing is said of several spikes where the user states another reset.
        max_spikes=1 if options.reset == "hard" else found.max_spikes,
    )
    if found.writer != "snnquant":
        graph.notes += _assumptions(chosen, options, neurons)
    return chosen


def _recognised(graph: Graph, neurons: list[Node]) -> tuple[Convention, str]:
    """Return the writer's convention, and a sentence on how it shows."""
    stated = graph.metadata.get(PREFIX + "dt", graph.metadata.get("dt"))
    dt = float(stated.reshape(-1)[0]) if isinstance(stated, np.ndarray) and stated.size else None
    if dt is not None and not 0 < dt < np.inf:
        dt = None
    if PREFIX + "dt" in graph.metadata and dt is not None:
        return Convention("snnquant", dt), "The file was written by snnquant, which says all."
    if dt is not None:
        return replace(NIR, dt=dt), f"The metadata of the file say dt = {dt:g}."
    timed = [n for n in neurons if n.kind != "Threshold"]
    # nirtorch's older exporter names the input so; torch.fx, which SpikingJelly uses, never does.
    traced = "input" not in graph.nodes and "output" in graph.nodes
    extracted = "input" in graph.nodes
    as_given = [n for n in timed if (n.numbers("r", 1.0, infinite=True) != 1).all()]
    common = _common_step(as_given)
    plain = not as_given
    if not timed:
        return NIR, "The file has no time constant, so that no step is needed."
    if traced and _is_spikingjelly(timed) and (common is not None or plain):
        # With decay_input r is 1 and tau alone tells nothing of dt.
        found = replace(CONVENTIONS["spikingjelly"], dt=common or _DT)
        return found, "The file is written as SpikingJelly writes: its neurons compare with >=."
    if (
        extracted
        and as_given == timed
        and common is not None
        and abs(common / _DT - 1) < 1e-3
        and _at_zero(timed)
    ):
        return CONVENTIONS["snntorch"], (
            "The file is written as snnTorch writes (r = tau / 1e-4 in every neuron)."
        )
    if extracted and plain and _is_norse(timed):
        return CONVENTIONS["norse"], (
            "The file is written as Norse writes: its time constants are dt / tau_mem_inv."
        )
    if extracted and plain and _is_sinabs(timed):
        return CONVENTIONS["sinabs"], (
            "The file is written as sinabs writes: its time constants are counted in steps."
        )
    if common is not None and as_given == timed and _is_step(common, timed):
        return replace(NIR, dt=common), (
            f"No framework is recognised; every neuron has r = tau / {common:g}, which is taken "
            "as dt."
        )
    return NIR, "No framework is recognised, so that NIR's own equations hold."


def time_constant(node: Node) -> Array | None:
    """Return the membrane's time constants; None for a neuron without leak."""
    if node.kind in ("IF", "I", "Threshold"):
        return None
    name = "tau_mem" if node.kind.startswith("Cuba") else "tau"
    return node.numbers(name, infinite=True)


def _common_step(neurons: list[Node]) -> float | None:
    """Return the one dt with which every neuron takes its input as it is, if there is one.

    That is ``r = tau / dt`` (``1 / dt`` without leak); infinite where nothing leaks.
    """
    steps: list[float] = []
    for node in neurons:
        tau = time_constant(node)
        r = node.numbers("r", 1.0, infinite=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.atleast_1d((1.0 if tau is None else tau) / r)
        endless = np.isnan(found)
        if tau is not None and (endless & ~np.broadcast_to(np.isinf(tau), found.shape)).any():
            return None
        steps += found[~endless].tolist()
    if not steps:
        return _DT if neurons else None
    low, high = min(steps), max(steps)
    return float(np.median(steps)) if low > 0 and high - low <= _TOLERANCE * high else None


def _is_step(dt: float, neurons: list[Node]) -> bool:
    """Whether ``tau / r`` is so round, or the same for so many, that it is no chance."""
    constants = [tau for node in neurons if (tau := time_constant(node)) is not None]
    spread = np.concatenate([tau.reshape(-1) for tau in constants]) if constants else np.ones(1)
    if not 1e-9 < dt < 1:
        return False
    if spread.max() > 1.01 * spread.min():
        return True
    digits = np.log10(dt)
    return dt < 2e-3 and bool(abs(digits - round(digits)) < 1e-4)


def _at_zero(neurons: list[Node]) -> bool:
    """Whether every neuron rests and resets at 0."""
    names = ("v_leak", "v_reset")
    return all(not n.numbers(name, 0.0).any() for n in neurons for name in names)


def _is_spikingjelly(neurons: list[Node]) -> bool:
    """Whether all parameters are full, uniform float64 arrays, resting where they reset."""
    for node in neurons:
        if node.kind not in ("LIF", "IF", "CubaLIF"):
            return False
        for name in ("r", "v_threshold", "v_reset"):
            held = node.fields.get(name)
            if not isinstance(held, np.ndarray) or held.dtype != np.float64 or not held.size:
                return False
            if (held != held.flat[0]).any():
                return False
        leaks = node.numbers("v_leak", 0.0).reshape(-1)
        if node.kind == "LIF" and (leaks != node.numbers("v_reset").reshape(-1)[0]).any():
            return False
    return True


def _is_norse(neurons: list[Node]) -> bool:
    """Whether parameters are single numbers, and times far below any that a neuron has."""
    for node in neurons:
        tau = time_constant(node)
        threshold = node.numbers("v_threshold", 1.0)
        if threshold.size != 1 or (tau is not None and (tau.size != 1 or float(tau.max()) > 5e-4)):
            return False
    return True


def _is_sinabs(neurons: list[Node]) -> bool:
    """Whether time constants are counts of steps, and nothing rests or resets away from 0."""
    if not _at_zero(neurons):
        return False
    for node in neurons:
        tau = time_constant(node)
        if node.kind not in ("LIF", "LI", "IF") or (tau is not None and float(tau.min()) < 0.5):
            return False
    return True


def _assumptions(chosen: Convention, options: SourceOptions, neurons: list[Node]) -> list[str]:
    """Return what the file does not say and was decided here, a sentence each."""
    notes = []
    timed = [n for n in neurons if n.kind != "Threshold" and not (chosen.steps and n.kind == "IF")]
    spiking = [n for n in neurons if n.kind in ("LIF", "CubaLIF", "IF") and n.resets]
    if timed and options.dt is None:
        notes.append(f"A step is assumed to last dt = {chosen.dt:g} (--dt says another).")
    if timed and options.discretize is None:
        ways = {"euler": "1 - dt/tau", "exp": "exp(-dt/tau)"}
        kept = ways[chosen.discretize]
        other = "exp" if chosen.discretize == "euler" else "euler"
        notes.append(
            f"A step is assumed to keep {kept} of the membrane (--discretize {other} says "
            f"{ways[other]})."
        )
    if spiking and options.reset is None:
        how = "v_reset" if chosen.reset == "hard" else "v - v_threshold"
        other = "soft" if chosen.reset == "hard" else "hard"
        source = (
            "NIR's own" if chosen.reset == "hard" else f"{chosen.writer}'s default, not in the file"
        )
        notes.append(
            f"A spike is assumed to set the membrane to {how} ({source}); if the network was "
            f"trained otherwise, give --reset {other}."
        )
    if spiking and chosen.delayed and chosen.reset == "soft":
        notes.append("The reset comes after the next leak, as snnTorch computes (reset_delay).")
    if spiking and chosen.max_spikes > 1:
        notes.append(
            f"A step can give up to {chosen.max_spikes} spikes, as sinabs' default MultiSpike; "
            f"metadata {PREFIX}max_spikes = 1 of a node says SingleSpike."
        )
    if chosen.whole and any(n.kind == "LI" for n in neurons):
        notes.append("A read-out adds its input as it is, as sinabs' ExpLeak (norm_input=False).")
    if chosen.whole and any(n.kind == "LIF" for n in neurons):
        notes.append("A LIF adds (1 - alpha) times its input, as sinabs' LIF (norm_input=True).")
    if any(n.kind.startswith("Cuba") for n in neurons):
        notes.append("The membrane sees the synaptic current of the same step.")
    return notes
