"""The description that goes with the files of a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEX = """## Hex files

One value per line, lowercase, without prefix, in two's complement where signed, all digits of
its width written (`bits` / 4, rounded up). The last axis runs fastest: a signal
`[sample, step, channel, y, x]` is at line
`(((sample * STEPS + step) * CHANNELS + channel) * HEIGHT + y) * WIDTH + x`.

```verilog
reg signed [31:0] current [0:SAMPLES*STEPS*NEURONS-1];  // 32 bits, signed
reg        [7:0]  spikes  [0:SAMPLES*STEPS*NEURONS-1];  // 8 bits, unsigned
initial $readmemh("LABEL.current.hex", current);
initial $readmemh("LABEL.spikes.hex", spikes);
```

In Python: `snnquant.trace.read_hex(path, bits, signed=..., shape=...)`; `trace.json` has these.
"""
_NPZ = """## npz

`trace.npz` holds the arrays below under their names, as `numpy.load` reads them, and the outputs of
the model as `output/NAME`, samples first (of a step model: after the last step).
"""
_MEANING = """## What is what

* `input`: integers that the synapse sees; `zero_point` (attribute) of them counts as 0. A static
  input has one step, and so has a synapse behind a mean over time.
* `weight` `[output channel, fan in]`; of a convolution the fan in is `[ky, kx, input channel]`,
  of a linear synapse behind maps `[y, x, channel]`: channels last, as the input lies in the
  fused model.
* `current = (sum of weight * (input - zero_point)) * 2**gain_shift + bias`, plus `residual` where
  there is one. A recurrent neuron adds `spikes of the last step @ recurrent_weight`; then the sum
  is shifted left by `current_shift` (negative: right, to nearest).
* `membrane`: after integration, before the comparison with the threshold and the reset. This is
  the value to compare a test bench with first.
* `spikes`: what leaves the neurons in this step, usually 0 or 1.
* Constants are one value for all neurons, one per channel, or one per neuron. Multipliers such as
  `alpha` are `k` of `k / 2**leak_shift`; `leak_rounding` is 0 to nearest, 1 floor, 2 toward zero,
  3 ceil. States saturate at `state_bits`.
"""


def readme(document: Mapping[str, Any]) -> str:
    """Return the README of a trace's folder.

    Args:
        document: what ``trace.json`` holds.
    """
    model = document["model"]
    samples = document["samples"]
    labels = [layer["label"] for layer in document["layers"]]
    hex_files = _HEX.replace("LABEL", labels[0]) if labels else _HEX
    lines = [
        "# Integers of a spiking network, step by step",
        "",
        f"{document['tool']} traced `{model['path']}` (SHA-256 `{model['sha256']}`) on "
        f"{samples} sample{'' if samples == 1 else 's'} with its numpy reference.",
        "`trace.json` says all of this for programs.",
        "",
        hex_files if document["format"] == "hex" else _NPZ,
        _MEANING,
        "## Layers",
    ]
    for layer in document["layers"]:
        own = [e for e in document["arrays"] if e["array"].startswith(f"{layer['label']}/")]
        lines += ["", f"### `{layer['label']}`: {layer['op']}", ""]
        lines += [f"Neurons `{layer['name']}`, synapse `{layer['synapse'] or '-'}`.", ""]
        lines += ["```", *(layer["equation"] or "(no neurons)").splitlines(), "```", ""]
        lines += [f"{line}  " for line in layer["note"].splitlines()]
        attributes = ", ".join(f"{k} {v}" for k, v in layer["attributes"].items())
        lines += ["", f"Attributes: {attributes}.", ""]
        lines += ["| file or array | shape | bits | |", "|---|---|---|---|"]
        for entry in own:
            sign = "signed" if entry["signed"] else "unsigned"
            name = entry.get("file", entry["array"])
            lines.append(f"| `{name}` | {entry['shape']} | {entry['bits']} | {sign} |")
    return "\n".join(lines) + "\n"
