"""Spiking networks in torch: neurons, surrogate gradients, time, and export to ONNX."""

from snnquant.neurons import Reset
from snnquant.nn.compositions import Refractory, ResetAfterSpike, ThresholdDynamics
from snnquant.nn.export import export_onnx
from snnquant.nn.layer import NeuronLayer
from snnquant.nn.neurons import IF, LI, LIF, CubaLIF, ExtendedLIF, SpikingOptions
from snnquant.nn.operations import (
    Accumulate,
    AccumulateWithRefractory,
    Fire,
    FireWithConstantThreshold,
    HardUpdateAfterSpike,
    Leaky,
    Operation,
    Saturate,
    SoftUpdateAfterSpike,
    ThresholdAccumulate,
    ThresholdAccumulateWithSaturate,
)
from snnquant.nn.surrogate import (
    SURROGATES,
    Arctan,
    Rectangle,
    Sigmoid,
    Surrogate,
    register_surrogate,
)
from snnquant.nn.time import Folded, MeanOverTime, Repeat, SumOverTime, repeat
from snnquant.nn.torch_backend import TorchBackend

__all__ = [
    "IF",
    "LI",
    "LIF",
    "SURROGATES",
    "Accumulate",
    "AccumulateWithRefractory",
    "Arctan",
    "CubaLIF",
    "ExtendedLIF",
    "Fire",
    "FireWithConstantThreshold",
    "Folded",
    "HardUpdateAfterSpike",
    "Leaky",
    "MeanOverTime",
    "NeuronLayer",
    "Operation",
    "Rectangle",
    "Refractory",
    "Repeat",
    "Reset",
    "ResetAfterSpike",
    "Saturate",
    "Sigmoid",
    "SoftUpdateAfterSpike",
    "SpikingOptions",
    "SumOverTime",
    "Surrogate",
    "ThresholdAccumulate",
    "ThresholdAccumulateWithSaturate",
    "ThresholdDynamics",
    "TorchBackend",
    "export_onnx",
    "register_surrogate",
    "repeat",
]
