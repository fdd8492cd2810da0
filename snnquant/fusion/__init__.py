"""Fusion: an integer graph with synapses and neurons as one op each, channels last inside.

``fuse`` goes through the graph and ``layers`` writes what it finds. Values are asked for backwards
from a neuron's current: ``currents`` reads sums of synapses, which wait until their neuron is
known, ``spikes`` what synapses read, and ``entry`` what nobody computes channels last.

To fuse a pattern that the ops can already express, write a rule for the operation that is in the
way, in the ``_RULES`` of ``currents`` (int32 sums) or ``spikes`` (bytes). It returns what the value
is, or raises :class:`snnquant.fusion.view.NotFusedError` with the reason that users read.

To add an op:

1. in ``ops/fused.py``, a :class:`snnquant.ops.fused.Family` or a field of ``FusedSchema`` with its
   inputs, outputs and attributes, and its name among ``fused_schemas``;
2. its function body in ``ops/fused_body.py``, and the same in numpy in ``reference/integer.py``;
3. roles of new inputs in ``ops/codegen.py`` and ``csrc/ort/op_table.h``, where families are listed
   too; then run ``python -m snnquant.ops.codegen``;
4. its kernel in ``csrc/core``, filled in by ``csrc/isa/layers.cc`` and offered by
   ``csrc/isa/dispatch.h``; its node in ``csrc/ort``, made in ``csrc/ort/node.cc``; the sizes of its
   outputs in ``csrc/ort/shape_inference.cc``, where they are not those of others;
5. a rule here that writes it, as ``_pooled`` of ``spikes`` does;
6. its drawn calls in ``tests/fused_cases.py``: ``tests/bitexact/test_fused.py`` compares body,
   reference and kernels; networks that become it in ``tests/fusion``.
"""

from snnquant.fusion.fuse import Fusion, fuse_model
from snnquant.fusion.twin import Twin

__all__ = ["Fusion", "Twin", "fuse_model"]
