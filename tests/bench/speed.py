"""How fast integer models run, beside ONNX Runtime in float and int8 and torch, by firing rate.

Two networks of the same weights for everybody: a convolutional one on an image,
3-64-64-P-128-P-128-P-10 at 32 x 32, and a 784-512-512-10 perceptron on spikes, both with T = 4.
They are trained for a moment on scikit-learn's digits. For each firing rate the thresholds of
every layer are moved until it fires so often, and the same network is then exported, recognised,
calibrated and converted. All contenders take turns in one run, hot, with bound inputs.

``python tests/bench/speed.py --folder speed --nets conv,mlp --batches 1,32 --rates 0.02,0.05``

writes ``speed.md``, ``speed.json`` and ``speed.png`` into the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from speed_nets import NETS, Net, at_rate, samples_of, trained

from snnquant.bench.timing import Contender, interleave
from snnquant.calibrate import calibrate_model
from snnquant.calibration import AUTO, CalibrationSettings
from snnquant.convert_model import convert_model
from snnquant.data import open_data
from snnquant.frontends import load_canonical
from snnquant.instrument import Runner
from snnquant.quantize_options import choose_options
from snnquant.target import load_target

STEPS = 4
OURS = "snnquant"


class TorchContender:
    """The network in torch eager, run like the others."""

    def __init__(self, net: nn.Module, samples: np.ndarray, threads: int) -> None:
        self.name = "torch eager"
        self._net = net
        self._samples = torch.from_numpy(samples)
        self._threads = threads

    def run(self) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            self._net(self._samples)


def export(net: nn.Module, samples: np.ndarray, path: Path) -> None:
    """Export as torch does it: the loop over time is written out."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(open(os.devnull, "w")):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.from_numpy(samples),),
            str(path),
            dynamo=True,
            external_data=False,
            verbose=False,
            input_names=["x"],
            output_names=["y"],
        )


def static_int8(source: Path, samples: np.ndarray, target: Path, *, everything: bool) -> None:
    """Quantize with ONNX Runtime's own static quantizer: QDQ, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter([{"x": samples}] * 4)

        def get_next(self) -> Any:
            return next(self._left, None)

    kinds = None if everything else ["Conv", "MatMul", "Gemm"]
    with contextlib.redirect_stderr(open(os.devnull, "w")):
        quantize_static(
            str(source),
            str(target),
            Reader(),
            per_channel=True,
            op_types_to_quantize=kinds,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )


def integers(path: Path, net: Net, count: int, *, fuse: bool) -> onnx.ModelProto:
    """Take an export to integers, as calibrate and convert do."""
    graph = load_canonical(path)
    data = Path(f"{path}.npz")
    np.savez(data, x=samples_of(net, count))
    settings = CalibrationSettings(AUTO, count, count)
    calibration = calibrate_model(graph, open_data(data), settings)
    options = choose_options(load_target("generic"), fuse=fuse)
    made = convert_model(graph, calibration, options, source_sha256="", calibration_sha256="")
    return made.model


def contenders(
    name: str, net: Net, model: nn.Module, batch: int, threads: int, folder: Path, tag: str
) -> tuple[list[Any], list[float]]:
    """Return everybody who runs, and the density of the inputs of our layers."""
    stem = folder / f"{name}_{tag}_B{batch}"
    first_layout = samples_of(net, batch)
    seen = net.arranged(first_layout)
    original = Path(f"{stem}.onnx")  # a rate in the name is no suffix
    if not original.exists():
        export(model, seen, original)
    rolled = Path(f"{stem}.rolled.onnx")
    graph = load_canonical(original)
    if not rolled.exists():
        onnx.save(ir.to_proto(graph), rolled)
    ours = integers(original, net, batch, fuse=True)
    plain = integers(original, net, batch, fuse=False)
    canonical = Runner(ir.to_proto(graph), custom_ops=False)
    feeds = canonical.feeds({"x": first_layout})
    found: list[Any] = [
        Contender(
            OURS, ours.SerializeToString(), Runner(ours).feeds({"x": first_layout}), threads=threads
        ),
        Contender(
            f"{OURS} --no-fuse",
            plain.SerializeToString(),
            Runner(plain).feeds({"x": first_layout}),
            threads=threads,
        ),
        Contender("ORT float, as exported", str(original), feeds, threads=threads),
        Contender("ORT float, rolled up", str(rolled), feeds, threads=threads),
    ]
    for label, source in (("as exported", original), ("rolled up", rolled)):
        for what, everything in (("conv and linear", False), ("everything", True)):
            target = Path(f"{stem}.{label.split()[0]}.{'all' if everything else 'some'}.onnx")
            try:
                if not target.exists():
                    static_int8(source, seen, target, everything=everything)
                found.append(
                    Contender(f"ORT int8 {what}, {label}", str(target), feeds, threads=threads)
                )
            except Exception as error:
                print(f"  ORT int8 {what}, {label}: {str(error).splitlines()[0][:90]}")
    found.append(TorchContender(model, seen, threads))
    return found, densities(ours, Runner(ours).feeds({"x": first_layout}))


def densities(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[float]:
    """Return the share of inputs that are active, per fused layer on spikes."""
    layers = [n for n in model.graph.node if n.op_type.startswith(("QConv", "QLinear"))]
    inner = Runner(model, [n.input[0] for n in layers])
    values = inner.run({"x": np.moveaxis(feeds["x"], inner.layout.inputs[0].batch_axis or 0, 0)})
    silent = {n.input[0]: a.i for n in layers for a in n.attribute if a.name == "zero_point"}
    return [round(float((values[name] != zero).mean()), 3) for name, zero in silent.items()]


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every net, batch, number of threads and rate; return one record per combination."""
    records = []
    folder = Path(options.folder)
    for name in options.nets.split(","):
        net = NETS[name]
        base = trained(net, folder / f"{name}.pt")
        for batch in map(int, options.batches.split(",")):
            for threads in map(int, options.threads.split(",")):
                for rate in map(float, options.rates.split(",")):
                    model = at_rate(net, base, rate, batch)
                    tag = f"r{rate:g}"
                    who, active = contenders(name, net, model, batch, threads, folder, tag)
                    timings = interleave(who, options.seconds)
                    records.append(
                        {
                            "net": name,
                            "batch": batch,
                            "threads": threads,
                            "rate": rate,
                            "densities": active,
                            "ms": {k: 1e3 * t.median for k, t in timings.items()},
                        }
                    )
                    _say(records[-1])
    return records


def _say(record: dict[str, Any]) -> None:
    ours = record["ms"][OURS]
    print(
        f"{record['net']} B={record['batch']} threads={record['threads']} rate {record['rate']:g} "
        f"densities {record['densities']}: {ours:.3f} ms"
    )
    for name, taken in record["ms"].items():
        if name != OURS:
            print(f"   {taken / ours:7.2f} x  {name} ({taken:.3f} ms)", flush=True)


def best(record: dict[str, Any], start: str) -> float:
    """Return by how much we are faster than the fastest of some contenders."""
    times = [t for n, t in record["ms"].items() if n.startswith(start)]
    return min(times) / record["ms"][OURS] if times else float("nan")


COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "ORT float, as exported": lambda r: best(r, "ORT float, as exported"),
    "ORT float, rolled up": lambda r: best(r, "ORT float, rolled up"),
    "best ORT int8": lambda r: best(r, "ORT int8"),
    "torch eager": lambda r: best(r, "torch"),
    "not fused": lambda r: best(r, f"{OURS} --no-fuse"),
}


def table(records: list[dict[str, Any]]) -> str:
    """Return the records as a markdown table of ratios."""
    lines = [
        "| net | batch | threads | firing | ms | " + " | ".join(COLUMNS) + " |",
        "|---" * (5 + len(COLUMNS)) + "|",
    ]
    for record in records:
        cells = [f"{column(record):.1f}x" for column in COLUMNS.values()]
        lines.append(
            f"| {record['net']} | {record['batch']} | {record['threads']} | "
            f"{100 * record['rate']:g} % | {record['ms'][OURS]:.3f} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Return what ran where, in one line."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = next(
            line.split(":")[1].strip() for line in text.splitlines() if "model name" in line
        )
    isa = os.environ.get("SNNQUANT_ISA", "the best")
    return (
        f"{model}, instruction set {isa}, onnxruntime {onnxruntime.__version__}, "
        f"torch {torch.__version__}"
    )


def plot(records: list[dict[str, Any]], path: Path) -> None:
    """Draw the speed-up over the firing rate, one line per net and batch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for record in records:
        if record["threads"] == records[0]["threads"]:
            groups.setdefault((record["net"], record["batch"]), []).append(record)
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), sharey=True)
    looks = dict(zip(groups, ["#0072B2", "#D55E00", "#009E73", "#CC79A7"], strict=False))
    for axis, start, title in (
        (axes[0], "ORT float, as exported", "over ONNX Runtime float, as exported"),
        (axes[1], "ORT int8", "over the best ONNX Runtime int8"),
    ):
        for marker, ((net, batch), rows) in zip("osD^", groups.items(), strict=False):
            axis.plot(
                [100 * r["rate"] for r in rows],
                [best(r, start) for r in rows],
                marker=marker,
                color=looks[net, batch],
                label=f"{net}, batch {batch}",
            )
        axis.axhline(1, color="0.6", linewidth=1)
        axis.set(xscale="log", yscale="log", xlabel="firing rate of every layer, %", title=title)
        axis.set_xticks([2, 5, 10, 20, 40, 70], ["2", "5", "10", "20", "40", "70"])
        axis.set_yticks([1, 2, 5, 10, 20], ["1x", "2x", "5x", "10x", "20x"])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("times as fast")
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--nets", default="conv,mlp")
    parser.add_argument("--batches", default="1")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rates", default="0.02,0.05,0.1,0.2,0.4,0.7")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--isa", default="", help="instruction set, in a process of its own")
    options = parser.parse_args()
    if options.isa and os.environ.get("SNNQUANT_ISA") != options.isa:
        sys.exit(
            subprocess.run(
                [sys.executable, *sys.argv],
                env=os.environ | {"SNNQUANT_ISA": options.isa},
                check=False,
            ).returncode
        )
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time()
    records = measure(options)
    text = f"{machine()}; `python {' '.join(sys.argv)}`\n\n{table(records)}"
    (folder / "speed.md").write_text(text, encoding="utf-8")
    (folder / "speed.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    plot(records, folder / "speed.png")
    print(text + f"\n{time.time() - started:.0f} s")


if __name__ == "__main__":
    main()
