"""Compare torch, graph and lowering on many random models.

    python tests/bench/random_models.py --models 1000 --jobs 2

Prints a line per failure and at the end how many models, values and spikes were compared.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "nn"))


def run(seed: int) -> tuple[int, str, int, int]:
    """Check one model; return its seed, what failed, and the numbers of values and spikes."""
    import torch
    from random_model_checks import check
    from random_models import draw_spec

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        try:
            seen = check(draw_spec(random.Random(seed)), Path(folder) / "model.snn")
        except Exception as error:  # any failure is a finding
            return seed, f"{type(error).__name__}: {error}", 0, 0
    return seed, "", seen["values"], seen["spikes"]


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    start = time.monotonic()
    failed = values = spikes = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        seeds = range(given.first, given.first + given.models)
        for seed, fault, compared, fired in pool.map(run, seeds, chunksize=4):
            values, spikes, failed = values + compared, spikes + fired, failed + bool(fault)
            if fault:
                print(f"seed {seed}: {fault}", flush=True)
    print(
        f"{given.models} models, {failed} failed, {values:,} values compared of which "
        f"{spikes:,} were spikes, {time.monotonic() - start:.0f} s"
    )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
