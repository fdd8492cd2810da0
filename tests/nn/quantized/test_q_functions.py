"""Every function of torch under every name: the same flows with data, without, and in ONNX."""

import operator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from snnquant.errors import UsageError
from snnquant.lowering import RULES as ONNX_RULES
from snnquant.lowering.flow import Flow, Group, Kind
from snnquant.lowering.plan import Plan
from snnquant.nn.quantized.functions import BY_EFFECT, RULES
from snnquant.nn.quantized.names import FUNCTIONS, OPERATORS, PROPERTIES, Effect, canonical
from snnquant.nn.quantized.tracker import Tracker, values_of
from snnquant.nn.quantized.wire import NotFollowedError, Wire
from snnquant.target import load_target

SHAPE = (2, 3, 4)
#: What follows the tensor, by name or by the one name; those without arguments are not listed.
ARGUMENTS = {
    **dict.fromkeys(("to", "type"), (torch.float32,)),
    **dict.fromkeys(("type_as", "view_as", "reshape_as", "expand_as"), (torch.ones(SHAPE),)),
    "dropout": (0.5, False),
    **dict.fromkeys(("view", "reshape", "broadcast_to"), (SHAPE,)),
    **{"expand": SHAPE, "repeat": (2, 1, 1), "tile": ((2, 1, 1),)},
    **{"flatten": (0, 1), "unflatten": (0, (1, 2)), "squeeze": (0,), "unsqueeze": (0,)},
    **{"select": (0, 1), "index_select": (0, torch.tensor([1])), "narrow": (0, 0, 1)},
    **{"split": (1,), "chunk": (2,), "tensor_split": (2,), "hsplit": (1,), "vsplit": (2,)},
    **{"dsplit": (1,), "split_with_sizes": ([1, 1],), "__getitem__": (0,), "roll": (1, 0)},
    **{"permute": ((1, 0, 2),), "transpose": (0, 1), "movedim": (0, 1), "flip": ((0,),)},
    **{"fliplr": (), "flipud": ()},
    **dict.fromkeys(("add", "sub", "rsub", "mul", "div", "rdiv", "pow", "remainder"), (2,)),
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne", "floor_divide"), (2,)),
    "matmul": (torch.ones(4, 4),),
    **dict.fromkeys(("sum", "mean", "max"), (0,)),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"), (2,)),
    **{n: (1,) for n in FUNCTIONS if n.startswith("adaptive")},
    "pad": ((1, 1),),
    "constant_pad_nd": ((1, 1),),
    "batch_norm": (torch.zeros(3), torch.ones(3)),
}
#: Sizes decide what comes out, so that nothing is known without data.
BY_SIZES = {"sum", "mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
BY_SIZES_OF_CURRENT = {"view", "reshape", "view_as", "reshape_as", "ravel", "mean", "hsplit"}
BY_SIZES_OF_CURRENT |= {"dsplit", *BY_SIZES}
ALL_NAMES = sorted({n for k, f in FUNCTIONS.items() for n in (k, *f.also, *f.properties)})
#: Of Python: how an operator is written.
WRITTEN = {"div": "truediv", "rdiv": "rtruediv", "idiv": "itruediv"}
NOT_HERE = {"cuda", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"}


def ways(name):
    """Yield every way in which a name can be called, as a function of the tensor."""
    one = canonical(name)
    given = ARGUMENTS.get(name, ARGUMENTS.get(one, ()))
    joined = FUNCTIONS[one].effect is Effect.JOINED
    if name in PROPERTIES:
        yield lambda x: getattr(x, name)
    if name == "__getitem__":
        yield lambda x: x[given[0]]
    elif name in OPERATORS:
        yield from written(name.strip("_"), given)
        return
    for home in (functional,) if name == "batch_norm" else (torch, functional):
        function = getattr(home, name, None)
        if callable(function):
            if joined:
                yield lambda x, f=function: f([x, x])
            else:
                yield lambda x, f=function: f(x, *given)
    if callable(getattr(Tensor, name, None)):
        yield lambda x: getattr(x, name)(*given)
    if callable(getattr(Tensor, f"{name}_", None)) and not name.endswith("__"):
        yield lambda x: getattr(x, f"{name}_")(*given)
        yield lambda x: (getattr(x, f"{name}_")(*given), x)[1]


def written(name, given):
    """Yield an operator as a model writes it."""
    name = WRITTEN.get(name, name)
    if hasattr(operator, name):
        yield lambda x: getattr(operator, name)(x, *given)
    elif name.startswith("r") and name != "rmatmul":
        yield lambda x: getattr(operator, name[1:])(*given, x)


def entering(kind, shape):
    if kind is Kind.INTEGER:
        return Flow(kind, 0.5, 0, 3)
    axes = len(shape) - 2 if len(shape) > 2 and shape[1] == 4 else 0
    channels = np.arange(4).reshape(-1, *[1] * axes)
    return Flow(kind, group=Group("fc"), channels=channels)


def shape_for(name):
    if name.endswith(("pool1d", "pool2d")):
        return (2, 4, 6, 6) if "2d" in name else (2, 4, 6)
    if name in ("dropout2d", "dropout3d"):
        return (2, 4, *[5] * int(name[-2]))
    return (2, 4) if name in ("t", "T", "H") else SHAPE


def found(way, kind, shape, data):
    """Return the flow of what comes out of a call, in words that can be compared."""
    tracker = Tracker(Plan(load_target("generic"), 8, 8, {}, {}))
    flow = entering(kind, shape)
    x = torch.ones(shape) if data else Wire(tracker)
    tracker.assign(x, flow)
    try:
        if data:
            with tracker:
                result = way(x)
        else:
            result = way(x)
    except UsageError:
        return "refused"
    flow = tracker.flow(next(values_of(result)))
    if flow.kind is Kind.INTEGER:
        return flow.factor, flow.low, flow.high
    if flow.kind is Kind.FLOAT:
        return "real"
    known = None if flow.channels is None else flow.channels.tolist()
    return flow.factor, known, flow.group.root().per_tensor


@pytest.mark.parametrize("kind", [Kind.INTEGER, Kind.CURRENT], ids=["spikes", "current"])
@pytest.mark.parametrize("name", [n for n in ALL_NAMES if canonical(n) not in NOT_HERE - {"cuda"}])
def test_flows_are_the_same_with_and_without_data(name, kind):
    one, shape = canonical(name), shape_for(name)
    if name in NOT_HERE:
        return
    seen = set()
    for way in ways(name):
        known = found(way, kind, shape, data=True)
        seen.add(str(known))
        if name not in (BY_SIZES if kind is Kind.INTEGER else BY_SIZES_OF_CURRENT):
            assert found(way, kind, shape, data=False) == known
    assert len(seen) <= 1, seen
    if kind is Kind.INTEGER and FUNCTIONS[one].effect in BY_EFFECT and one != "batch_norm":
        assert "real" not in seen, "a rule that is never used"


def test_every_function_has_rules_on_both_sides():
    for name, function in FUNCTIONS.items():
        assert (name in RULES) == (function.effect in BY_EFFECT)
        for op in function.onnx:
            assert ("", op) in ONNX_RULES, f"{name}: the lowering has no rule for {op}"
        refused = function.effect in (Effect.REAL, Effect.NORMALIZED)
        assert refused == (not function.onnx), name


def test_no_name_means_two_functions():
    names = [n for k, f in FUNCTIONS.items() for n in {k, *f.also, *f.properties}]
    assert len(names) == len(set(names))


def test_a_mean_of_unknown_size_is_no_scale():
    with pytest.raises(NotFollowedError):
        found(lambda x: x.mean(0), Kind.CURRENT, SHAPE, data=False)


MOVED = {
    "none_behind": (lambda x: x[..., None], [[0], [1], [2], [3]]),
    "channel": (lambda x: x[..., 0], None),
    "channel_by_name": (lambda x: x.select(-1, 0), None),
    "channel_unbound": (lambda x: x.unbind(-1)[0], None),
    "swapped": (lambda x: x.mT, [[0], [1], [2], [3]]),
    "time_last": (lambda x: x.permute(0, 2, 1), [[0], [1], [2], [3]]),
    "time_last_by_name": (lambda x: x.movedim(-1, -2), [[0], [1], [2], [3]]),
    "flipped": (lambda x: x.flip(0), None),
    "rolled": (lambda x: x.roll(1, 0), None),
    "listed": (lambda x: x[[1, 0]], None),
}


@pytest.mark.parametrize("case", MOVED)
def test_channels_are_followed(case):
    move, channels = MOVED[case]
    known = found(move, Kind.CURRENT, (2, 5, 4), data=True)
    assert known == (1.0, channels, channels is None)
    if case != "none_behind":
        assert found(move, Kind.CURRENT, SHAPE, data=False) == known


def test_sizes_alone_do_not_tell_channels():
    tracker = Tracker(Plan(load_target("generic"), 8, 8, {}, {}))
    for cut in (lambda x: x.select(-1, 0), lambda x: x[..., 0], lambda x: x.unbind(2)[1]):
        x = torch.ones(2, 4, 4)
        flow = Flow(Kind.CURRENT, group=Group("fc"), channels=np.arange(4))
        tracker.assign(x, flow)
        with tracker:
            assert tracker.flow(cut(x)).channels is None
        assert flow.group.per_tensor
