"""The numpy reference of integer models, which the self-check and golden vectors compare with.

Neurons run by their definition in int64; convolutions and matrix products in float64.
"""

from snnquant.reference.integer import run_fused, run_schema, synapse_current
from snnquant.reference.model import Reference, float_entries
from snnquant.reference.standard import STANDARD_OPS, Conv, Gemm, MatMul, MaxPool

__all__ = [
    "STANDARD_OPS",
    "Conv",
    "Gemm",
    "MatMul",
    "MaxPool",
    "Reference",
    "float_entries",
    "run_fused",
    "run_schema",
    "synapse_current",
]
