"""Quantizable layers one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from snnquant.errors import UsageError
from snnquant.nn.quantized.mode import QParam
from snnquant.nn.quantized.model import QModel
from snnquant.nn.quantized.neuron import QNeuron
from snnquant.nn.quantized.synapse import QSynapse


class QSequential(QModel):
    """A quantizable model whose layers follow one another; ``out = model(x)``.

    It hands the ``q_param`` of a synapse on to the next neuron, and starts every neuron from its
    initial state in every call, so that the neurons are to have ``multi_step=True``.

    Args:
        *layers: quantizable layers, and ordinary modules between them (flattening, pooling,
            :class:`~snnquant.nn.Repeat`, :class:`~snnquant.nn.Folded`, a read-out).

    Raises:
        UsageError: a neuron stands behind no synapse, or takes single steps.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        behind_synapse = False
        for index, layer in enumerate(layers):
            if isinstance(layer, QNeuron):
                if not behind_synapse:
                    raise UsageError(
                        f"QSequential: layer {index} ({type(layer).__name__}) has no synapse in "
                        "front of it; put a QLinear or QConv there"
                    )
                if not layer.multi_step:
                    raise UsageError(
                        f"QSequential: layer {index} ({type(layer).__name__}) takes single steps; "
                        "construct it with multi_step=True"
                    )
            behind_synapse = isinstance(layer, QSynapse) or (
                behind_synapse and not isinstance(layer, QNeuron)
            )
            self.add_module(str(index), layer)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[nn.Module]:
        return self.children()

    def __getitem__(self, index: int) -> nn.Module:
        """Return a layer by its place."""
        return list(self.children())[index]

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers; the input is ``[T, B, ...]``, or static ``[B, ...]`` before a Repeat."""
        q_param: QParam | None = None
        y: Any = x
        for layer in self.children():
            if isinstance(layer, QSynapse):
                y, q_param = layer(y)
            elif isinstance(layer, QNeuron):
                y, _ = layer(y, q_param)
            else:
                y = layer(y)
        out: Tensor = y
        return out
