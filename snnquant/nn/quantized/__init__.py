"""Quantizable layers and models: float for training, then exact integers.

``mode`` and ``module`` say what a layer is; ``synapse(s)``, ``neuron(s)`` and ``pooling`` are the
layers, ``running``, ``aware`` and ``states`` how neurons run in integers. ``follower``,
``tracker``, ``functions`` and ``wire`` follow a model's forward, ``link`` decides its scales,
``model`` is the workflow over all.

To add a neuron: a class in ``neurons``; a synapse: a class in ``synapses``.
"""

from snnquant.nn.quantized.export import export_integers
from snnquant.nn.quantized.fuse import fuse_conv_bn
from snnquant.nn.quantized.mode import Mode, QParam
from snnquant.nn.quantized.model import QModel
from snnquant.nn.quantized.module import QModule
from snnquant.nn.quantized.neurons import QIF, QLI, QLIF, QCubaLIF, QExtendedLIF
from snnquant.nn.quantized.pooling import (
    QAvgPool1d,
    QAvgPool2d,
    QGlobalAvgPool2d,
    QMaxPool1d,
    QMaxPool2d,
)
from snnquant.nn.quantized.sequential import QSequential
from snnquant.nn.quantized.synapses import QConv1d, QConv2d, QLinear

__all__ = [
    "QIF",
    "QLI",
    "QLIF",
    "Mode",
    "QAvgPool1d",
    "QAvgPool2d",
    "QConv1d",
    "QConv2d",
    "QCubaLIF",
    "QExtendedLIF",
    "QGlobalAvgPool2d",
    "QLinear",
    "QMaxPool1d",
    "QMaxPool2d",
    "QModel",
    "QModule",
    "QParam",
    "QSequential",
    "export_integers",
    "fuse_conv_bn",
]
