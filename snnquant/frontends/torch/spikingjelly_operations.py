"""Neurons that are one operation of a program: SpikingJelly's ``sj_if``, ``sj_lif`` and so on."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from snnquant.errors import ModelError
from snnquant.frontends.reading import FRAMEWORK_NAMES
from snnquant.frontends.torch.layers import Layer
from snnquant.frontends.torch.translation import Described, Signals, Translation
from snnquant.neurons import LIF, Reset

_NAMESPACES = {"sj_if": "IFNode", "sj_lif": "LIFNode", "sj_plif": "ParametricLIFNode"}
#: Operations through which a state still is the same.
_SAME = frozenset(
    {"view", "reshape", "clone", "select", "squeeze", "unsqueeze", "expand", "detach", "contiguous"}
)
_FILLED = frozenset({"full_like", "full", "zeros_like", "zeros"})
#: Outputs of the operations, in order.
_SPIKES, _VOLTAGE = 0, 1


class Operation(nn.Module):
    """Calls one operation with all arguments but current and membrane given.

    Args:
        op: the operation.
        others: its further arguments, by name.
        start: membrane before the first step.
        weight: of a ParametricLIFNode, its ``w``.
    """

    def __init__(
        self, op: Any, others: Mapping[str, Any], start: float, weight: Tensor | None
    ) -> None:
        super().__init__()
        self.op = op
        self.others = dict(others)
        self.start = start
        self.register_buffer("w", weight)

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return spikes, voltages and charged voltages of ``x [T, B, ...]``."""
        given = self.others | ({} if self.w is None else {"w": self.w})
        spikes, voltages, charged = self.op(x, v, **given)
        return spikes, voltages, charged


class OperationNeuron(Described):
    """One :class:`Operation`, or a run of them over single steps."""

    def __init__(self, module: Operation, *, single_step: bool) -> None:
        self.single_step = single_step
        super().__init__(module)

    def translate(self) -> Translation:
        """Return the operation in our terms."""
        module: Any = self.module
        self.layout = None if self.single_step else 0
        self.last: Any = None
        kind = _NAMESPACES[module.op.namespace]
        others = module.others
        reset = others["reset"]
        rest = 0.0 if reset is None else float(reset)
        rate = 1.0 / float(others["tau"]) if "tau" in others else 0.0
        if module.w is not None:
            rate = float(module.w.sigmoid())
        alpha, bias = 1.0 - rate, rate * rest
        decays = bool(others.get("decay_input", False))
        return Translation(
            f"{FRAMEWORK_NAMES['spikingjelly']} {kind}",
            LIF,
            {
                "alpha": alpha,
                "leak_bias": bias,
                "v_threshold": float(others["threshold"]),
                "v_reset": rest,
                "v_init": alpha * module.start + bias,
            },
            {"reset": int(Reset.SOFT if reset is None else Reset.HARD), "fire_on_equal": 1},
            feed=(lambda x: x * rate) if decays else (lambda x: x),
        )

    def reset(self) -> None:
        """Forget the last membrane."""
        self.last = None

    def begins(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether the membrane is the initial one; else it is what the last call left."""
        v: Tensor = args[1]
        if self.last is not None and torch.equal(v, self.last.reshape(v.shape)):
            return False
        start: Any = self.module.start
        if bool((v == start).all()):
            return True
        raise ModelError("its membrane comes from elsewhere; reset all states inside forward")

    def remember(self, answer: Any) -> None:
        """Keep the membrane after a call."""
        voltage = answer[_VOLTAGE]
        self.last = voltage[-1] if self._keeps_all else voltage

    @property
    def _keeps_all(self) -> bool:
        module: Any = self.module
        return bool(module.others.get("store_v_seq", False))

    def unfold(self, given: Tensor) -> Tensor:
        """Return the current without the axis of its one step, where it has just one."""
        return given[0] if self.single_step else given

    def alone(self, given: Tensor, state: Any) -> tuple[Any, Any]:
        """Call the module by itself; return its answer, and the state for the next call."""
        start: Any = self.module.start
        answer = self.module(given, torch.full_like(given[0], start) if state is None else state)
        return answer, answer[_VOLTAGE][-1] if self._keeps_all else answer[_VOLTAGE]

    def answer(self, signals: Signals) -> Any:
        """Return what the operation gives."""
        after, charged, spikes = self.after_reset(signals), signals.membrane, signals.spikes
        if self.single_step:
            after, charged, spikes = after[None], charged[None], spikes[None]
        return spikes, after if self._keeps_all else after[-1], charged


def neuron_operations(module: fx.GraphModule) -> list[Layer]:
    """Make a submodule of every neuron that is an operation, in place, and return them.

    Operations that go on from one another's membrane, as in a loop over time, are one neuron.

    Raises:
        ModelError: a neuron's state comes from an input, or the operation is not known.
    """
    layers: list[Layer] = []
    owner: dict[fx.Node, str] = {}
    sizes: dict[str, int] = {}
    made: dict[str, tuple[Operation, str]] = {}
    for node in list(module.graph.nodes):
        space = str(getattr(node.target, "namespace", ""))
        if node.op != "call_function" or not space.startswith("sj_"):
            continue
        if space not in _NAMESPACES:
            raise ModelError(f"operation {node.target} ('{node.name}') has no counterpart")
        arguments = _arguments(node)
        before = _before(arguments["v"])
        if before in owner:
            name = owner[before]
        else:
            name = _new_name(module, node)
            operation = _operation(module, node, arguments, before)
            module.add_submodule(name, operation)
            made[name] = operation, _path(node) or name
        with module.graph.inserting_before(node):
            call = module.graph.call_module(name, (arguments["x"], arguments["v"]))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        module.graph.erase_node(node)
        owner[call] = name
        sizes[name] = sizes.get(name, 0) + 1
    module.graph.eliminate_dead_code()
    module.recompile()
    for name, (operation, _) in made.items():
        layers.append(
            Layer(name, operation, OperationNeuron(operation, single_step=sizes[name] > 1))
        )
    return layers


def _arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of an operation by the names of its schema."""
    target: Any = node.target
    names = [argument.name for argument in target._schema.arguments]
    return dict(zip(names, node.args, strict=False)) | dict(node.kwargs)


def _before(value: Any) -> Any:
    """Return the node whose membrane a value is, or that fills it with a number."""
    while isinstance(value, fx.Node) and value.op == "call_function":
        if value.target is operator.getitem and value.args[1] == _VOLTAGE:
            return value.args[0]
        if _opname(value) not in _SAME:
            return value
        value = value.args[0]
    return value


def _opname(node: fx.Node) -> str:
    return str(getattr(node.target, "_opname", ""))


def _operation(
    module: fx.GraphModule, node: fx.Node, arguments: Mapping[str, Any], before: Any
) -> Operation:
    name = _opname(before) if isinstance(before, fx.Node) else ""
    if name not in _FILLED:
        raise ModelError(
            f"neuron '{_path(node) or node.name}' starts from a state that is given from outside; "
            "reset all states inside forward and export again"
        )
    start = float(before.args[1]) if name.startswith("full") else 0.0
    weight = arguments.get("w")
    held = None
    if isinstance(weight, fx.Node):
        held = module.get_parameter(str(weight.target)).detach().clone()
    others = {n: a for n, a in arguments.items() if n not in ("x", "v", "w")}
    return Operation(node.target, others, start, held)


def _path(node: fx.Node) -> str:
    """Return the path of the module that the operation came from, if the program tells."""
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _new_name(module: fx.GraphModule, node: fx.Node) -> str:
    """Return a free path for the neuron's module, its own if possible."""
    known = {name for name, _ in module.named_modules()}
    wanted = _path(node) or f"neurons.{node.name}"
    while wanted in known:
        wanted += ".neuron"
    return wanted
