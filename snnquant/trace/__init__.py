"""Every integer of a model, layer by layer and step by step, for RTL and firmware test benches.

``layers`` computes them with the numpy reference, ``files`` writes them as npz or hex memory files.
"""

from snnquant.trace.files import FORMATS, check_folder, read_hex, write_trace
from snnquant.trace.layers import LayerTrace, Trace, trace_model

__all__ = [
    "FORMATS",
    "LayerTrace",
    "Trace",
    "check_folder",
    "read_hex",
    "trace_model",
    "write_trace",
]
