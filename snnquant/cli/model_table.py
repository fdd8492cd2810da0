"""What was found in a model, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snnquant.cli.console import Speaker, add_row, new_table, number, percent

#: Places of a neuron in its source that are named; of others, the first, the last and the number.
_NAMED_PLACES = 2


def print_layers(speaker: Speaker, layers: Sequence[dict[str, Any]]) -> None:
    """Print synapses and neurons, one row each."""
    table = new_table("layer", "op", "size", "what")
    table.columns[3].justify = "left"
    for layer in layers:
        if layer["kind"] == "synapse":
            size = " x ".join(map(str, layer["weight_shape"]))
            what = [f"largest weight {number(layer['largest_weight'])}"]
        else:
            size = " x ".join(map(str, layer["neurons"] or ["?"])) or "1"
            what = neuron_lines(layer)
        add_row(table, layer["name"], layer["op"], size, what)
    speaker.table(table)


def neuron_lines(layer: dict[str, Any]) -> list[str]:
    """Return what a neuron does, with which parameters, where it was found, how often it fires."""
    held = [f"{name}={number(value)}" for name, value in layer["parameters"].items()]
    if layer["timesteps"]:
        held.append(f"T={layer['timesteps']}")
    lines = [*layer["equation"], ", ".join(held)]
    hint, found = layer.get("framework", ""), places(layer.get("found_at", ()))
    if hint or found:
        lines.append(f"{hint or 'found'} {'at ' + found if found else ''}".strip())
    if layer.get("read_as", "") not in ("", "; ".join(layer["equation"])):
        lines.append(f"read as {layer['read_as']}")
    if layer.get("knife_edges"):
        lines.append(f"{layer['knife_edges']} spikes on a knife edge")
    if "firing_rate" in layer:
        lines.append(
            f"rate {layer['firing_rate']:.4f}, dead {percent(layer['dead'], 1)}, "
            f"saturated {percent(layer['saturated'], 1)}"
        )
    return lines


def places(found_at: Sequence[str]) -> str:
    """Return names of places in a source, cut to the first and the last if there are many."""
    if len(found_at) <= _NAMED_PLACES:
        return ", ".join(found_at)
    return f"{found_at[0]} .. {found_at[-1]} ({len(found_at)} places)"


def shape_text(entry: dict[str, Any]) -> str:
    """Return an input's shape with B and T where they are dynamic."""
    dims = ["?" if size is None else str(size) for size in entry["shape"]]
    for axis, letter in ((entry["batch_axis"], "B"), (entry["time_axis"], "T")):
        if axis is not None and dims[axis] == "?":
            dims[axis] = letter
    return f"[{', '.join(dims)}]"
