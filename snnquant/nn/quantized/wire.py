"""A stand-in for a tensor of unknown shape, with which a model can be followed without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from snnquant.errors import SnnquantError, UsageError
from snnquant.nn.quantized.follower import Follower
from snnquant.nn.quantized.names import (
    OPERATORS,
    PROPERTIES,
    canonical,
    changes_in_place,
    function_of,
    reported,
)

#: What a loop over an axis of unknown size runs through.
_SOME = 2


class NotFollowedError(Exception):
    """Forward asks for something that only data can answer."""


class AnySize(int):
    """A size that agrees with whatever it is compared with, since no data says which it is."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class AnyShape:
    """The shape of a :class:`Wire`: any number of axes of any size."""

    def __getitem__(self, index: int | slice) -> Any:
        """Return the size of an axis, or as many sizes as a slice surely has."""
        if not isinstance(index, slice):
            return AnySize(_SOME)
        start, stop = index.start or 0, index.stop
        if stop is None:
            return (AnySize(_SOME),) * (-start if start < 0 else 1)
        return (AnySize(_SOME),) * max(stop - start, 0)

    def __len__(self) -> int:
        return AnySize(_SOME)

    def __iter__(self) -> Iterator[AnySize]:
        # Serves ``*x.shape``; who unpacks another number of axes finds that it does not fit.
        return iter((AnySize(_SOME),) * _SOME)


class Wire:
    """A tensor of which only its way through the model matters.

    Functions, methods and operators give wires again; the tracker hears of each.
    """

    is_floating_point = staticmethod(lambda: True)
    requires_grad = False
    __hash__ = object.__hash__

    def __init__(self, tracker: Follower) -> None:
        self._tracker = tracker

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Let a function of torch give a wire."""
        given = _flat((args, tuple((kwargs or {}).values())))
        wire = next(found for found in given if isinstance(found, Wire))
        return wire._called(reported(func), args, kwargs or {})

    def _called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = self._result(name, args, kwargs)
        self._tracker.called(name, args, kwargs, result)
        return result

    def _result(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what stands for the result of a function."""
        # What changes a tensor in place gives that tensor.
        if "out" in kwargs:
            return kwargs["out"]
        if changes_in_place(name, kwargs):
            return args[0] if args else kwargs.get("input", self)
        entry = function_of(name)
        if entry is not None and entry.parts:
            return tuple(Wire(self._tracker) for _ in range(_part_count(name, args, kwargs)))
        dim = args[1] if len(args) > 1 else kwargs.get("dim")
        if name in ("max", "min") and isinstance(dim, int):
            return Wire(self._tracker), Wire(self._tracker)
        return Wire(self._tracker)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ("device", "dtype", "grad_fn", "grad", "is_cuda", "layout"):
            return None
        if name in PROPERTIES:
            return self._called(name, (self,), {})
        return lambda *args, **kwargs: self._called(name, (self, *args), kwargs)

    @property
    def shape(self) -> AnyShape:
        """Shape of which nothing is known."""
        return AnyShape()

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the size of an axis."""
        return AnyShape() if dim is None else AnySize(_SOME)

    def dim(self) -> int:
        """Return a number of axes that agrees with every other."""
        return AnySize(_SOME)

    ndim = property(dim)

    def __len__(self) -> int:
        return _SOME

    def __iter__(self) -> Iterator[Any]:
        return iter(self._called("unbind", (self,), {}))

    def __bool__(self) -> bool:
        raise NotFollowedError("forward decides by the values of a tensor")

    def __getitem__(self, index: Any) -> Any:
        return self._called("__getitem__", (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        self._tracker.called("__setitem__", (self, index, value), {}, None)


def _operator(name: str) -> Callable[..., Any]:
    return lambda self, *args: self._called(name, (self, *args), {})


for _name in OPERATORS:
    setattr(Wire, _name, _operator(_name))


def _part_count(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return into how many parts a function cuts, as far as its arguments say."""
    if canonical(name) == "unbind":
        return _SOME
    words = ("chunks", "indices_or_sections", "split_size_or_sections", "split_size", "split_sizes")
    named = next((kwargs[word] for word in words if word in kwargs), _SOME)
    given = args[1] if len(args) > 1 else named
    by_size = name.startswith("split")
    if isinstance(given, (tuple, list)):
        return len(given) if by_size else len(given) + 1
    return given if isinstance(given, int) and not by_size else _SOME


def stand_in(follower: Follower, module: Any, x: Any) -> Any:
    """Return what takes the place of a synapse's current while a model is followed."""
    with torch._C.DisableTorchFunction():
        return Wire(follower) if isinstance(x, Wire) else module.real_current(x)


@contextmanager
def without_data(what: str, remedy: str) -> Iterator[None]:
    """Run forward on wires; whatever fails then becomes a UsageError.

    Args:
        what: whose forward it is, for the message.
        remedy: what the user can do instead.
    """
    try:
        yield
    except SnnquantError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UsageError(f"{what} cannot be followed without data ({reason}); {remedy}") from (
            None if isinstance(error, NotFollowedError) else error
        )


def _flat(value: Any) -> Iterator[Any]:
    """Yield everything inside nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        for entry in value:
            yield from _flat(entry)
    else:
        yield value
