"""Synapses from a layer to itself, which the recurrent variants of the neuron ops hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError
from snnquant.frontends.onnx.recognition.chains import Chain, Chains
from snnquant.frontends.onnx.recognition.polynomials import Poly
from snnquant.frontends.onnx.recognition.reasons import why_late
from snnquant.frontends.onnx.recognition.symbols import (
    STATIC,
    Atom,
    Computed,
    Constant,
    Count,
    Spike,
)

if TYPE_CHECKING:
    from snnquant.frontends.onnx.recognition.equations import FoundNeuron

Array = npt.NDArray[np.float64]


def recurrent_bias(atom: Atom, chain: Chain, chains: Chains) -> Array | None:
    """Return what a matrix product with a layer's own spikes adds whatever they are."""
    found = _matrix(atom, chain, chains) if isinstance(atom, Computed) else None
    return None if found is None else found[1]


def without_recurrence(found: FoundNeuron, chains: Chains) -> tuple[Poly, Array | None]:
    """Return a neuron's current without its own spikes, and their weights.

    What the recurrent synapse adds whatever the spikes is a part of the current already.

    Returns:
        The current; weights ``[N, N]`` from neuron to neuron, or None.

    Raises:
        ModelError: the layer feeds back through something else than one matrix.
    """
    weights: Array | None = None
    current = found.current
    for product, c in found.current.terms.items():
        late = [a for a in product if a.time not in (STATIC, found.time)]
        if not late:
            continue
        atom = late[0]
        weight = None
        if len(product) == 1 and atom.time == found.time - 1:
            weight = _weights(atom, found, chains)
        if weight is None:
            raise ModelError(why_late(atom, found.time, found.chain, chains))
        weight = weight * np.asarray(c)
        weights = weight if weights is None else weights + weight
        current = current.without(product)
    return current, weights


def _weights(atom: Atom, found: FoundNeuron, chains: Chains) -> Array | None:
    """Return weights ``[from, to]`` of what an atom makes of the neuron's own last spikes."""
    if isinstance(atom, Computed):
        matrix = _matrix(atom, found.chain, chains)
        return None if matrix is None else matrix[0]
    if isinstance(atom, (Spike, Count)) and chains.of.get(atom.state) is found.chain:
        # Each neuron to itself.
        shape = chains.values.facts.shapes.get(found.chain.last.value, ())
        return np.eye(shape[-1]) if len(shape) == 2 else None
    return None


def _matrix(atom: Computed, chain: Chain, chains: Chains) -> tuple[Array, Array | None] | None:
    """Return weights ``[from, to]`` and bias of a product with the neuron's own last spikes."""
    node, operands = atom.node, atom.operands
    if len(operands) < 2:
        return None
    spikes = operands[0].single if isinstance(operands[0], Poly) else None
    own = isinstance(spikes, Spike) and chains.of.get(spikes.state) is chain
    if not own or not isinstance(operands[1], Constant):
        return None
    weight = np.asarray(operands[1].array, np.float64)
    given = {a.name: a for a in node.attribute}
    if node.op_type == "MatMul" and weight.ndim == 2:
        return weight, None
    if node.op_type != "Gemm" or (given["transA"].i if "transA" in given else 0):
        return None
    weight = weight.T if "transB" in given and given["transB"].i else weight
    weight = weight * (given["alpha"].f if "alpha" in given else 1.0)
    if len(operands) < 3 or operands[2] is None:
        return weight, None
    if not isinstance(operands[2], Constant):
        return None
    beta = given["beta"].f if "beta" in given else 1.0
    return weight, np.asarray(operands[2].array, np.float64).reshape(-1) * beta
