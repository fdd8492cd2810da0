"""The custom-op library and its Python side: what it exports, and how it refuses."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from single_op import Case, instruction_set, model_of, reference, run_native
from strategies import INTEGER_OPS, drawing_uniformly, make_feeds

import snnquant
from snnquant import runtime
from snnquant.errors import LibraryError, ModelError
from snnquant.ops import codegen, schemas

ATTRIBUTES = {
    "reset": 0, "reset_after_leak": 0, "max_spikes": 1, "refractory": 0,
    "leak_shift": 8, "leak_rounding": 0, "current_shift": 0, "state_bits": 16,
}  # fmt: skip


def lif_case(op: str = "QLIFState", shape: tuple[int, ...] = (2, 3, 4, 5)) -> Case:
    rng = np.random.default_rng(0)
    feeds = make_feeds(
        schemas()[op], ATTRIBUTES, shape, rng, draw=drawing_uniformly(rng), reach=100
    )
    return Case(op, ATTRIBUTES, feeds)


def test_generated_files_are_up_to_date() -> None:
    assert len(codegen.generated_files()) == 2
    assert codegen.stale_files() == []


def test_library_exports_one_symbol() -> None:
    nm = shutil.which("nm")
    assert nm, "this test needs nm (binutils)"
    listing = subprocess.run(
        [nm, "-D", "--defined-only", runtime.get_library_path()],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert [line.split()[-1] for line in listing.splitlines()] == ["RegisterCustomOps"]


def test_importing_the_package_does_not_import_onnxruntime() -> None:
    code = "import sys, snnquant; snnquant.__version__; sys.exit('onnxruntime' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_package_offers_the_runtime_names() -> None:
    assert Path(snnquant.get_library_path()).is_file()
    assert snnquant.register is runtime.register
    assert issubclass(snnquant.InferenceSession, ort.InferenceSession)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = snnquant.no_such_name  # type: ignore[attr-defined]


def test_registering_twice_does_nothing() -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    runtime.register(options)
    runtime.register(options)
    assert ort.InferenceSession(model_of(lif_case()), options)


def test_registered_options_are_not_kept_alive() -> None:
    before = len(runtime._registered)
    options = ort.SessionOptions()
    runtime.register(options)
    assert len(runtime._registered) == before + 1
    del options
    assert len(runtime._registered) == before


def test_session_class_runs_models() -> None:
    case = lif_case()
    session = snnquant.InferenceSession(model_of(case))
    assert np.array_equal(session.run(None, case.feeds)[0], reference(case)[0])


def test_missing_library_is_a_library_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runtime, "snnquant", SimpleNamespace(__path__=[str(tmp_path)]))
    with pytest.raises(LibraryError, match="reinstall"):
        runtime.load_session(model_of(lif_case()))
    assert LibraryError.exit_code == 7


def test_broken_library_is_a_library_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / Path(runtime.get_library_path()).name).write_bytes(b"not a library")
    monkeypatch.setattr(runtime, "snnquant", SimpleNamespace(__path__=[str(tmp_path)]))
    with pytest.raises(LibraryError, match="cannot load") as caught:
        runtime.load_session(model_of(lif_case()))
    assert "\n" not in str(caught.value)


def test_unreadable_model_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot load the model"):
        runtime.load_session(b"not a model")
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        runtime.load_session(tmp_path / "absent.onnx")


def test_unknown_instruction_set_is_refused() -> None:
    with instruction_set("mmx"), pytest.raises(LibraryError, match="SNNQUANT_ISA is 'mmx'"):
        runtime.load_session(model_of(lif_case()))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512", "avx512vnni", "neondot"])
def test_instruction_set_computes_the_reference_or_is_refused(isa: str) -> None:
    case = lif_case("QLIF", (6, 3, 5, 500))
    try:
        found = run_native(case, isa)
    except LibraryError as error:
        assert isa != "baseline"
        assert "this machine can run" in str(error)  # noqa: PT017
    else:
        assert np.array_equal(found[0], reference(case)[0])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("alpha", (3,), r"input 'alpha' has shape \[3\], must have one of: \[1\], \[4\]"),
        ("fire_above", (5, 4), r"\[4,5\] \(one per neuron\)"),
        ("alpha", (), r"input 'alpha' has shape \[\]"),
        ("v", (3, 4, 4), r"input 'v' has shape \[3,4,4\], must have \[3,4,5\]"),
        ("r", (3, 20), r"input 'r' has shape \[3,20\]"),
        ("current", (7,), r"input 'current' has shape \[7\], must have time and batch first"),
        ("recurrent_weight", (20, 4), r"input 'recurrent_weight' .* must have \[20,20\]"),
    ],
)
def test_bad_shape_names_node_op_and_input(name: str, shape: tuple[int, ...], message: str) -> None:
    op = "QLIFRecurrentState" if name == "recurrent_weight" else "QLIFState"
    good = lif_case(op)
    dtype = good.feeds[name].dtype
    session = runtime.load_session(without_shapes(model_of(good)))
    feeds = {**good.feeds, name: np.zeros(shape, dtype)}
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument) as caught:
        session.run(None, feeds)
    assert f"node 'cell' ({op}): " in str(caught.value)
    assert caught.match(message)


def test_older_runtime_is_told_what_it_needs() -> None:
    messages: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    def create_status(_: int, message: bytes) -> int:
        messages.append(message)
        return 1

    table = (ctypes.c_void_p * 1)(ctypes.cast(create_status, ctypes.c_void_p))

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    def get_api(version: int) -> int | None:
        return ctypes.addressof(table) if version <= 16 else None

    @ctypes.CFUNCTYPE(ctypes.c_void_p)
    def get_version() -> int | None:
        return ctypes.cast(version_text, ctypes.c_void_p).value

    version_text = ctypes.create_string_buffer(b"1.16.3")
    base = (ctypes.c_void_p * 2)(
        ctypes.cast(get_api, ctypes.c_void_p), ctypes.cast(get_version, ctypes.c_void_p)
    )
    entry = ctypes.CDLL(runtime.get_library_path()).RegisterCustomOps
    entry.restype = ctypes.c_void_p
    assert entry(None, ctypes.byref(base)) == 1
    assert b"need ONNX Runtime 1.17 or newer, this is 1.16.3" in messages[0]


def without_shapes(serialized: bytes) -> bytes:
    """Return the model with inputs and outputs of unknown shape."""
    model = onnx.load_from_string(serialized)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("leak_shift", 17, "attribute 'leak_shift' is 17, must be an integer from 0 to 16"),
        ("reset", -1, "attribute 'reset' is -1"),
        ("state_bits", None, "attribute 'state_bits' is missing"),
    ],
)
def test_bad_attribute_is_refused_at_load(attribute: str, value: int | None, message: str) -> None:
    model = onnx.load_from_string(model_of(lif_case()))
    node = model.graph.node[0]
    kept = [a for a in node.attribute if a.name != attribute]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(onnx.helper.make_attribute(attribute, value))
    with pytest.raises(ModelError, match=message) as caught:
        runtime.load_session(bytes(model.SerializeToString()))
    assert "node 'cell' (QLIFState)" in str(caught.value)


def test_output_shapes_are_inferred_from_the_current() -> None:
    model = onnx.load_from_string(model_of(lif_case("QLIFStateMembrane")))
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.functions[:]
    session = runtime.load_session(bytes(model.SerializeToString()))
    shapes = {o.name: o.shape for o in session.get_outputs()}
    assert shapes["spikes_result"] == shapes["membrane_result"] == [2, 3, 4, 5]
    assert shapes["v_result"] == shapes["r_result"] == [3, 4, 5]


def test_many_sessions_at_once_agree() -> None:
    case = lif_case("QLIF", (20, 8, 5, 100))
    model, wanted = model_of(case), reference(case)[0]
    failures: list[BaseException | str] = []

    def work() -> None:
        try:
            for _ in range(15):
                session = runtime.load_session(model, threads=2)
                if not np.array_equal(session.run(None, case.feeds)[0], wanted):
                    failures.append("differs")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_every_integer_op_is_registered() -> None:
    assert len(INTEGER_OPS) >= 26
    for op in INTEGER_OPS:
        model = onnx.load_from_string(model_of(lif_case(op) if "LIF" in op else li_case(op)))
        del model.functions[:]
        assert runtime.load_session(bytes(model.SerializeToString()))


def li_case(op: str) -> Case:
    attributes = {a.name: max(a.low, 0) for a in schemas()[op].attributes} | {"state_bits": 16}
    rng = np.random.default_rng(0)
    feeds = make_feeds(
        schemas()[op], attributes, (2, 3, 4), rng, draw=drawing_uniformly(rng), reach=100
    )
    return Case(op, attributes, feeds)
