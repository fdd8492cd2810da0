"""How long the package takes to import and the command line to show its help.

Medians of new processes: ``python tests/bench/startup.py [runs]``. Wanted: ``import snnquant``
below 0.3 s, ``snnquant --help`` below 0.5 s. The verbs are shown for comparison.
"""

import statistics
import subprocess
import sys
import time

RUNS = {
    "python -c pass": ["-c", "pass"],
    "import snnquant": ["-c", "import snnquant"],
    "snnquant --help": ["-m", "snnquant", "--help"],
    "snnquant --version": ["-m", "snnquant", "--version"],
    "snnquant inspect --help": ["-m", "snnquant", "inspect", "--help"],
    "snnquant convert --help": ["-m", "snnquant", "convert", "--help"],
}
WANTED = {"import snnquant": 0.3, "snnquant --help": 0.5}


def median_seconds(arguments, runs):
    """Return the median time of a new interpreter, after one run that fills the caches."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60
        )
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    for name, arguments in RUNS.items():
        seconds = median_seconds(arguments, runs)
        wanted = f"  (wanted < {WANTED[name]} s)" if name in WANTED else ""
        print(f"{name:26} {seconds:6.3f} s{wanted}", flush=True)


if __name__ == "__main__":
    main()
