"""Proofs, without data, of how far the integers of a model can get."""

from snnquant.bounds.graph import GraphReach, graph_reach
from snnquant.bounds.intervals import Interval
from snnquant.bounds.neurons import Reach, neuron_reach

__all__ = ["GraphReach", "Interval", "Reach", "graph_reach", "neuron_reach"]
