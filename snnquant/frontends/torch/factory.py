"""Builds the user's module from ``package.module:factory``."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from snnquant.errors import UsageError, first_line

#: Loggers of torch that have levels of their own.
_LOUD = ("torch._library", "torch._library.triton", "torch.onnx", "torch.export")
#: Attribute of the module, or of the factory, that shows an input where none is given.
EXAMPLE_INPUT = "example_input"


def build_module(name: str) -> tuple[nn.Module, tuple[int, ...] | None]:
    """Call the factory that a name says and return its module.

    Args:
        name: ``package.module:factory``; a class or a function that needs no argument. The current
            folder is searched first.

    Returns:
        The module, and the shape of its ``example_input`` (a tensor that the module or the factory
        has as an attribute), if there is one.

    Raises:
        UsageError: no such module or factory, it fails, or it gives no ``torch.nn.Module``.
    """
    where, separator, attribute = name.partition(":")
    if not separator or not where or not attribute:
        raise UsageError(
            f"--model {name!r} is no package.module:factory; name a function in a file"
        )
    factory = _factory(where, attribute, name)
    if not callable(factory):
        kind = type(factory).__name__
        raise UsageError(
            f"--model {name}: {attribute} is of type {kind}; name a function or a class"
        )
    try:
        with _current_folder_first(), quiet():
            module = factory()
    except Exception as error:
        raise UsageError(f"--model {name}: the factory fails: {_one_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"--model {name}: the factory gives a {type(module).__name__}; "
            "it must return a torch.nn.Module"
        )
    example = getattr(module, EXAMPLE_INPUT, getattr(factory, EXAMPLE_INPUT, None))
    return module, tuple(example.shape) if isinstance(example, Tensor) else None


def _factory(where: str, attribute: str, name: str) -> Any:
    try:
        with _current_folder_first(), quiet():
            found: Any = importlib.import_module(where)
    except ModuleNotFoundError as error:
        missing = error.name or where
        raise UsageError(
            f"--model {name}: there is no module {missing}; "
            "run where it can be imported, or install it"
        ) from error
    except Exception as error:
        raise UsageError(f"--model {name}: importing {where} fails: {_one_line(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(f"--model {name}: {where} has no {attribute}; check the name")
        found = getattr(found, part)
    return found


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """Search the current folder for modules, as ``python`` itself would."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the user's code and its frameworks print away from results, and out of the way.

    What is printed goes to stderr; warnings of Python and of torch's loggers are silenced: a
    framework warns of optional parts that are not installed, which no user of this can act on.
    """
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    children = [logging.getLogger(name) for name in _LOUD]
    levels = [child.level for child in children]
    for child in children:
        child.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        for child, before in zip(children, levels, strict=True):
            child.setLevel(before)


def _one_line(error: BaseException) -> str:
    name = type(error).__name__
    return f"{name}: {first_line(error)}" if str(error).strip() else name
