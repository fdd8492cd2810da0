"""Counting the membranes that stand at the limits of their states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from snnquant.membranes import MembraneProbe
from snnquant.model_file import neuron_nodes, proved_steps, state_bits_of
from snnquant.numerics import IntRange

Array = npt.NDArray[Any]


class OverflowCounter:
    """Counts how often membranes are at a limit, in layers that are not proved to stay within.

    A model that does not say what is proved is not looked at.

    Args:
        model: integer model, fused or not.
        probe: of its membranes, if there is one already.

    Attributes:
        model: the same with what computes the currents inside of fused ops, if any are looked at.
        values: inner values that :meth:`add` needs.
    """

    def __init__(self, model: onnx.ModelProto, probe: MembraneProbe | None = None) -> None:
        self.model = model if probe is None else probe.model
        self.values: list[str] = []
        self._limits = {
            node.name: IntRange.signed(state_bits_of(node))
            for node in neuron_nodes(model, integer=True)
        }
        known = proved_steps(model)
        self._known = known is not None
        #: Steps for which a layer is proved; None: any number.
        self._steps = known or {}
        self._entries: dict[str, int] = {}
        self._at_limit: dict[str, int] = {}
        self._probe: MembraneProbe | None = None
        if self._known and any(self._steps.get(name, 0) is not None for name in self._limits):
            self._probe = probe or MembraneProbe(model)
            self.model, self.values = self._probe.model, self._probe.values

    def add(self, values: Mapping[str, Array], count: int, fixed_batch: int | None) -> None:
        """Add one batch.

        Args:
            values: arrays by name, as the model gives them.
            count: samples in the batch.
            fixed_batch: samples that the model runs whatever the count, None: as many.
        """
        if self._probe is None:
            return
        values = self._probe.started(values, count, fixed_batch)
        for layer in self._probe.layers:
            proved = self._steps.get(layer.name, 0)
            if layer.name not in self._limits or proved is None:
                continue
            membranes = self._probe.membranes(layer, values, count, fixed_batch)
            if len(membranes) <= proved:
                continue
            limits = self._limits[layer.name]
            reached = (membranes <= limits.low) | (membranes >= limits.high)
            self._entries[layer.name] = self._entries.get(layer.name, 0) + membranes.size
            self._at_limit[layer.name] = self._at_limit.get(layer.name, 0) + int(np.sum(reached))

    def share(self, layer: str) -> float | None:
        """Return the share of (sample, step, neuron) entries at a limit; None: not known.

        Real-valued states have no limits.
        """
        if layer not in self._limits:
            return 0.0
        if not self._known:
            return None
        return self._at_limit.get(layer, 0) / max(self._entries.get(layer, 0), 1)
