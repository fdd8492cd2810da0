"""Read the neurons of an unrolled graph off the coefficients of its steps.

``facts`` tells constants and shapes. The ``interpreter`` walks the graph with one handler per
operation; every value becomes a polynomial over atoms (``symbols``, ``polynomials``): inputs,
synapses, spikes, states. ``chains`` joins the states of successive steps. ``step_equation`` and
``equations`` read a chain that is compared with a threshold as a spiking neuron, ``linear`` reads
the others as read-outs. :func:`~snnquant.frontends.onnx.recognition.recognise.recognise` runs all.

To read more, this is the place for

- another operation: a handler in ``HANDLERS`` of ``arithmetic``, ``views`` or ``scatters``;
- a comparison or a rounding: beside its handler ``comparing.compared_values``, which decides before
  the walk what is a state;
- a function of spikes alone: ``binary.TABULATED``, which wins over handlers;
- a reset: ``equations._named_reset``;
- a read-out: ``linear``, and ``NeuronWriter.total``;
- a refusal in the user's words: ``reasons``.

Then add a net to ``tests/frontends/zoo`` and a row to ``tests/frontends/recognised_rows.py``.
"""
