"""Print the table of what is recognised, or write it into the README.

usage: python tests/frontends/recognised_table.py [--write]

Every row exports a net of the zoo and reads it; what it becomes is said from the neuron nodes that
were written, or from the message of the refusal.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import multiprocessing
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from recognised_rows import NEURONS, STRUCTURES, Row
from zoo.base import ZooNet
from zoo.export import export
from zoo.registry import nets
from zoo.variant import Variant
from zoo.variants import variants

from snnquant.errors import ModelError
from snnquant.frontends import Reading
from snnquant.frontends.onnx import read_proto
from snnquant.neurons import Reset
from snnquant.ops import DOMAIN, schemas

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- recognised -->\n", "<!-- end recognised -->"
INTRO = """\

### What is recognised

A neuron is recognised by what it computes, however that is written: all parameters come from the
graph, every neuron is simulated again on random currents and must agree spike for spike, and so
must the whole network. `h` is the membrane that the threshold sees; a soft reset subtracts the
threshold unless a number is given; "after the leak" means that a spike takes effect on the leaked
membrane of the next step. What is refused, the message says with the place and what to do.

<details><summary>Neurons of each framework and written by hand, read-outs, structures</summary>
"""
OUTRO = """
`python tests/frontends/recognised_table.py --write` exports these networks from the frameworks,
reads them, and renews this table.

</details>
"""
REFUSED = "**refused**"
#: From this many spikes of one step on there is no limit.
UNLIMITED = 255
#: What moves no value; it is no part of what a network computes.
_SHAPES = {
    *("Constant", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Shape", "Identity"),
    *("Expand", "Tile", "ConstantOfShape"),
}
#: What belongs to one net in a message: names and measured numbers; and what explains or advises.
_PARTICULARS = (
    (r"^neuron '[^']*' is not understood: ", ""),
    (r"node '[^']*' \((\w+)\)", r"\1"),
    (r"(: |; ).*", ""),
    (r" \((by up to|as in|'[^']*')[^)]*\)", ""),
    (r"\b([A-Z]\w+) '[^']*'", r"\1"),
    (r"'[^']*'", "a value"),
    (r"-?\d+\.\d{3,}", "…"),
)


def read_row(row: Row) -> Reading | str:
    """Export and read the net of a row; return the reading, or why it is refused."""
    model = _exported(row)
    try:
        return read_proto(model, row.net)
    except ModelError as error:
        return str(error)


def known(row: Row) -> ZooNet | Variant:
    """Return the net of a row, and what is known of it."""
    group = row.net.split("/")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of frameworks at their import
        listed = variants() if group in ("loop", "step", "naive", "wrong") else nets([group])
    (found,) = [one for one in listed if one.name == row.net]
    return found


def _exported(row: Row) -> onnx.ModelProto:
    found = known(row)
    if isinstance(found, Variant):
        return found.export(row.exporter)
    return export(found, row.exporter)


# -- words -----------------------------------------------------------------------------------------


def said_of_neuron(row: Row, read: Reading | str) -> str:
    """Return the entry of a neuron."""
    if isinstance(read, str):
        return refusal(read, row.net)
    nodes = [n for n in read.model.graph.node if n.domain == DOMAIN]
    return described(read.model, nodes[-1 if row.last else 0])


def said_of_structure(row: Row, read: Reading | str) -> str:
    """Return the entry of a network: its neurons, T, batch, and what is between them."""
    if isinstance(read, str):
        return refusal(read, row.net)
    nodes = read.model.graph.node
    neurons = [n for n in nodes if n.domain == DOMAIN]
    layers = f"{len(neurons)} layer{'s' * (len(neurons) > 1)} of neurons"
    props = {p.key: p.value for p in read.model.metadata_props}
    steps = props.get("snnquant.timesteps", "")
    fixed = read.fixed_batch
    batch = "any batch" if fixed is None else f"batch {fixed} in the export, any later"
    stateful = any(schemas()[n.op_type].stateful for n in neurons)
    time = "states stay inputs and outputs" if stateful else f"T = {steps}" if steps else "any T"
    others = sorted({n.op_type for n in nodes if n.domain != DOMAIN} - _SHAPES)
    return f"{layers}, {time}, {batch}: {', '.join(others)}"


def refusal(message: str, name: str) -> str:
    """Return the reason of a refusal, without the names of a particular net."""
    reason = message.removeprefix(f"{name}: ")
    for pattern, general in _PARTICULARS:
        reason = re.sub(pattern, general, reason)
    return f"{REFUSED}: {reason}"


def described(model: onnx.ModelProto, node: onnx.NodeProto) -> str:
    """Say in the field's words what a neuron node does."""
    schema = schemas()[node.op_type]
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    p = {
        port.name: constants[name]
        for port, name in zip(schema.inputs, node.input, strict=True)
        if name in constants
    }
    choices = {a.name: a.i for a in node.attribute}
    leaks = not _is(p["alpha"], 1.0)
    synaptic = schema.neuron.name == "CubaLIF" or bool(choices.get("synaptic", 0))
    kind = "current-based " * synaptic
    if not schema.neuron.spiking:
        words = [f"{kind}{'leaky ' * leaks}integrator without spikes"]
    else:
        words = [f"{kind}{'LIF' if leaks else 'IF'}"]
        words.append("h ≥ threshold" if choices["fire_on_equal"] else "h > threshold")
        words += _reset(p, choices, leaks)
        words += _extras(schema, p, choices, leaks)
    words += _levels(p, leaks, schema.neuron.spiking)
    several = [word for name, word in _NAMES.items() if name in p and np.ptp(p[name]) > 1e-6]
    return ", ".join(words + ([f"per neuron: {' and '.join(several)}"] if several else []))


_NAMES = {"alpha": "leak", "alpha_syn": "leak of the current", "v_threshold": "threshold"}


def _reset(p: dict[str, Any], choices: dict[str, int], leaks: bool) -> list[str]:
    """Say what a spike does to the membrane."""
    reset = Reset(choices["reset"])
    after = choices["reset_after_leak"]
    order = f" {'after' if after else 'before'} the leak" if leaks else ""
    if reset == Reset.NONE:
        return ["no reset"]
    if reset == Reset.HARD:
        at_rest = _is(p["v_reset"], 0.0) and _is(p["leak_bias"], 0.0)
        return [f"hard reset to {_number(p['v_reset'])}{'' if at_rest else order}"]
    if np.allclose(p["dv"], p["v_threshold"], atol=1e-5) or reset == Reset.SOFT:
        return [f"soft reset{order}"]
    return [f"soft reset by {_number(p['dv'])}{order}"]


def _extras(schema: Any, p: dict[str, Any], choices: dict[str, int], leaks: bool) -> list[str]:
    """Say what a neuron does beyond a plain one."""
    words = []
    most = choices["max_spikes"]
    if most >= UNLIMITED:
        words.append("any number of spikes a step")
    elif most > 1:
        words.append(f"up to {most} spikes a step")
    if choices["refractory"] and np.any(p["refractory_steps"] > 0):
        steps = _number(p["refractory_steps"])
        words.append(f"input lost for {steps} step{'s' * (steps != '1')} after a spike")
    if "threshold_increment" in p:
        if np.any(p["threshold_increment"] != 0):
            words.append("adaptive threshold")
        if np.all(p["v_min"] > -1e30):
            words.append(f"lower bound {_number(p['v_min'])}{' after the leak' * leaks}")
    if schema.recurrent:
        words.append("recurrent weights")
    return words


def _levels(p: dict[str, Any], leaks: bool, spiking: bool) -> list[str]:
    """Say where a membrane rests and starts, where that is not 0."""
    words = []
    rest = p["leak_bias"] / (1 - p["alpha"]) if leaks else np.zeros(1)
    if not spiking:  # its numbers are on a scale of their own, without a threshold to tell it
        return [] if _is(rest, 0.0) else ["rests at a level other than 0"]
    if leaks and not _is(rest, 0.0):
        words.append(f"rests at {_number(rest)}")
    if not leaks and not _is(p["leak_bias"], 0.0):
        words.append(f"{_number(p['leak_bias'])} at every step")
    if not _is(p.get("v_init", rest), 0.0) and not np.allclose(p["v_init"], rest, atol=1e-4):
        words.append(f"starts at {_number(p['v_init'])}")
    return words


def _is(values: Any, wanted: float) -> bool:
    return bool(np.allclose(values, wanted, rtol=0, atol=1e-5))


def _number(values: Any) -> str:
    """Return a parameter as text that rounding does not change from machine to machine."""
    first = float(np.ravel(values)[0]) + 0.0
    if np.ptp(values) > 1e-6:
        return "a value per neuron"
    return f"{round(first, 3):g}".replace("-", "\N{MINUS SIGN}")


# -- table -----------------------------------------------------------------------------------------


def read_section(title: str) -> list[tuple[Row, Reading | str]]:
    """Read the nets under one title."""
    return [(row, read_row(row)) for row in {**NEURONS, **STRUCTURES}[title]]


def section(title: str, read: list[tuple[Row, Reading | str]] | None = None) -> str:
    """Return the part of the table under one title; equal entries stand together."""
    said = said_of_structure if title in STRUCTURES else said_of_neuron
    together: dict[str, list[str]] = collections.defaultdict(list)
    for row, result in read_section(title) if read is None else read:
        together[said(row, result)].append(row.words)
    lines = sorted(together.items(), key=lambda item: item[0].startswith(REFUSED))
    return "".join(
        f"| {'' if k else title} | {'<br>'.join(words)} | {entry} |\n"
        for k, (entry, words) in enumerate(lines)
    )


def assembled(sections: dict[str, str]) -> str:
    """Return the whole block from its parts."""
    neurons = "".join(sections[title] for title in NEURONS)
    structures = "".join(sections[title] for title in STRUCTURES)
    return (
        f"{INTRO}\n| | neuron | read as |\n|---|---|---|\n{neurons}"
        f"\n| | network | read as |\n|---|---|---|\n{structures}{OUTRO}"
    )


def parts_of(text: str) -> tuple[str, str, str]:
    """Return what stands before, between and behind the markers."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        sys.exit(f"{README} must hold {BEGIN.strip()} and {END} once, in this order")
    before, rest = text.split(BEGIN)
    between, behind = rest.split(END)
    return before + BEGIN, between, END + behind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write it into README.md")
    options = parser.parse_args()
    titles = [*NEURONS, *STRUCTURES]
    with concurrent.futures.ProcessPoolExecutor(
        2, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        made = assembled(dict(zip(titles, pool.map(section, titles), strict=True)))
    if not options.write:
        sys.stdout.write(made)
        return
    before, _, behind = parts_of(README.read_text(encoding="utf-8"))
    README.write_text(before + made + behind, encoding="utf-8")


if __name__ == "__main__":
    main()
