"""Whether this machine is ready: versions, the library, and a self test of a second."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from snnquant import __version__, runtime
from snnquant.errors import SnnquantError, first_line
from snnquant.ops import DOMAIN, attach_functions
from snnquant.ops.schema import Port, schemas
from snnquant.reference import Reference

#: Packages that a report names; only the first are needed.
NEEDED = ("numpy", "onnx", "onnx-ir", "onnxruntime", "click", "rich", "jsonschema")
OPTIONAL = (
    *("torch", "onnxscript", "safetensors", "h5py", "nir", "nirtorch"),
    *("snntorch", "spikingjelly", "norse", "sinabs"),
)
ISA_VARIABLE = "SNNQUANT_ISA"
_OP = "QLIF"


@dataclass(frozen=True)
class Examination:
    """What a look at this machine found.

    Attributes:
        versions: of Python, of this package and of others by name; None: not installed.
        system: operating system and processor.
        threads: processors that this process may use.
        variables: all ``SNNQUANT_`` variables of the environment.
        library: path of the custom-op library, None where there is none.
        problem: why it cannot be loaded; "" where it can.
        instruction_sets: those that it can use here, the preferred one last.
        instruction_set: the one that it uses; None without a library.
        self_test: "passed", or what went wrong.
        seconds: that the self test took.
    """

    versions: dict[str, str | None]
    system: str
    threads: int
    variables: dict[str, str]
    library: str | None
    problem: str
    instruction_sets: tuple[str, ...]
    instruction_set: str | None
    self_test: str
    seconds: float

    @property
    def ready(self) -> bool:
        """Whether the library is there and computes what the function bodies compute."""
        return not self.problem and self.self_test == "passed"


def examine() -> Examination:
    """Look at this machine; nothing is changed, and no framework is imported."""
    versions: dict[str, str | None] = {"python": platform.python_version(), "snnquant": __version__}
    versions |= {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    library, problem = None, ""
    model, current = _tiny_model()
    try:
        library = runtime.get_library_path()
        runtime.load_session(model.SerializeToString())
    except SnnquantError as error:
        problem = str(error)
    sets = () if library is None else _instruction_sets()
    wanted = os.environ.get(ISA_VARIABLE) or (sets[-1] if sets else None)
    began = time.perf_counter()
    test = _self_test(model, current, native=not problem)
    affinity = getattr(os, "sched_getaffinity", None)
    return Examination(
        versions=versions,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        threads=len(affinity(0)) if affinity else os.cpu_count() or 1,
        variables={k: v for k, v in sorted(os.environ.items()) if k.startswith("SNNQUANT_")},
        library=library,
        problem=problem,
        instruction_sets=sets,
        instruction_set=None if problem else wanted,
        self_test=test,
        seconds=time.perf_counter() - began,
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tiny_model() -> tuple[onnx.ModelProto, np.ndarray[tuple[int, ...], np.dtype[np.int32]]]:
    """Return one layer of integer neurons, and a current that makes it fire."""
    schema = schemas()[_OP]
    values = {"alpha": 29491, "fire_above": 99, "reset_by": 100}

    def held(port: Port) -> onnx.TensorProto:
        array = np.array([values.get(port.name, 0)])
        return helper.make_tensor(port.name, port.elem_type, [1], array)

    attributes: dict[str, Any] = {choice.name: choice.default for choice in schema.attributes}
    ports = schema.inputs
    names = [port.name for port in ports]
    node = helper.make_node(
        _OP, names, [schema.outputs[0].name], name="neurons", domain=DOMAIN, **attributes
    )
    graph = helper.make_graph(
        [node],
        "doctor",
        [helper.make_tensor_value_info(names[0], TensorProto.INT32, ["T", "B", 33])],
        [helper.make_tensor_value_info(schema.outputs[0].name, TensorProto.UINT8, None)],
        [held(port) for port in ports[1:]],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    attach_functions(model)
    current = np.random.default_rng(0).integers(-40, 80, (16, 4, 33)).astype(np.int32)
    return model, current


def _self_test(
    model: onnx.ModelProto,
    current: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
    *,
    native: bool,
) -> str:
    feeds = {model.graph.input[0].name: current}
    try:
        (want,) = Reference(model).run(feeds).values()
        for custom_ops in (True, False) if native else (False,):
            session = runtime.load_session(model.SerializeToString(), custom_ops=custom_ops)
            (got,) = session.run(None, feeds)
            if not np.array_equal(got, want) or not want.any():
                how = "the library" if custom_ops else "the function bodies"
                return f"{how} and the reference differ; reinstall snnquant and onnxruntime"
    except Exception as error:  # whatever is wrong with this machine is what was asked for
        return f"failed: {first_line(error)}"
    return "passed"


def _instruction_sets() -> tuple[str, ...]:
    """Return what the library can use here, as it says when it is asked for something else."""
    code = (
        "import onnxruntime as o, snnquant.runtime as r\n"
        "try: o.SessionOptions().register_custom_ops_library(r.get_library_path())\n"
        "except Exception as error: print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={
            **os.environ,
            ISA_VARIABLE: "?",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = re.search(r"can run: ([^;]+);", ran.stdout)
    return tuple(found.group(1).split(", ")) if found else ()
