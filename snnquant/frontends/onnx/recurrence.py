"""Synapses from a layer to itself, which the recurrent variants of the neuron ops hold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from snnquant.errors import ModelError
from snnquant.frontends.onnx.chains import Chains
from snnquant.frontends.onnx.equations import FoundNeuron
from snnquant.frontends.onnx.polynomials import Coefficient, Poly
from snnquant.frontends.onnx.symbols import STATIC, Computed, Constant, Spike

Array = npt.NDArray[np.float64]


def without_recurrence(
    found: FoundNeuron, chains: Chains
) -> tuple[Poly, Array | None, Coefficient | None]:
    """Return a neuron's current without its own spikes, their weights, and their bias.

    Returns:
        The current; weights ``[N, N]`` from neuron to neuron, or None; what the recurrent synapse
        adds to the current whatever the spikes (it is part of the current already), or None.

    Raises:
        ModelError: the layer feeds back through something else than one matrix.
    """
    weights: Array | None = None
    bias: Coefficient | None = None
    current = found.current
    for product, c in found.current.terms.items():
        late = [a for a in product if a.time not in (STATIC, found.time)]
        if not late:
            continue
        atom = late[0]
        matrix = None
        if len(product) == 1 and isinstance(atom, Computed) and atom.time == found.time - 1:
            matrix = _matrix(atom, found, chains)
        if matrix is None:
            raise ModelError(
                f"it sees a value of step {atom.time} at step {found.time}, which is no matrix "
                "product with its own last spikes"
            )
        weight, added = matrix
        weight = weight * np.asarray(c)
        weights = weight if weights is None else weights + weight
        current = current.without(product)
        if added is not None:
            extra = added * np.asarray(c)
            bias = extra if bias is None else bias + extra
    if bias is not None:
        current = current + Poly.constant(bias)
    return current, weights, bias


def _matrix(
    atom: Computed, found: FoundNeuron, chains: Chains
) -> tuple[Array, Array | None] | None:
    """Return weights ``[from, to]`` and bias of a product with the neuron's own last spikes."""
    node, operands = atom.node, atom.operands
    spikes = operands[0].single if isinstance(operands[0], Poly) else None
    own = isinstance(spikes, Spike) and chains.of.get(spikes.state) is found.chain
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
