"""Write the zoo of ``tests/frontends/zoo`` as files: every net, every exporter, and the truth.

usage: python tests/bench/export_zoo.py FOLDER [--only TEXT] [--exporters a,b] [--jobs N] [--new]

``FOLDER/<framework>/<net>/`` gets ``<exporter>.onnx``, ``truth.json`` (what each neuron is, or why
it is to be refused; which exporters failed, and how) and ``io.npz`` (``g<gain>_b<batch>_x<k>`` and
``..._y<k>``: inputs and outputs of the original module). ``--new`` keeps nets that are there.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "frontends"))

GAINS = (1, 4)
BATCHES = (1, 5)
VARIANT_GROUPS = ("step", "loop", "naive", "wrong")


def truth(net: Any) -> dict[str, Any]:
    """Return what is known of a net, for ``truth.json``."""
    expected = net.expected
    return {
        "name": net.name,
        "T": getattr(net, "steps", None),
        "kind": getattr(net, "kind", None),
        "features": getattr(net, "features", None),
        "refused": net.refused,
        "optional": net.optional,
        "neurons": None
        if expected is None
        else [list(e) if isinstance(e, tuple) else [e] for e in expected],
    }


def ways_of(name: str) -> Any:
    """Return a net or a variant, which is known by its group."""
    from zoo.registry import nets
    from zoo.variants import variants

    if name.split("/")[0] in VARIANT_GROUPS:
        return next(v for v in variants() if v.name == name)
    return next(n for n in nets([name.split("/")[0]]) if n.name == name)


def write(name: str, folder: str, exporters: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Write one net or variant; returns what its exporters said."""
    import torch
    from zoo.base import ZooNet
    from zoo.export import export

    torch.set_num_threads(1)
    made = ways_of(name)
    target = Path(folder) / name
    target.mkdir(parents=True, exist_ok=True)
    if isinstance(made, ZooNet):
        np.savez(target / "io.npz", **samples(made))
    said: dict[str, str] = {}
    for exporter in exporters:
        allowed = made.exporters if isinstance(made, ZooNet) else made.ways
        if allowed and exporter not in allowed:
            continue
        (target / f"{exporter}.onnx").unlink(missing_ok=True)
        try:
            model = export(made, exporter) if isinstance(made, ZooNet) else made.export(exporter)
        except Exception as error:
            said[exporter] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        else:
            said[exporter] = "ok"
            (target / f"{exporter}.onnx").write_bytes(model.SerializeToString())
    (target / "truth.json").write_text(json.dumps(truth(made) | {"exports": said}, indent=1))
    return name, said


def samples(net: Any) -> dict[str, np.ndarray]:
    """Return inputs and outputs of the original module, by gain and batch."""
    arrays: dict[str, np.ndarray] = {}
    for gain in GAINS:
        for batch in BATCHES:
            inputs = net.inputs(batch, gain=gain, seed=gain)
            for mark, values in (("x", inputs), ("y", net.run(inputs))):
                for k, value in enumerate(values):
                    arrays[f"g{gain}_b{batch}_{mark}{k}"] = value
    return arrays


def main() -> None:
    from zoo.export import EXPORTERS
    from zoo.registry import nets
    from zoo.variants import variants

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--only", default="")
    parser.add_argument("--exporters", default=",".join(EXPORTERS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--new", action="store_true")
    options = parser.parse_args()
    names = [made.name for made in [*nets(), *variants()] if options.only in made.name]
    if options.new:
        names = [n for n in names if not (Path(options.folder) / n / "truth.json").exists()]
    started, failed, written = time.time(), 0, 0
    with concurrent.futures.ProcessPoolExecutor(
        options.jobs, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        exporters = tuple(options.exporters.split(","))
        jobs = {pool.submit(write, name, options.folder, exporters): name for name in names}
        for job in concurrent.futures.as_completed(jobs):
            try:
                _, said = job.result()
            except Exception as error:
                print(f"{jobs[job]}: {type(error).__name__}: {error}"[:200], flush=True)
                continue
            written += sum(status == "ok" for status in said.values())
            for exporter, status in said.items():
                if status != "ok":
                    failed += 1
                    print(f"{jobs[job]} {exporter}: {status[:160]}", flush=True)
    print(f"{written} files, {failed} exports failed, {time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
