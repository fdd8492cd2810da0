"""The command line: one file per verb, and the list of all of them.

To add a verb: write ``cli/<verb>.py`` with a click command called ``command``, add it to
:data:`VERBS`. What it prints with ``--json`` is a ``console.document`` and needs its schema,
``schemas/<verb>-1.json``. Its options are settings, too, without more being said. The files are
imported when their verb is called, so that help stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Inherited(NamedTuple):
    """A verb whose table of settings holds for another verb, too.

    Attributes:
        verb: whose table it is.
        keys: of the table that have another name in the inheriting verb, or None: mean nothing to
            it, such as an output that is another file there.
    """

    verb: str
    keys: Mapping[str, str | None] = MappingProxyType({})


class Verb(NamedTuple):
    """One verb.

    Attributes:
        name: what the user types.
        module: that implements it.
        summary: one line of help.
        inherits: verbs whose settings hold for it, below its own; a later one above an earlier.
        takes_settings: configuration files have a table for it.
    """

    name: str
    module: str
    summary: str
    inherits: tuple[Inherited, ...] = ()
    takes_settings: bool = True


VERBS: tuple[Verb, ...] = (
    Verb(
        "demo", "snnquant.cli.demo", "Quantize a trained digits network and show both accuracies."
    ),
    Verb(
        "quantize",
        "snnquant.cli.quantize",
        "Calibrate, convert and eval in one go.",
        inherits=(
            Inherited("calibrate", {"output-file": "calibration"}),
            Inherited("convert", {"calibration": None}),
            Inherited(
                "eval",
                {
                    **{"data": "test", "samples": "test-samples", "batch-size": None},
                    **{"reference": None, "without-library": None},
                },
            ),
        ),
    ),
    Verb("inspect", "snnquant.cli.inspect", "List layers, neurons, steps, and what stays float."),
    Verb("import", "snnquant.cli.import_", "Write what was recognised as a canonical float model."),
    Verb("calibrate", "snnquant.cli.calibrate", "Collect statistics on calibration data."),
    Verb("convert", "snnquant.cli.convert", "Write the integer model."),
    Verb("eval", "snnquant.cli.eval", "Measure an integer model against its float origin."),
    Verb("analyze", "snnquant.cli.analyze", "Rank layers by what quantizing them costs."),
    Verb("tune", "snnquant.cli.tune", "Choose a width for each layer, within a budget."),
    Verb("verify", "snnquant.cli.verify", "Replay a model's golden vectors and check all hashes."),
    Verb("diff", "snnquant.cli.diff", "Tell what changed between two models or calibrations."),
    Verb("trace", "snnquant.cli.trace", "Write every integer step by step, for test benches."),
    Verb("bench", "snnquant.cli.bench", "Measure how fast an integer model runs, beside others."),
    Verb("doctor", "snnquant.cli.doctor", "Tell whether this machine is ready, and what is not."),
    Verb("export", "snnquant.cli.export", "Write a float model in another form: NIR."),
    Verb(
        "config",
        "snnquant.cli.config",
        "Show all settings and where they come from.",
        takes_settings=False,
    ),
    Verb(
        "completion",
        "snnquant.cli.completion",
        "Print the script that completes words in a shell.",
        takes_settings=False,
    ),
)
