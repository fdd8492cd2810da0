"""Widths for single layers: which models to measure, what they do, and which are worth having.

:mod:`~snnquant.tune.candidates` says which widths come next where bits are taken away one layer
after the other, :mod:`~snnquant.tune.measure` makes the integer models and runs them,
:mod:`~snnquant.tune.front` keeps those that no other beats, and :mod:`~snnquant.tune.run` puts the
steps in a row. Widths of weights are tried; to try those of states as well, give a
:class:`~snnquant.tune.candidates.Unit` per neuron, whose choices :func:`~snnquant.tune.measure`
turns into :class:`~snnquant.lowering.layer_options.LayerOptions`.
"""

from snnquant.tune.candidates import Config, Unit
from snnquant.tune.chart import front_chart
from snnquant.tune.front import Limits, Point
from snnquant.tune.kept import KeptMeasures
from snnquant.tune.measure import Measures, Study
from snnquant.tune.run import Tuned, tune

__all__ = [
    "Config",
    "KeptMeasures",
    "Limits",
    "Measures",
    "Point",
    "Study",
    "Tuned",
    "Unit",
    "front_chart",
    "tune",
]
