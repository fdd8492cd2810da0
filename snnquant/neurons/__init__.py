"""The definition of every neuron: one file per model, and the list of all of them.

To add a neuron: write its file, add it to :data:`NEURONS`, add its kernel to ``csrc/core``.
"""

from snnquant.neurons.cubalif import CUBALIF
from snnquant.neurons.definition import (
    Choice,
    Constants,
    NeuronModel,
    Parameter,
    Reset,
    Rule,
    StateVariable,
    constants_of,
)
from snnquant.neurons.extendedlif import EXTENDEDLIF
from snnquant.neurons.li import LI
from snnquant.neurons.lif import LIF

NEURONS: tuple[NeuronModel, ...] = (LIF, CUBALIF, EXTENDEDLIF, LI)

__all__ = [
    "CUBALIF",
    "EXTENDEDLIF",
    "LI",
    "LIF",
    "NEURONS",
    "Choice",
    "Constants",
    "NeuronModel",
    "Parameter",
    "Reset",
    "Rule",
    "StateVariable",
    "constants_of",
]
