"""Fused layers of the numeric core: compiled here for every instruction set, on drawn layers.

Each drawn case compares every spike, membrane and state with plain loops and the definition. Under
the sanitizers, which also see what is read and written outside:
``SNNQUANT_TEST_CXXFLAGS="-O1 -g -fsanitize=address,undefined" pytest tests/native/test_layers.py``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from single_op import usable_isas

import snnquant

DRIVER = Path(__file__).with_name("layer_driver.cc")
SOURCES = Path(snnquant.__file__).with_name("csrc")
FLAGS = os.environ.get("SNNQUANT_TEST_CXXFLAGS", "-O1").split()
SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mavx512vbmi2"]
#: Flags of each instruction set for which layers are compiled, as in csrc/CMakeLists.txt.
ISA_FLAGS = {
    "plain": ["-DSNNQUANT_PLAIN"],
    "baseline": [],
    "avx2": ["-mavx2"],
    "avx512vnni": [*AVX512, "-mprefer-vector-width=512"],
    "neondot": ["-march=armv8.2-a+dotprod"],
}
#: Compiler and emulator of the machine that has the last one, as Debian names them.
ARM_COMPILER, ARM_EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
CASES = 2600


def test_the_instruction_sets_are_those_of_the_build() -> None:
    build = (SOURCES / "CMakeLists.txt").read_text(encoding="utf-8")
    built = re.findall(r"add_for\((\w+) layers", build)
    assert sorted(built) == sorted(set(ISA_FLAGS) - {"plain"})
    for isa in built:
        assert all(flag in build for flag in ISA_FLAGS[isa])


def compiled(folder: Path, isa: str, flags: list[str], compiler: str | None = None) -> Path:
    """Compile the driver and return its path."""
    compiler = compiler or os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    assert compiler, "these tests need a C++17 compiler"
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", *flags, f"-I{SOURCES}"]
    parts = []
    for source, extra in (
        (DRIVER, [*ISA_FLAGS[isa], "-DSNNQUANT_ISA=tested"]),
        (SOURCES / "core" / "layer.cc", []),
    ):
        part = folder / f"{source.stem}.o"
        subprocess.run([*command, *extra, "-c", str(source), "-o", str(part)], check=True)
        parts.append(str(part))
    program = folder / f"layer_driver_{isa}"
    subprocess.run([*command, *parts, "-o", str(program)], check=True)
    return program


def isas() -> Iterator[str]:
    """Yield the instruction sets that this machine can run."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        usable = set(usable_isas())
        yield from (isa for isa in ISA_FLAGS if isa == "plain" or isa in usable)
    else:
        yield from ("plain", "baseline")


@pytest.mark.parametrize("isa", list(isas()))
def test_drawn_layers_agree_with_the_definition(isa: str, tmp_path: Path) -> None:
    program = compiled(tmp_path, isa, FLAGS)
    run = subprocess.run([program, "0", str(CASES)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, f"{CASES} cases agree\n"), run.stdout + run.stderr


@pytest.mark.skipif(
    shutil.which(ARM_COMPILER) is None or shutil.which(ARM_EMULATOR) is None,
    reason=f"{ARM_COMPILER} and {ARM_EMULATOR} are not installed",
)
def test_layers_agree_on_an_emulated_arm_processor(tmp_path: Path) -> None:
    program = compiled(tmp_path, "neondot", ["-O2", "-static"], ARM_COMPILER)
    command = [ARM_EMULATOR, "-cpu", "max", str(program), "40000", "600"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "600 cases agree\n"), run.stdout + run.stderr


def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    isa = list(isas())[-1]
    program = compiled(tmp_path, isa, ["-O1", *SANITIZERS])
    run = subprocess.run([program, "77000", "500"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "500 cases agree\n"), run.stdout + run.stderr[-3000:]
