"""Run models in ONNX Runtime: find the custom-op library, register it, open sessions.

The only file of the package that imports onnxruntime.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import onnxruntime as ort  # type: ignore[import-untyped]

import snnquant
from snnquant.errors import LibraryError, ModelError, first_line

_LIBRARY_NAMES = {
    "darwin": "libsnnquant_ops.dylib",
    "win32": "snnquant_ops.dll",
}
_LIBRARY_NAME = _LIBRARY_NAMES.get(sys.platform, "libsnnquant_ops.so")
#: ONNX Runtime's levels: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal.
_LOG_FATAL = 4

#: Version of ONNX Runtime.
VERSION: str = ort.__version__
#: What :func:`load_session` returns.
Session: TypeAlias = Any  # onnxruntime is untyped

# ONNX Runtime refuses a second registration on the same options, so registered ones are
# remembered, weakly: options that nobody holds any more are forgotten.
_registered: weakref.WeakSet[Any] = weakref.WeakSet()
_lock = threading.Lock()


def get_library_path() -> str:
    """Return the path of the custom-op library of this installation.

    It can be given to any ONNX Runtime from 1.17, in any language, as a custom-op library.

    Raises:
        LibraryError: the package was installed without its library.
    """
    # An editable installation has two folders: the sources, and the one with what was built.
    for folder in snnquant.__path__:
        candidate = Path(folder) / _LIBRARY_NAME
        if candidate.is_file():
            return str(candidate)
    places = ", ".join(snnquant.__path__)
    raise LibraryError(
        f"the custom-op library {_LIBRARY_NAME} is not in {places}; reinstall with a C++ compiler "
        "present (pip install --force-reinstall --no-deps snnquant, or pip install . in a checkout)"
    )


def register(session_options: ort.SessionOptions) -> None:
    """Make the snnquant ops known to the sessions made with these options.

    Registering the same options again does nothing.

    Raises:
        LibraryError: the library is missing, or ONNX Runtime cannot load it.
    """
    path = get_library_path()
    with _lock:
        if session_options in _registered:
            return
        try:
            session_options.register_custom_ops_library(path)
        except Exception as error:
            raise LibraryError(
                f"ONNX Runtime {ort.__version__} cannot load {path}: {first_line(error)}; "
                "repair that, or run the model without the library"
            ) from error
        _registered.add(session_options)


class InferenceSession(ort.InferenceSession):  # type: ignore[misc]
    """ONNX Runtime's session with the snnquant ops registered; otherwise the same."""

    def __init__(
        self,
        path_or_bytes: str | bytes | os.PathLike[str],
        sess_options: ort.SessionOptions | None = None,
        providers: Sequence[str | tuple[str, dict[Any, Any]]] | None = None,
        **kwargs: Any,
    ) -> None:
        options = ort.SessionOptions() if sess_options is None else sess_options
        register(options)
        super().__init__(path_or_bytes, options, providers, **kwargs)


def load_session(
    model: bytes | str | os.PathLike[str],
    *,
    custom_ops: bool = True,
    threads: int | None = None,
    optimized: bool = True,
    profile: str | None = None,
    spinning: bool = True,
) -> Session:
    """Open a model on the CPU, with the native kernels or by the function bodies it carries.

    Args:
        model: serialized model, or path of a model file.
        custom_ops: whether the library is loaded; without it ONNX Runtime inlines the bodies.
        threads: threads within an op; None: ONNX Runtime's choice.
        optimized: whether ONNX Runtime may rewrite the graph, which is slow for large ones.
        profile: start of the path of a file in which ``end_profiling()`` tells the time per node.
        spinning: threads wait busily for the next op, which slows down other open sessions.

    Raises:
        LibraryError: the library is missing or cannot be loaded.
        ModelError: ONNX Runtime does not accept the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_FATAL
    if threads is not None:
        options.intra_op_num_threads = threads
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if custom_ops:
        register(options)
    source = model if isinstance(model, bytes) else os.fspath(model)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        what = "the model" if isinstance(source, bytes) else f"model '{source}'"
        raise ModelError(f"ONNX Runtime cannot load {what}: {first_line(error)}") from error
