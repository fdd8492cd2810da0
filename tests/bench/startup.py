"""How long the package takes to import and the command line to show its help.

Medians of new processes that take turns: ``python tests/bench/startup.py [runs]``. Wanted:
``import snnquant`` below 0.3 s, ``snnquant --help`` below 0.4 s. The verbs are shown for
comparison, and what it costs them to be configured.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

HELP = ["-m", "snnquant", "--help"]
#: Refused for a lack of data, after all that comes before a verb does anything.
EVAL = ["-m", "snnquant", "eval", "none.onnx"]
#: Name: (arguments, text of a snnquant.toml).
RUNS = {
    "python -c pass": (["-c", "pass"], None),
    "import snnquant": (["-c", "import snnquant"], None),
    "snnquant --help": (HELP, None),
    "snnquant --help, configured": (HELP, "samples = 8"),
    "snnquant --version": (["-m", "snnquant", "--version"], None),
    "snnquant inspect --help": (["-m", "snnquant", "inspect", "--help"], None),
    "snnquant convert --help": (["-m", "snnquant", "convert", "--help"], None),
    "snnquant eval": (EVAL, None),
    "snnquant eval, configured": (EVAL, "samples = 8"),
}
WANTED = {"import snnquant": 0.3, "snnquant --help": 0.4}


def seconds(arguments, settings):
    """Return the time of a new interpreter in a folder with these settings."""
    with TemporaryDirectory() as folder:
        if settings is not None:
            Path(folder, "snnquant.toml").write_text(settings, encoding="utf-8")
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments],
            check=False,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
        return time.perf_counter() - start


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    times = {name: [] for name in RUNS}
    for turn in range(runs + 1):
        for name, run in RUNS.items():
            taken = seconds(*run)
            if turn:  # the first fills the caches
                times[name].append(taken)
    for name, taken in times.items():
        wanted = f"  (wanted < {WANTED[name]} s)" if name in WANTED else ""
        print(f"{name:28} {statistics.median(taken):6.3f} s{wanted}", flush=True)


if __name__ == "__main__":
    main()
