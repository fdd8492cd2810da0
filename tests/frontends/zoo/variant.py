"""What an unusual export is, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import nn

from zoo.base import Neuron
from zoo.export import export_module

WAYS = ("dynamo_fixed", "dynamo_dyn", "legacy_fixed", "legacy_dyn")


@dataclass(frozen=True)
class Variant:
    """One unusual export.

    Attributes:
        name: unique, ``<group>/<what>``.
        export: makes the model, by one of :data:`WAYS`.
        expected, refused, optional: as for ``ZooNet``.
        ways: the ways that make sense.
    """

    name: str
    export: Callable[[str], onnx.ModelProto]
    expected: tuple[Neuron | tuple[Neuron, ...], ...] | None = None
    refused: str = ""
    optional: bool = False
    ways: tuple[str, ...] = WAYS


VARIANTS: list[Variant] = []


def way(name: str, module: nn.Module, *shapes: tuple[int, ...], axis: int = 0, **more: Any) -> Any:
    """Export by the name of a way; shapes have the batch at ``axis``, as -1."""
    dynamic = name.endswith("_dyn")
    generator = torch.Generator().manual_seed(0)
    example = tuple(
        0.4
        + 0.6
        * torch.randn([3 if d == -1 and dynamic else abs(d) for d in shape], generator=generator)
        for shape in shapes
    )
    return export_module(
        module,
        example,
        dynamo=name.startswith("dynamo"),
        batch_axes=[axis] * len(shapes) if dynamic else None,
        **more,
    )
