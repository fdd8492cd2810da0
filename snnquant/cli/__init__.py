"""The command line: one file per verb, and the list of all of them.

To add a verb: write ``cli/<verb>.py`` with a click command called ``command``, add it to
:data:`VERBS`. The files are imported when their verb is called, so that help stays fast.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """One verb: its name, the module that implements it, and one line of help."""

    name: str
    module: str
    summary: str


VERBS: tuple[Verb, ...] = (
    Verb(
        "demo", "snnquant.cli.demo", "Quantize a trained digits network and show both accuracies."
    ),
    Verb("inspect", "snnquant.cli.inspect", "List layers, neurons, steps, and what stays float."),
    Verb("import", "snnquant.cli.import_", "Write what was recognised as a canonical float model."),
    Verb("calibrate", "snnquant.cli.calibrate", "Collect statistics on calibration data."),
    Verb("convert", "snnquant.cli.convert", "Write the integer model."),
    Verb("eval", "snnquant.cli.eval", "Measure an integer model against its float origin."),
    Verb("verify", "snnquant.cli.verify", "Replay a model's golden vectors and check all hashes."),
    Verb("diff", "snnquant.cli.diff", "Tell what changed between two models or calibrations."),
    Verb("trace", "snnquant.cli.trace", "Write every integer step by step, for test benches."),
    Verb("bench", "snnquant.cli.bench", "Measure how fast an integer model runs, beside others."),
    Verb("doctor", "snnquant.cli.doctor", "Tell whether this machine is ready, and what is not."),
    Verb("export", "snnquant.cli.export", "Write a float model in another form: NIR."),
)
