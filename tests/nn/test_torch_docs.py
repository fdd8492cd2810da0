"""Every public class tells its parameters and shapes, and what computes, its equation."""

import inspect
import re
from enum import Enum

import pytest
from torch import nn

import snnquant.nn as snn

CLASSES = {name: getattr(snn, name) for name in snn.__all__ if isinstance(getattr(snn, name), type)}
MODULES = {name: value for name, value in CLASSES.items() if issubclass(value, nn.Module)}
#: Their forward is the user's, or that of the layers inside.
NO_FORWARD = {"QModel", "QModule", "QSequential"}
#: What they compute is said by what they are given, or by their subclasses.
NO_EQUATION = NO_FORWARD | {"NeuronLayer", "Operation"}

SHAPE = re.compile(r"``\[[A-Z][^`\]]*\]")
EQUATION = re.compile(r" (!?=|[-+*/<>]) |max\(")


def takes_arguments(value):
    """Say whether the constructor is one of its own, with parameters."""
    if value.__init__ in (nn.Module.__init__, object.__init__, dict.__init__):
        return False
    return not issubclass(value, Enum) and bool(inspect.signature(value).parameters)


def text_of(value):
    """Return the class's own docstring; one that is inherited says nothing of it."""
    return inspect.cleandoc(vars(value)["__doc__"] or "")


@pytest.mark.parametrize("name", CLASSES)
def test_parameters_are_told(name):
    text = text_of(CLASSES[name])
    assert text
    if takes_arguments(CLASSES[name]):
        assert re.search(r"^(Args|Attributes):$", text, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(MODULES) - NO_FORWARD))
def test_shapes_are_told(name):
    assert SHAPE.search(text_of(MODULES[name]))


@pytest.mark.parametrize("name", sorted(set(MODULES) - NO_EQUATION))
def test_equations_are_told(name):
    assert any(map(EQUATION.search, re.findall(r"``([^`]+)``", text_of(MODULES[name]))))


def test_most_classes_are_looked_at():
    assert len(CLASSES) > 40
    assert sum(takes_arguments(value) for value in CLASSES.values()) > 30
