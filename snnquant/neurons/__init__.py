"""The definition of every neuron: one file per model, and the list of all of them.

To add a neuron:

1. write ``neurons/<name>.py`` with one :class:`NeuronModel`, and add it to :data:`NEURONS`; ops,
   fused ones too, function bodies, quantization of the constants, the reference, fusion and step
   models follow from it. All that its step may use is in
   :class:`snnquant.neurons.arithmetic.Arithmetic`;
2. run ``python -m snnquant.ops.codegen``, which renews the tables that the C++ side reads;
3. write the step again in ``csrc/core/<name>.h`` and add its case to ``csrc/core/kernels.h``;
   ``tests/bitexact`` holds the two equal without an edit, and ``tests/native/layer_driver.cc``
   draws fused layers of it once it is told which states it has. It runs in int64, fused or not:
   lanes of 32 and 16 bits are LIF's (``csrc/core/narrow.h`` and ``layer.cc`` say when);
4. for training, add a class to ``nn/neurons.py``; for quantization in torch, its counterpart to
   ``nn/quantized/neurons.py``, and the latter to ``nn/quantized/__init__.py``;
5. list both in ``nn/__init__.py``;
6. for models from elsewhere, name it where frontends choose a neuron: in
   ``frontends/onnx/recognition/equations.py``, in ``frontends/nir/neurons.py`` (and
   ``write_neuron.py`` for the way back), and in the torch frontend's descriptions of frameworks,
   with ``frontends/torch/merged.py``.
"""

from snnquant.neurons.cubalif import CUBALIF
from snnquant.neurons.definition import (
    Choice,
    Constants,
    NeuronModel,
    Parameter,
    Quantization,
    Reset,
    StateVariable,
    completed,
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
    "Quantization",
    "Reset",
    "StateVariable",
    "completed",
    "constants_of",
]
