"""Fuses integer models and compares everything that both graphs have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from snnquant.fusion import Fusion, fuse_model
from snnquant.instrument import with_outputs
from snnquant.ops.schema import DOMAIN
from snnquant.runtime import load_session


def fused_everywhere(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> tuple[Fusion, int]:
    """Fuse a model; outputs and all values of both graphs are equal, with the library and without.

    Returns:
        The fused model, and how many integers were compared.
    """
    fusion = fuse_model(model)
    outputs = [value.name for value in model.graph.output]
    plain = _values(model, [*outputs, *(t.plain for t in fusion.twins)], feeds, custom_ops=True)
    compared = 0
    for custom_ops in (True, False):
        # What users run: nobody looks inside.
        alone = _values(fusion.model, outputs, feeds, custom_ops=custom_ops)
        for name in outputs:
            _same(alone[name], plain[name], f"output {name}, custom_ops={custom_ops}")
        inner = [t.fused for t in fusion.twins]
        found = _values(fusion.model, [*outputs, *inner], feeds, custom_ops=custom_ops)
        for twin in fusion.twins:
            want = plain[twin.plain]
            got = twin.as_plain(found[twin.fused], want)
            _same(got, want, f"{twin}, custom_ops={custom_ops}")
            compared += want.size
    return fusion, compared


def fused_ops(fusion: Fusion) -> Counter[str]:
    """Return how often each op of the domain is there."""
    return Counter(n.op_type for n in fusion.model.graph.node if n.domain == DOMAIN)


def standard_ops(fusion: Fusion) -> Counter[str]:
    """Return how often each standard op is there."""
    return Counter(n.op_type for n in fusion.model.graph.node if n.domain == "")


def _values(
    model: onnx.ModelProto, names: list[str], feeds: Mapping[str, Any], *, custom_ops: bool
) -> dict[str, Any]:
    names = list(dict.fromkeys(names))
    data = with_outputs(model, names).SerializeToString()
    session = load_session(data, custom_ops=custom_ops, threads=1)
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def _same(got: Any, want: Any, where: str) -> None:
    assert got.shape == want.shape, f"{where}: {got.shape}, not {want.shape}"
    assert np.array_equal(got, want), f"{where}: {int((got != want).sum())} of {want.size} differ"
