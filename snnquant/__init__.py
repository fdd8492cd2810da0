"""snnquant: take a trained spiking neural network to exact integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnquant.runtime import InferenceSession, get_library_path, register
    from snnquant.stepping import StepSession

__version__ = "0.1.0"

__all__ = ["InferenceSession", "StepSession", "__version__", "get_library_path", "register"]

_FROM_RUNTIME = ("InferenceSession", "get_library_path", "register")
_FROM_STEPPING = ("StepSession",)


def __getattr__(name: str) -> Any:
    """Import the names that need ONNX Runtime when they are first used."""
    if name in _FROM_RUNTIME:
        from snnquant import runtime

        return getattr(runtime, name)
    if name in _FROM_STEPPING:
        from snnquant import stepping

        return getattr(stepping, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
