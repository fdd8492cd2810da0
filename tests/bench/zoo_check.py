"""Read a zoo of files (``export_zoo.py``) and say which are read right, refused, or wrong.

usage: python tests/bench/zoo_check.py FOLDER [--only TEXT] [--exporter TEXT] [--jobs N] [--all]

For each file: ``snnquant.frontends.read_source``; the neuron nodes that were found against the
truth (1e-4, as far as a neuron's scale lets parameters be told); and the original file against the
canonical graph in ONNX Runtime, on random inputs at gains 1 and 4 and batches 1 and 5.

    ok       recognised, outputs equal, parameters as expected
    params   recognised, outputs equal, but other parameters than expected
    refused  refused, as expected
    miss     refused, though a neuron expresses it
    allowed  refused, where a refusal is no miss
    WRONG    outputs differ, or recognised what cannot be expressed
    CRASH    anything but a reading or an error of snnquant
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "frontends"))

VERDICTS = ("ok", "params", "refused", "allowed", "miss", "WRONG", "CRASH", "unrunnable")


def check(folder: str, file: str) -> tuple[str, str, str, float]:
    """Return the file, the verdict, why, and the seconds that reading took."""
    from zoo.compare import differing_outputs, differing_parameters, runs_any_batch

    from snnquant.errors import SnnquantError
    from snnquant.frontends import read_source

    path = Path(folder) / file
    truth = json.loads((path.parent / "truth.json").read_text())
    started = time.perf_counter()
    try:
        reading = read_source(path)
    except SnnquantError as error:
        seconds = time.perf_counter() - started
        verdict = "refused" if truth["refused"] else "allowed" if truth["optional"] else "miss"
        if verdict == "miss" and path.stem.endswith("_dyn") and not runs_any_batch(path):
            verdict = "allowed"  # the exporter baked the batch in
        return file, verdict, " ".join(str(error).split()).replace(str(path), "FILE"), seconds
    except Exception as error:
        seconds = time.perf_counter() - started
        return file, "CRASH", f"{type(error).__name__}: {error}"[:300], seconds
    seconds = time.perf_counter() - started
    try:
        wrong = differing_outputs(path, reading)
    except Exception as error:
        return file, "CRASH", f"in comparing: {type(error).__name__}: {error}"[:300], seconds
    if wrong.startswith("unrunnable"):
        return file, "unrunnable", wrong, seconds
    if truth["refused"] and not truth["optional"]:
        same = "outputs differ" if wrong else "outputs are equal"
        return file, "WRONG", f"recognised, but: {truth['refused']} ({same})", seconds
    if wrong:
        return file, "WRONG", wrong, seconds
    if truth["neurons"] is not None:
        other = differing_parameters(reading.model, truth["neurons"])
        if other:
            return file, "params", other, seconds
    return file, "ok", "", seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--only", default="")
    parser.add_argument("--exporter", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="list expected refusals too")
    options = parser.parse_args()
    root = Path(options.folder)
    files = sorted(str(p.relative_to(root)) for p in root.glob("*/*/*.onnx"))
    files = [f for f in files if options.only in f and options.exporter in Path(f).stem]
    if not files:
        sys.exit(f"no files in {root}")
    results = []
    with concurrent.futures.ProcessPoolExecutor(
        options.jobs, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        jobs = [pool.submit(check, options.folder, f) for f in files]
        results = [job.result() for job in jobs]
    report(results, show_refused=options.all)
    bad = sum(verdict in ("WRONG", "CRASH") for _, verdict, _, _ in results)
    sys.exit(1 if bad else 0)


def report(results: list[tuple[str, str, str, float]], *, show_refused: bool) -> None:
    """Print the lists and the table."""
    shown = ["WRONG", "CRASH", "params", "miss", "allowed", "unrunnable"]
    for verdict in [*shown, *(["refused"] if show_refused else [])]:
        reasons: dict[str, list[str]] = collections.defaultdict(list)
        for file, found, why, _ in results:
            if found == verdict:
                reasons[why].append(file.removesuffix(".onnx"))
        if reasons:
            print(f"\n== {verdict}: {sum(map(len, reasons.values()))}")
        for why, where in sorted(reasons.items(), key=lambda item: -len(item[1])):
            print(f"  {why[:260]}\n      {len(where)}: {' '.join(where[:8])}")
    rows: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for file, verdict, _, _ in results:
        framework, _, exporter = file.removesuffix(".onnx").split("/")
        for row in ((framework, exporter), (framework, "all"), ("all", exporter), ("all", "all")):
            rows[row][verdict] += 1
    print(f"\n{'framework':14}{'exporter':16}" + "".join(f"{v:>11}" for v in VERDICTS))
    for (framework, exporter), counts in sorted(rows.items()):
        cells = "".join(f"{counts[v] or '.':>11}" for v in VERDICTS)
        print(f"{framework:14}{exporter:16}{cells}")
    seconds = sorted(s for *_, s in results)
    print(f"\nreading: median {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s")


if __name__ == "__main__":
    main()
