"""Fusion: an integer graph with synapses and neurons as one op each, channels last inside."""

from snnquant.fusion.fuse import Fusion, fuse_model
from snnquant.fusion.twin import Twin

__all__ = ["Fusion", "Twin", "fuse_model"]
