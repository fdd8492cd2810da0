"""Where events become slower than dot products, per instruction set: the measure behind ``kCosts``.

``python tests/bench/crossover.py [--isa avx512vnni]`` compiles the layer kernels three times, with
events always, never, and as ``core/layer_run.h`` chooses, and times all on the same spikes. What is
chosen should never take 5 % longer than dot products.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from native.test_layers import ISA_FLAGS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "snnquant" / "csrc"
DRIVER = Path(__file__).with_name("crossover_driver.cc")
#: Costs that decide for one side, whatever the layer: listed, copied, event, dense.
FORCED = {"dense": "{1000000,1,1,1}", "events": "{0,0,0,1}", "chosen": ""}
#: Channels in and out, size of the map, kernel, steps, batch.
LAYERS = [
    (2, 32, 32, 3, 4, 1),
    (8, 16, 32, 3, 4, 1),
    (16, 16, 32, 3, 4, 1),
    (64, 64, 32, 3, 4, 1),
    (256, 256, 8, 3, 4, 1),
    (16, 128, 16, 1, 4, 1),
    (784, 512, 1, 1, 4, 1),
    (784, 512, 1, 1, 4, 32),
]
RATES = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


def compiled(folder: Path, isa: str, name: str, costs: str) -> Path:
    """Compile the timing program with the costs given."""
    compiler = shutil.which("g++") or shutil.which("c++") or "c++"
    flags = [*ISA_FLAGS[isa], "-DSNNQUANT_ISA=timed"]
    flags += [f"-DSNNQUANT_COSTS={costs}"] if costs else []
    common = [compiler, "-std=c++17", "-O3", f"-I{SOURCES}"]
    parts = [folder / f"{name}_{k}.o" for k in range(2)]
    subprocess.run([*common, *flags, "-c", str(DRIVER), "-o", str(parts[0])], check=True)
    layer = str(SOURCES / "core" / "layer.cc")
    subprocess.run([*common, "-c", layer, "-o", str(parts[1])], check=True)
    program = folder / name
    subprocess.run([compiler, *map(str, parts), "-o", str(program)], check=True)
    return program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isa", default="avx512vnni", choices=list(ISA_FLAGS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        programs = {
            name: compiled(Path(folder), options.isa, name, costs) for name, costs in FORCED.items()
        }
        print(
            "| in, out, map, kernel, T, B | firing | dense us | events us | chosen us | of dense |"
        )
        print("|---|---|---|---|---|---|")
        for layer in LAYERS:
            for rate in RATES:
                taken = {}
                for name, program in programs.items():
                    words = [str(program), *map(str, layer), str(rate)]
                    ran = subprocess.run(words, capture_output=True, text=True, check=True)
                    taken[name] = float(ran.stdout)
                print(
                    f"| {', '.join(map(str, layer))} | {100 * rate:g} % | {taken['dense']:.1f} | "
                    f"{taken['events']:.1f} | {taken['chosen']:.1f} | "
                    f"{taken['chosen'] / taken['dense']:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
