"""Compare what was read with what is known: outputs in ONNX Runtime, and neurons' parameters."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from snnquant.errors import SnnquantError
from snnquant.neurons import Reset
from snnquant.ops import DOMAIN, schemas
from snnquant.runtime import load_session

GAINS = (1, 4)
BATCHES = (1, 5)
#: Draws of each batch and gain.
SEEDS = 3
#: Outputs may differ where a membrane meets a threshold to within rounding.
KNIFE_EDGES = 0.01
TOLERANCE = 1e-4
#: A found bound on the spikes of one step stands for none from here on.
UNBOUNDED = 8
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
}


def drawn_inputs(session: Any, batch: int, gain: float, seed: int) -> dict[str, np.ndarray]:
    """Draw inputs for a session; dimensions with a name get the batch size."""
    rng = np.random.default_rng(seed)
    return {
        port.name: (
            gain * rng.normal(0.4, 0.6, [d if isinstance(d, int) else batch for d in port.shape])
        ).astype(TYPES[port.type])
        for port in session.get_inputs()
    }


def differing_outputs(path: Path, reading: Any) -> str:
    """Run the original and the canonical graph; return how they differ, or "".

    ``unrunnable ...``: the original ran on no input, so that nothing is known.
    """
    try:
        original = load_session(path, custom_ops=False, threads=1)
    except SnnquantError as error:
        return f"unrunnable: {error}"[:200]
    canonical = load_session(reading.model.SerializeToString(), threads=1)
    names = [port.name for port in original.get_outputs()]
    missing = set(names) - {port.name for port in canonical.get_outputs()}
    if missing:
        return f"outputs {sorted(missing)} are missing"
    known = {port.name for port in canonical.get_inputs()}
    ran = 0
    for batch in BATCHES:
        for gain, seed in itertools.product(GAINS, range(SEEDS)):
            feeds = drawn_inputs(original, batch, gain, 100 * batch + 10 * gain + seed)
            try:
                wanted = original.run(names, feeds)
            except Exception:
                continue  # a batch that the original itself refuses
            ran += 1
            found = canonical.run(names, {k: v for k, v in feeds.items() if k in known})
            for name, want, got in zip(names, wanted, found, strict=True):
                if want.shape != got.shape:
                    return f"output {name}: shape {got.shape} for {want.shape}"
                far = ~np.isclose(
                    want.astype(float), got.astype(float), rtol=1e-4, atol=1e-5, equal_nan=True
                )
                if far.mean() > KNIFE_EDGES:
                    return (
                        f"output {name}: {100 * far.mean():.1f} % differ "
                        f"(batch {batch}, gain {gain}, fixed {reading.fixed_batch})"
                    )
    return "" if ran else "unrunnable: the original ran on no input"


def runs_any_batch(path: Path) -> bool:
    """Return whether ONNX Runtime runs the original with batches other than the example's."""
    try:
        session = load_session(path, custom_ops=False, threads=1)
        for batch in BATCHES:
            session.run(None, drawn_inputs(session, batch, 1, 0))
    except Exception:
        return False
    return True


# -- neurons ---------------------------------------------------------------------------------------


def found_neurons(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """Return the neuron nodes of a canonical graph in the terms of :func:`effective`."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        schema = schemas()[node.op_type]
        values: dict[str, Any] = {
            port.name: constants.get(name)
            for port, name in zip(schema.inputs, node.input, strict=True)
        }
        choices = {a.name: a.i for a in node.attribute}
        found.append(effective(schema.neuron.name, values, choices, schema.recurrent))
    return found


def _array(value: Any) -> np.ndarray:
    return np.asarray(value, np.float64).reshape(-1)


def effective(op: str, values: Any, choices: Any, recurrent: bool) -> dict[str, Any]:
    """Say what a neuron does in numbers that do not depend on how it is written.

    A hard reset before the leak and one after it, or ``alpha = 1`` in either order, are the same
    neuron: what counts is the membrane after the leak. And a constant may be added to the current
    instead of the membrane, so that levels count from the leak's bias; a read-out's output can be
    shifted too, so that nothing is left to tell its levels. ``membrane`` entries lie on the
    membrane's scale, ``fixed`` ones are plain numbers or structure.
    """
    alpha = _array(values.get("alpha", 1.0))
    bias = _array(values.get("leak_bias", 0.0))
    membrane: dict[str, np.ndarray] = {}
    fixed: dict[str, Any] = {"alpha": alpha}
    if op != "LI" and values.get("v_init") is not None:
        membrane["v_init"] = _combined(values["v_init"], bias, np.subtract)
    synaptic = op == "CubaLIF" or choices.get("synaptic", 0)
    fixed["alpha_syn"] = _array(values["alpha_syn"]) if synaptic else np.zeros(1)
    if op == "LI":
        return {"kind": "read-out", "membrane": membrane, "fixed": fixed}
    reset = Reset(choices["reset"])
    membrane["threshold"] = _array(values["v_threshold"])
    after = bool(choices["reset_after_leak"])
    fixed["reset"] = "soft" if reset == Reset.SOFT_CONSTANT else reset.name.lower()
    if reset == Reset.HARD:
        level = _array(values["v_reset"])
        low = _combined(level, bias, np.subtract) if after else _combined(level, alpha, np.multiply)
        membrane["after spike"] = low
    if reset in (Reset.SOFT, Reset.SOFT_CONSTANT):
        amount = _array(values["dv"])
        membrane["subtracted"] = amount if after else _combined(amount, alpha, np.multiply)
    refractory = values.get("refractory_steps") if choices.get("refractory") else 0
    fixed["refractory"] = _array(0 if refractory is None else refractory)
    fixed["equal"] = bool(choices["fire_on_equal"])
    fixed["max_spikes"] = int(choices["max_spikes"])
    fixed["recurrent"] = recurrent
    if op == "ExtendedLIF" and np.all(_array(values["v_min"]) > -1e30):
        membrane["v_min"] = _combined(values["v_min"], bias, np.subtract)
    if op == "ExtendedLIF":
        rise, drift = _array(values["threshold_increment"]), _array(values["threshold_bias"])
        if np.any(rise != 0) or np.any(drift != 0):
            membrane["threshold_increment"], membrane["threshold_bias"] = rise, drift
            fixed["threshold_decay"] = _array(values["threshold_decay"])
            fixed["reset moves"] = reset == Reset.SOFT
    return {"kind": "spiking", "membrane": membrane, "fixed": fixed}


def expected_neuron(known: dict[str, Any]) -> dict[str, Any]:
    """Return a neuron of the zoo's ground truth in the terms of :func:`effective`."""
    values = {"alpha": known["alpha"], "leak_bias": known["leak_bias"], "v_init": known["v_init"]}
    values["alpha_syn"] = known["alpha_syn"]
    if known["op"] == "LI":
        return effective("LI", values, {"synaptic": known["alpha_syn"] is not None}, False)
    adaptation = known["adaptation"]
    decay, drift, rise = adaptation or (1.0, 0.0, 0.0)
    values |= {
        "v_threshold": known["threshold"],
        "dv": known["dv"],
        "v_reset": known["v_reset"],
        "v_min": -3e38 if known["v_min"] is None else known["v_min"],
        "refractory_steps": known["refractory"],
        "threshold_decay": decay,
        "threshold_bias": drift,
        "threshold_increment": rise,
    }
    constant = known.get("constant", False)
    choices = {
        "reset": {"hard": Reset.HARD, "none": Reset.NONE}.get(
            known["reset"], Reset.SOFT_CONSTANT if constant else Reset.SOFT
        ),
        "reset_after_leak": known["after_leak"],
        "fire_on_equal": known["equal"],
        "max_spikes": known["max_spikes"],
        "refractory": known["refractory"] > 0,
    }
    return effective(known["op"], values, choices, known["recurrent"])


def _combined(a: Any, b: Any, how: Any) -> np.ndarray:
    a, b = _array(a), _array(b)
    size = max(a.size, b.size)
    return np.asarray(how(_spread(a, size), _spread(b, size)))


def _spread(values: np.ndarray, size: int) -> np.ndarray | None:
    """Return one value per neuron, where there is one in all or one per channel."""
    return None if size % values.size else np.repeat(values, size // values.size)


def _close(a: np.ndarray, b: np.ndarray, factor: np.ndarray | None = None) -> bool:
    factor = np.ones(1) if factor is None else factor
    size = max(a.size, b.size, factor.size)
    parts = [_spread(part, size) for part in (a, b, factor)]
    if any(part is None for part in parts):
        return False
    one, two, ratio = parts
    return bool(np.all(np.abs(one - two * ratio) <= TOLERANCE * np.maximum(1, np.abs(two * ratio))))


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return the names in which two neurons differ, free of a common factor of the membrane.

    A spelling such as ``5 * (v - 1) >= 0`` also shifts the membrane, so that its threshold is 0:
    what counts then is how far from the threshold the levels are.
    """
    names = _difference(found, wanted)
    if names and found["kind"] == wanted["kind"] == "spiking":
        return names if _difference(_from_threshold(found), _from_threshold(wanted)) else []
    return names


def _from_threshold(neuron: dict[str, Any]) -> dict[str, Any]:
    """Count levels from the threshold, in units of what a spike takes (or of the first level)."""
    membrane = dict(neuron["membrane"])
    left = _combined(neuron["fixed"]["alpha"], membrane.pop("threshold"), np.multiply)
    for name in {"v_init", "after spike", "v_min"} & set(membrane):
        membrane[name] = _combined(membrane[name], left, np.subtract)
    unit = membrane.get("subtracted", membrane.get("after spike"))
    if unit is not None and np.all(unit != 0):
        membrane = {k: _combined(v, np.abs(unit), np.divide) for k, v in membrane.items()}
    return {**neuron, "membrane": membrane}


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    if found["kind"] != wanted["kind"]:
        return ["kind"]
    names = [
        name
        for name in sorted({*found["fixed"], *wanted["fixed"]})
        if not _same(found["fixed"].get(name), wanted["fixed"].get(name))
    ]
    counts = [found["fixed"].get("max_spikes", 1), wanted["fixed"].get("max_spikes", 1)]
    if "max_spikes" in names and min(counts) >= UNBOUNDED:
        names.remove("max_spikes")
    one, two = found["membrane"], wanted["membrane"]
    shared = {*one, *two}
    if "v_init" not in one or "v_init" not in two:
        shared.discard("v_init")  # a state of its own, or not known
    factor = _factor(one.get("threshold"), two.get("threshold"))
    for name in sorted(shared):
        a, b = one.get(name), two.get(name)
        if a is None or b is None or not _close(a, b, factor):
            names.append(name)
    return names


def _factor(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray:
    """Return the ratio of two thresholds where both can stand for the same neuron."""
    if a is None or b is None:
        return np.ones(1)
    size = max(a.size, b.size)
    one, two = _spread(a, size), _spread(b, size)
    if one is None or two is None or np.any(two == 0) or np.any(one / two <= 0):
        return np.ones(1)
    return np.ones(1) if np.allclose(one / two, 1, atol=TOLERANCE) else one / two


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return _close(a, b)
    return bool(a == b)


def differing_parameters(model: onnx.ModelProto, known: Sequence[Sequence[Any]]) -> str:
    """Compare all neurons with the truth (a list of alternatives each); return what differs."""
    found = found_neurons(model)
    if len(found) != len(known):
        return f"{len(found)} neurons for {len(known)}"
    left = list(range(len(found)))
    for k, alternatives in enumerate(known):
        wanted = [expected_neuron(a) for a in alternatives]
        tried = [(min((difference(found[i], w) for w in wanted), key=len), i) for i in left]
        names, best = min(tried, key=lambda pair: (len(pair[0]), pair[1]))
        if names:
            shown = ", ".join(
                f"{n} {_show(found[best], n)} for {_show(wanted[0], n)}" for n in names
            )
            return f"neuron {k}: {shown}"
        left.remove(best)
    return ""


def _show(neuron: dict[str, Any], name: str) -> str:
    value = neuron["fixed"].get(name, neuron["membrane"].get(name, neuron.get(name)))
    if isinstance(value, np.ndarray):
        return np.array2string(value[:3], precision=4)
    return str(value)
