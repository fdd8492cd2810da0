"""The vocabulary in which a neuron is defined: parameters, states, structure, and one step.

A neuron file holds one :class:`NeuronModel`. Its ``step`` is the only text of the neuron's
equations; interpreters run it on numpy arrays, on torch tensors, or trace it into ONNX nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any, TypeVar

State = dict[str, Any]
Step = Callable[[Any, State, Any, "Constants"], tuple[Any, State, Any]]
Value = TypeVar("Value")


class Reset(IntEnum):
    """What a spike does to the membrane; the numbers are the ``reset`` attribute of the ops."""

    HARD = 0
    """The membrane becomes ``v_reset``."""
    SOFT = 1
    """The threshold is subtracted, once per spike."""
    SOFT_CONSTANT = 2
    """``dv`` is subtracted, once per spike; it does not follow an adaptive threshold."""
    NONE = 3
    """Nothing."""


class Quantization(Enum):
    """How a real parameter becomes an integer constant at the membrane scale ``S_v``."""

    MULTIPLIER = "k / 2**leak_shift"
    MEMBRANE = "round(value / S_v), saturated to the state width"
    THRESHOLD = "the integer above which the neuron fires, saturated to the state width"
    STEPS = "a count of time steps, unchanged"


@dataclass(frozen=True)
class Parameter:
    """One real parameter of a neuron and the integer constant that it becomes.

    Attributes:
        name: name of the real parameter, an input of the float op.
        rule: how the integer constant is made.
        default: real value where the user gives none; None: taken from ``default_from``.
        default_from: parameter whose value is the default.
        constant: name of the constant that ``step`` reads, an input of the integer op.
        doc: one phrase for documentation.
        limit: only says where states are limited, so that it asks for no finer scale.
    """

    name: str
    rule: Quantization
    default: float | None
    doc: str
    default_from: str = ""
    constant: str = ""
    limit: bool = False

    @property
    def constant_name(self) -> str:
        """Name under which ``step`` reads the value."""
        return self.constant or self.name


@dataclass(frozen=True)
class StateVariable:
    """One state that a neuron carries from step to step.

    Attributes:
        name: short name, an input and output of the ``State`` ops.
        initial: parameter that holds the value before the first step; "" means 0.
        doc: one phrase for documentation.
        counter: a count of steps rather than a value at the membrane scale.
        only_with: choice that must not be 0, or the state keeps its first value and nothing reads
            it; "": always in use.
    """

    name: str
    doc: str
    initial: str = ""
    counter: bool = False
    only_with: str = ""


@dataclass(frozen=True)
class Choice:
    """A structural choice: it changes the equations, not their constants.

    Attributes:
        name: attribute of the ops.
        default: value where the user gives none.
        low, high: accepted integers, both included.
        doc: one phrase for documentation.
        float_only: exists in the float op only; in integers a constant expresses it.
    """

    name: str
    default: int
    low: int
    high: int
    doc: str
    float_only: bool = False


class Constants(SimpleNamespace):
    """What ``step`` reads: one attribute per constant and per structural choice of the neuron."""


@dataclass(frozen=True)
class NeuronModel:
    """A neuron: names, parameters, states, structure and the one text of its step.

    Attributes:
        name: op type of the float op in domain ``snnquant``; the integer op is ``Q`` + name.
        equation: the step in the field's notation, for reports.
        choices: the structural choices. One called ``max_spikes`` bounds the output: lowering and
            training read from it how many spikes one step can give, and take 1 where there is none.
        spiking: whether ``step`` returns spikes (else it returns the membrane itself).
        step: ``step(ops, state, current, constants) -> (output, new state, membrane)``, where the
            membrane is the one after integration, before reset and leak.
    """

    name: str
    equation: str
    parameters: tuple[Parameter, ...]
    states: tuple[StateVariable, ...]
    choices: tuple[Choice, ...]
    step: Step
    spiking: bool = True

    def parameter(self, name: str) -> Parameter:
        """Return the parameter called ``name``."""
        return next(p for p in self.parameters if p.name == name)

    @property
    def initial_parameters(self) -> frozenset[str]:
        """Parameters that only set the states before the first step."""
        return frozenset(state.initial for state in self.states if state.initial)

    def states_in_use(self, choices: Mapping[str, int]) -> tuple[StateVariable, ...]:
        """Return the states that a neuron with these structural choices has a use for."""
        return tuple(s for s in self.states if not s.only_with or choices[s.only_with])

    def integer_choices(self) -> tuple[Choice, ...]:
        """Return the structural choices that the integer op has."""
        return tuple(choice for choice in self.choices if not choice.float_only)


def completed(model: NeuronModel, given: Mapping[str, Value]) -> dict[str, Value | float]:
    """Return all parameters of a neuron, in order; its defaults for those that are not given."""
    held: dict[str, Value | float] = {}
    for parameter in model.parameters:
        source = parameter
        if parameter.name not in given and parameter.default is None:
            source = model.parameter(parameter.default_from)
        held[parameter.name] = given.get(source.name, source.default or 0.0)
    return held


def constants_of(
    model: NeuronModel, values: Mapping[str, Any], choices: Mapping[str, int]
) -> Constants:
    """Bundle values (by constant name) and structural choices into what ``step`` reads."""
    given = {choice.name: choices.get(choice.name, choice.default) for choice in model.choices}
    return Constants(**values, **given)
