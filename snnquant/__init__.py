"""snnquant: take a trained spiking neural network to exact integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnquant.runtime import InferenceSession, get_library_path, register

__version__ = "0.1.0"

__all__ = ["InferenceSession", "__version__", "get_library_path", "register"]

_FROM_RUNTIME = ("InferenceSession", "get_library_path", "register")


def __getattr__(name: str) -> Any:
    """Import the names that need ONNX Runtime when they are first used."""
    if name in _FROM_RUNTIME:
        from snnquant import runtime

        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
