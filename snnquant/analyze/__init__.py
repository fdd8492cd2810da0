"""What quantization costs, layer by layer, and which other settings make it cost less.

A *layer* is a synapse, or several whose currents are added up, with the neurons behind it: what
shares a membrane scale. A layer in integers has the integers of the model that convert writes.

*one-at-a-time*: that layer alone is in integers, all others are float.
*cumulative*: the layers up to that one, in the order of the graph, are in integers; with the last
one this is the integer model, spike by spike. A layer costs what it adds.
*local*: the layer is in integers and sees what the float layer sees; its own output is compared.

*Cost* is a squared error relative to the power of the float value: of the scores that are read out
(one-at-a-time, cumulative), or of what the layer gives out (local).
*Membrane SNR* is ``10 log10(sum v**2 / sum (v - n * scale)**2)`` in dB over samples, steps and
neurons, of the membrane after integration, before the comparison with the threshold and the reset.
Where a spike differs, the membranes differ by a reset from the next step on, and that counts; the
SNR "agreeing" leaves out what a neuron does in a sample after its first spike that differs, and the
SNR of the input current knows of no reset at all.

``layers`` finds the layers, ``mixed`` writes models with some of them in integers, ``study`` runs
these beside the float model, ``meters`` counts, ``costs`` ranks, ``alternatives`` tries settings.
To add a measure: count it in ``meters``, describe it in ``schemas/analyze-1.json``, which its field
of the measure goes to as it is, and show it in ``cli/analysis.py``, if people should see it.
"""

from snnquant.analyze.alternatives import Alternative, Change, changes_of
from snnquant.analyze.costs import MODES, Analysis, Cost, LayerCosts, analyze
from snnquant.analyze.layers import Layer
from snnquant.analyze.meters import LayerMeasure, OutputMeasure
from snnquant.analyze.study import Scoring, Setting, Study

__all__ = [
    "MODES",
    "Alternative",
    "Analysis",
    "Change",
    "Cost",
    "Layer",
    "LayerCosts",
    "LayerMeasure",
    "OutputMeasure",
    "Scoring",
    "Setting",
    "Study",
    "analyze",
    "changes_of",
]
