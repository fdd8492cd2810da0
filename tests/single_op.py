"""One integer op as a model, its reference in int64, and every way to run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from snnquant.errors import LibraryError
from snnquant.neurons.simulate import Array, integer_arithmetic, simulate
from snnquant.ops import DOMAIN, OPSET_VERSION, attach_functions, schemas
from snnquant.ops.schema import CURRENT, RECURRENT_WEIGHT, OpSchema
from snnquant.runtime import load_session

#: Instruction sets that this machine can run, as the library's own error message lists them.
ISA_VARIABLE = "SNNQUANT_ISA"


@dataclass(frozen=True)
class Case:
    """A call of one op: its attributes and the arrays that go in."""

    op: str
    attributes: Mapping[str, int]
    feeds: Mapping[str, Array]

    @property
    def schema(self) -> OpSchema:
        return schemas()[self.op]

    @property
    def neuron_steps(self) -> int:
        return int(self.feeds[CURRENT].size)


def model_of(case: Case) -> bytes:
    """Return a model of one node named ``cell`` that also carries the op's function body."""
    schema = case.schema
    rank = case.feeds[CURRENT].ndim
    dims = ["T", "B", *(f"D{k}" for k in range(rank - 2))][:rank]
    inputs = [
        helper.make_tensor_value_info(p.name, p.elem_type, case.feeds[p.name].shape)
        for p in schema.inputs
    ]
    outputs = [
        helper.make_tensor_value_info(
            f"{p.name}_result", p.elem_type, dims if p.timed else dims[1:]
        )
        for p in schema.outputs
    ]
    node = helper.make_node(
        schema.name,
        [p.name for p in schema.inputs],
        [o.name for o in outputs],
        name="cell",
        domain=DOMAIN,
        **case.attributes,
    )
    graph = helper.make_graph([node], "single_op", inputs, outputs)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, OPSET_VERSION)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    attach_functions(model)
    return bytes(model.SerializeToString())


def reference(case: Case) -> list[Array]:
    """Return the outputs that the definition gives, in int64, in the op's order."""
    schema = case.schema
    constants = {name: case.feeds[name] for name in schema.parameter_names}
    states = {n: case.feeds[n] for n in schema.state_names} if schema.stateful else None
    output, final, membranes = simulate(
        schema.neuron,
        integer_arithmetic(case.attributes),
        case.feeds[CURRENT],
        constants,
        case.attributes,
        states=states,
        recurrent_weight=case.feeds.get(RECURRENT_WEIGHT),
    )
    outputs = [output]
    if schema.stateful:
        outputs += [final[name] for name in schema.state_names]
    if schema.with_membrane:
        outputs.append(membranes)
    return outputs


def run_body(case: Case) -> list[Array]:
    """Run the function body in ONNX Runtime, without the library."""
    session = load_session(model_of(case), custom_ops=False, threads=1)
    return list(session.run(None, dict(case.feeds)))


def run_evaluator(case: Case) -> list[Array]:
    """Run the function body in onnx's own evaluator."""
    return list(ReferenceEvaluator(onnx.load_from_string(model_of(case))).run(None, case.feeds))


def usable_isas() -> list[str]:
    """Return the instruction sets that this machine can run, as the library itself lists them."""
    with instruction_set("none"):
        try:
            load_session(model_of_nothing())
        except LibraryError as error:
            return str(error).split("this machine can run: ")[1].split(";")[0].split(", ")
    raise AssertionError("the library knows an instruction set 'none'")


def model_of_nothing() -> bytes:
    """Return a model that hands its input on."""
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "nothing", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@contextmanager
def instruction_set(name: str) -> Iterator[None]:
    """Make sessions opened inside use the kernels of one instruction set."""
    before = os.environ.get(ISA_VARIABLE)
    os.environ[ISA_VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[ISA_VARIABLE]
        else:
            os.environ[ISA_VARIABLE] = before


def run_native(case: Case, isa: str = "", threads: int = 1) -> list[Array]:
    """Run the library's kernel; ``isa`` "" leaves the choice to the library."""
    with instruction_set(isa):
        session = load_session(model_of(case), threads=threads)
    return list(session.run(None, dict(case.feeds)))


BACKENDS: dict[str, Callable[[Case], list[Array]]] = {
    "body": run_body,
    "evaluator": run_evaluator,
    "native": run_native,
    "native-baseline": lambda case: run_native(case, "baseline"),
}


def differences(case: Case, found: list[Any], wanted: list[Array]) -> list[str]:
    """Return the outputs that are not equal, with how many values differ."""
    ports = case.schema.outputs
    assert len(found) == len(wanted) == len(ports) > 0
    report = []
    for port, a, b in zip(ports, found, wanted, strict=True):
        if np.array_equal(a, b):
            continue
        count = int((np.asarray(a) != b).sum()) if np.shape(a) == np.shape(b) else -1
        report.append(f"{case.op}.{port.name}: {count} of {b.size} differ, {dict(case.attributes)}")
    return report
