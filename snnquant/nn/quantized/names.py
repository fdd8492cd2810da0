"""The functions of torch that have an integer form, by every name under which torch reports them.

One function has many names: as a function and as a method, as an operator from the left, from the
right and in place, with ``_`` behind it, as a property. All of them mean one entry of
:data:`FUNCTIONS` here; whoever hears of a call asks :func:`canonical` first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


class Effect(Enum):
    """What a function does to values, as far as integers are concerned."""

    SAME = auto()
    """The values are what they were."""
    RESHAPED = auto()
    """They stay in order; the axes change."""
    CUT = auto()
    """Axes are cut, repeated or selected; what is left stays in order."""
    PERMUTED = auto()
    """The axes change places."""
    SCRAMBLED = auto()
    """Values change places within an axis."""
    ADDED = auto()
    MULTIPLIED = auto()
    JOINED = auto()
    REDUCED = auto()
    MAX_POOLED = auto()
    AVERAGE_POOLED = auto()
    AVERAGED_TO_SIZE = auto()
    PADDED = auto()
    NORMALIZED = auto()
    """Batch normalization, which must be fused before."""
    REAL = auto()
    """Real numbers come out; listed since it has operators."""


@dataclass(frozen=True)
class Function:
    """One function of torch.

    Attributes:
        effect: what it does to values.
        onnx: op types that carry it in an exported graph; the lowering has a rule for each.
        also: its other names. With one or two ``_`` around they are operators.
        properties: attributes of a tensor that mean it.
        parts: it gives a tuple of tensors.
    """

    effect: Effect
    onnx: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    parts: bool = False


def _operator(name: str) -> tuple[str, str, str]:
    return f"__{name}__", f"__r{name}__", f"__i{name}__"


def _each(names: str, effect: Effect, *onnx: str) -> dict[str, Function]:
    return {name: Function(effect, onnx) for name in names.split()}


_E = Effect

FUNCTIONS: dict[str, Function] = {
    **_each("clone contiguous detach alias resolve_conj resolve_neg", _E.SAME, "Identity"),
    **_each("requires_grad", _E.SAME, "Identity"),
    **_each("cpu cuda to float double half bfloat16 type type_as", _E.SAME, "Identity"),
    "real": Function(_E.SAME, ("Identity",), (), ("real", "data")),
    "positive": Function(_E.SAME, ("Identity",), ("__pos__",)),
    "dropout": Function(
        _E.SAME,
        ("Identity",),
        ("dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    ),
    **_each("reshape view view_as reshape_as ravel flatten unflatten", _E.RESHAPED, "Reshape"),
    "squeeze": Function(_E.RESHAPED, ("Squeeze",)),
    "unsqueeze": Function(_E.RESHAPED, ("Unsqueeze",)),
    "__getitem__": Function(_E.CUT, ("Gather", "Slice", "Unsqueeze")),
    **_each("select index_select", _E.CUT, "Gather"),
    "narrow": Function(_E.CUT, ("Slice",), ("slice",)),
    "split": Function(
        _E.CUT,
        ("Split", "Slice"),
        ("chunk", "tensor_split", "hsplit", "vsplit", "dsplit", "split_with_sizes"),
        parts=True,
    ),
    "unbind": Function(_E.CUT, ("Split", "Slice", "Squeeze"), parts=True),
    "repeat": Function(_E.CUT, ("Expand", "Tile"), ("tile",)),
    "expand": Function(_E.CUT, ("Expand",), ("expand_as", "broadcast_to")),
    "permute": Function(_E.PERMUTED, ("Transpose",)),
    "transpose": Function(_E.PERMUTED, ("Transpose",), ("swapaxes", "swapdims")),
    "movedim": Function(_E.PERMUTED, ("Transpose",), ("moveaxis",)),
    "t": Function(_E.PERMUTED, ("Transpose",), (), ("T",)),
    "adjoint": Function(_E.PERMUTED, ("Transpose",), (), ("mT", "mH", "H")),
    "flip": Function(_E.SCRAMBLED, ("Slice",), ("fliplr", "flipud")),
    "roll": Function(_E.SCRAMBLED, ("Slice", "Concat")),
    "add": Function(_E.ADDED, ("Add",), _operator("add")),
    "sub": Function(_E.ADDED, ("Sub",), ("subtract", "__sub__", "__isub__")),
    "rsub": Function(_E.ADDED, ("Sub",), ("__rsub__",)),
    "mul": Function(_E.MULTIPLIED, ("Mul",), ("multiply", *_operator("mul"))),
    "div": Function(
        _E.MULTIPLIED,
        ("Div",),
        ("divide", "true_divide", "__truediv__", "__itruediv__", "__div__", "__idiv__"),
    ),
    "cat": Function(_E.JOINED, ("Concat",), ("concat", "concatenate")),
    "stack": Function(_E.JOINED, ("Unsqueeze", "Concat")),
    "sum": Function(_E.REDUCED, ("ReduceSum",)),
    "mean": Function(_E.REDUCED, ("ReduceMean",)),
    "max": Function(_E.REDUCED, ("ReduceMax",), ("amax",)),
    **_each("max_pool1d max_pool2d", _E.MAX_POOLED, "MaxPool"),
    **_each("adaptive_max_pool1d adaptive_max_pool2d", _E.MAX_POOLED, "MaxPool", "ReduceMax"),
    **_each("avg_pool1d avg_pool2d", _E.AVERAGE_POOLED, "AveragePool"),
    **_each("adaptive_avg_pool1d adaptive_avg_pool2d", _E.AVERAGED_TO_SIZE, "ReduceMean"),
    "pad": Function(_E.PADDED, ("Pad",), ("constant_pad_nd",)),
    "batch_norm": Function(_E.NORMALIZED),
    "rdiv": Function(_E.REAL, (), ("__rtruediv__", "__rdiv__")),
    **{
        name: Function(_E.REAL, (), _operator(operator))
        for name, operator in {
            "pow": "pow",
            "matmul": "matmul",
            "floor_divide": "floordiv",
            "remainder": "mod",
            "bitwise_and": "and",
            "bitwise_or": "or",
            "bitwise_xor": "xor",
        }.items()
    },
    **{
        name: Function(_E.REAL, (), (f"__{operator}__",))
        for name, operator in {
            **{name: name for name in ("neg", "abs", "gt", "ge", "lt", "le", "eq", "ne")},
            "bitwise_not": "invert",
        }.items()
    },
}

_NAMES: dict[str, str] = {
    alias: name
    for name, function in FUNCTIONS.items()
    for alias in (name, *function.also, *function.properties)
}
#: Attributes of a tensor that are functions of it.
PROPERTIES = frozenset(p for function in FUNCTIONS.values() for p in function.properties)
#: Operators of Python, apart from the index, which has a shape of its own.
OPERATORS = frozenset(n for n in _NAMES if n.startswith("__")) - {"__getitem__"}
_OPERATORS_IN_PLACE = frozenset(
    name for name in OPERATORS if name.startswith("__i") and name != "__invert__"
)


def reported(function: Callable[..., Any]) -> str:
    """Return the name under which a call that torch reports is known."""
    name = str(getattr(function, "__name__", ""))
    if name == "__get__":
        # What is read of a tensor; the accessor knows which attribute.
        attribute = getattr(getattr(function, "__self__", None), "__name__", "")
        return attribute if attribute in PROPERTIES else name
    return name


def canonical(name: str) -> str:
    """Return the one name of a function; of one that is not listed, its name without ``_``."""
    if name in _NAMES:
        return _NAMES[name]
    bare = name if name.startswith("__") else name.rstrip("_")
    return _NAMES.get(bare, bare)


def function_of(name: str) -> Function | None:
    """Return the entry of a function by any of its names; None: it is not listed."""
    return FUNCTIONS.get(canonical(name))


def changes_in_place(name: str, kwargs: dict[str, Any]) -> bool:
    """Whether a call changes its first argument."""
    if name in _OPERATORS_IN_PLACE or name == "__setitem__" or kwargs.get("inplace") is True:
        return True
    return name.endswith("_") and not name.startswith("__")
