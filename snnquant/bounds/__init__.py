"""Proofs, without data, of how far the integers of a model can get."""

from snnquant.bounds.intervals import Interval
from snnquant.bounds.neurons import Reach, neuron_reach

__all__ = ["Interval", "Reach", "neuron_reach"]
