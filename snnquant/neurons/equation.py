"""A backend that writes text instead of computing: what one neuron does, in the field's terms.

The text is not written by hand anywhere: it is the ``step`` of the neuron, run on names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snnquant.neurons.arithmetic import FloatArithmetic
from snnquant.neurons.definition import NeuronModel, constants_of

#: How tightly an operation binds; what binds less is put in brackets.
_COMPARISON, _SUM, _PRODUCT = 1, 2, 3
_BINDS = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT}
_BINDS |= dict.fromkeys((">", ">=", "="), _COMPARISON)
#: Names in the text: the current, the membrane that the threshold sees, the spikes.
CURRENT, INTEGRATED, SPIKES = "x[t]", "h[t]", "s[t]"
#: What recurrent weights add to the current.
_RECURRENT = "W s[t-1]"
#: What bounds nothing in a text: no lower limit, and what keeps a division by 0 away in code.
_UNBOUNDED = (-math.inf, 1e-30)


@dataclass(frozen=True, eq=False)
class Equation:
    """One neuron as text.

    Attributes:
        lines: one assignment each, in the order in which a step makes them.
        parameters: names of the parameters that these read.
    """

    lines: tuple[str, ...]
    parameters: frozenset[str]

    @property
    def text(self) -> str:
        """All of it in one line."""
        return "; ".join(self.lines)


class _Term:
    """A value of the step: an operation over terms and numbers, or a name (no operands)."""

    __array_ufunc__ = None

    def __init__(self, op: str, *operands: Any, parameter: str = "") -> None:
        self.op = op
        self.operands = operands
        self.parameter = parameter

    def __add__(self, other: Any) -> Any:
        return self if other == 0 else _Term("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self if other == 0 else _Term("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self if other == 0 else _Term("-", self, other)

    def __rsub__(self, other: Any) -> _Term:
        return _Term("-", other, self)

    def __mul__(self, other: Any) -> Any:
        if other == 0:
            return 0
        return self if other == 1 else _Term("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        if other == 0:
            return 0
        return self if other == 1 else _Term("*", other, self)

    def __truediv__(self, other: Any) -> Any:
        return self if other == 1 else _Term("/", self, other)

    def __neg__(self) -> _Term:
        return _Term("-", 0, self)


def _number(value: Any) -> float | None:
    """Return the number that a value is written as, or None if it is more than a number."""
    if not isinstance(value, _Term):
        return float(value)
    if value.operands or value.parameter:
        return None
    try:
        return float(value.op)
    except ValueError:
        return None


class _TextBackend:
    """Implements :class:`snnquant.neurons.arithmetic.Backend` by building terms."""

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        """Select; with spikes of 0 or 1 as the sum that the field writes."""
        spikes = condition.operands[0] if condition.op == "=" else None
        if isinstance(spikes, _Term) and spikes.op in (">", ">="):
            kept = _Term("*", _Term("-", 1, spikes), yes)
            return kept + spikes * no if isinstance(no, _Term) or no else kept
        return _Term("where", condition, yes, no)

    def equal(self, a: Any, b: Any) -> _Term:
        """Compare."""
        return _Term("=", a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger; of two numbers, which it is."""
        if isinstance(a, _Term) and not isinstance(b, _Term) and b in _UNBOUNDED:
            return a
        first, second = _number(a), _number(b)
        if first is None or second is None:
            return _Term("max", a, b)
        return a if first >= second else b

    def minimum(self, a: Any, b: Any) -> _Term:
        """Return the smaller."""
        return _Term("min", a, b)

    def zeros_like(self, a: Any) -> int:
        """Return 0."""
        return 0

    def floor(self, a: Any) -> _Term:
        """Round down."""
        return _Term("floor", a)

    def ceil(self, a: Any) -> _Term:
        """Round up."""
        return _Term("ceil", a)

    def spikes_above(self, v: Any, threshold: Any, on_equal: bool) -> _Term:
        """Compare."""
        return _Term(">=" if on_equal else ">", v, threshold)

    def counted(self, spikes: Any, v: Any, threshold: Any, divisor: Any, most: int) -> Any:
        """Return ``spikes``."""
        return spikes

    def power_of_two(self, exponent: Any) -> Any:
        """Return ``2**exponent``."""
        return 2**exponent

    def floor_divide(self, a: Any, b: Any) -> _Term:
        """Divide, rounding down."""
        return _Term("floor", _Term("/", a, b))


class _Writer:
    """Turns terms into text, naming those that have a name, and notes the parameters read."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.parameters: set[str] = set()

    def write(self, value: Any, outer: int = 0, *, named: bool = True) -> str:
        """Return a term as text, in brackets where it binds less than ``outer``."""
        if not isinstance(value, _Term):
            return f"{value:.6g}"
        if named and id(value) in self.names:
            return self.names[id(value)]
        if value.parameter:
            self.parameters.add(value.parameter)
        if not value.operands:
            return value.op
        binds = _BINDS.get(value.op)
        if binds is None:
            return f"{value.op}({', '.join(self.write(operand) for operand in value.operands)})"
        left = self.write(value.operands[0], binds)
        right = self.write(value.operands[1], binds + (value.op in ("-", "/")))
        sign = value.op
        if right.startswith("-") and sign in ("+", "-"):  # a number below 0
            sign, right = "-" if sign == "+" else "+", right[1:]
        text = f"{left}{sign}{right}" if binds == _PRODUCT else f"{left} {sign} {right}"
        return f"({text})" if binds < outer else text

    def define(self, name: str, value: Any) -> str:
        """Return the line that says what a name stands for; later lines use the name."""
        known = id(value) in self.names
        line = f"{name} = {self.write(value, named=known)}"
        self.names.setdefault(id(value), name)
        return line


def equation_of(
    neuron: NeuronModel,
    values: Mapping[str, float | None],
    choices: Mapping[str, int],
    *,
    recurrent: bool = False,
    integer: bool = False,
) -> Equation:
    """Return what a neuron with these parameters and this structure does in one step.

    Args:
        neuron: the definition.
        values: real parameters by name; None: several values, or not known: the name is written.
        choices: structural choices; defaults for those left out.
        recurrent: the spikes of the last step come back through weights.
        integer: write parameters under the names of their integer constants.
    """
    names = dict.fromkeys((p.name for p in neuron.parameters), None)
    _, read = _write_step(neuron, names, choices, recurrent, integer)
    lines, _ = _write_step(neuron, names | dict(values), choices, recurrent, integer)
    return Equation(tuple(lines), frozenset(read) | neuron.initial_parameters)


def _write_step(
    neuron: NeuronModel,
    values: Mapping[str, float | None],
    choices: Mapping[str, int],
    recurrent: bool,
    integer: bool,
) -> tuple[list[str], set[str]]:
    """Return the lines of one step, and the parameters whose names they hold."""
    constants: dict[str, Any] = {}
    for parameter in neuron.parameters:
        value = values[parameter.name]
        if value is None:
            text = parameter.constant_name if integer else parameter.name
            constants[parameter.constant_name] = _Term(text, parameter=parameter.name)
        elif parameter.limit and value == parameter.default:
            constants[parameter.constant_name] = -math.inf
        elif value in (0, 1):  # a plain number, which an equation may do without
            constants[parameter.constant_name] = float(value)
        else:
            constants[parameter.constant_name] = _Term(f"{value:.6g}")
    state: dict[str, Any] = {v.name: _Term(f"{v.name}[t-1]") for v in neuron.states}
    current = _Term(CURRENT)
    seen = _Term("+", current, _Term(_RECURRENT)) if recurrent else current
    p = constants_of(neuron, constants, choices)
    ops = FloatArithmetic(_TextBackend())
    for variable in neuron.states:
        # A state that starts at 0 and that nothing moves is none.
        if not variable.initial and not variable.counter:
            still = neuron.step(ops, state | {variable.name: 0}, seen, p)[1][variable.name]
            if not isinstance(still, _Term) and still == 0:
                state[variable.name] = 0
    output, after, membrane = neuron.step(ops, state, seen, p)
    after = {name: value for name, value in after.items() if isinstance(state[name], _Term)}
    used = {variable.name for variable in neuron.states_in_use(vars(p))} & set(after)
    # A state that the membrane reads in the same step is written before it.
    first = {name for name in used if _reads(membrane, after[name])}
    writer = _Writer()
    lines = [writer.define(f"{name}[t]", after[name]) for name in after if name in first]
    lines.append(writer.define(INTEGRATED, membrane))
    if neuron.spiking:
        lines.append(writer.define(SPIKES, output))
    rest = [name for name in after if name in used - first]
    lines += [writer.define(f"{name}[t]", after[name]) for name in rest]
    if not neuron.spiking:
        lines.append(f"output {INTEGRATED}")
    return lines, writer.parameters


def _reads(value: Any, inner: Any) -> bool:
    """Whether a term is computed from another."""
    if not isinstance(value, _Term):
        return False
    return any(operand is inner or _reads(operand, inner) for operand in value.operands)
