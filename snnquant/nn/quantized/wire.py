"""A stand-in for a tensor of unknown shape, with which a model can be followed without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from snnquant.nn.quantized.follower import Follower

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
        wire = next(found for found in _flat(args) if isinstance(found, Wire))
        return wire._called(func.__name__, args, kwargs or {})

    def _called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # What changes a tensor in place gives that tensor.
        in_place = name.endswith("_") and not name.startswith("__")
        result: Any = self if in_place else Wire(self._tracker)
        if name in ("chunk", "split", "tensor_split"):
            many = args[1] if name != "split" and len(args) > 1 else _SOME
            result = tuple(Wire(self._tracker) for _ in range(many))
        elif name == "unbind":
            result = tuple(Wire(self._tracker) for _ in range(_SOME))
        elif name in ("max", "min") and len(args) > 1 and isinstance(args[1], int):
            result = (result, Wire(self._tracker))
        self._tracker.called(name, args, kwargs, result)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in ("device", "dtype", "grad_fn", "grad", "is_cuda", "layout"):
            return None
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


for _slot, _name in {
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add_",
    "__isub__": "sub_",
    "__imul__": "mul_",
    "__sub__": "sub",
    "__rsub__": "rsub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__truediv__": "div",
    "__neg__": "neg",
    "__matmul__": "matmul",
    "__gt__": "gt",
    "__ge__": "ge",
    "__lt__": "lt",
    "__le__": "le",
    "__pow__": "pow",
    "__eq__": "eq",
    "__ne__": "ne",
}.items():
    setattr(Wire, _slot, _operator(_name))


def _flat(value: Any) -> Iterator[Any]:
    """Yield everything inside nested tuples and lists."""
    if isinstance(value, (tuple, list)):
        for entry in value:
            yield from _flat(entry)
    else:
        yield value
