"""What one core of this machine can do at most, measured by the loops of the kernels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from onnx import TensorProto, helper

from snnquant import runtime
from snnquant.ops.fused import PEAK_KIND, PEAK_OP, PEAK_OPERATIONS, PEAK_RESULT, PEAK_ROUNDS
from snnquant.ops.schema import DOMAIN, OPSET_VERSION

#: Seconds of one measurement; the best of several counts.
_SECONDS, _TRIES = 0.02, 8
#: The op counts its operations by the thousand.
_COUNTED = 1000


@dataclass(frozen=True)
class MachinePeak:
    """Operations per second of one core.

    Attributes:
        dense: multiplications of an 8-bit input with a weight, each added to a sum.
        events: 8-bit weights added up for events.
    """

    dense: float
    events: float


def _session(kind: int) -> runtime.Session:
    results = [PEAK_OPERATIONS, PEAK_RESULT]
    node = helper.make_node(PEAK_OP, [PEAK_ROUNDS], results, domain=DOMAIN)
    node.attribute.append(helper.make_attribute(PEAK_KIND.name, kind))
    values = [
        helper.make_tensor_value_info(name, TensorProto.INT32, [1])
        for name in (PEAK_ROUNDS, *results)
    ]
    graph = helper.make_graph([node], "peak", values[:1], values[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, OPSET_VERSION)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    return runtime.load_session(model.SerializeToString(), threads=1)


def _timed(session: runtime.Session, rounds: int) -> tuple[float, float]:
    """Return the operations and the seconds of so many rounds."""
    before = time.perf_counter()
    operations, _ = session.run(None, {PEAK_ROUNDS: np.array([rounds], np.int32)})
    return float(_COUNTED * int(operations[0])), time.perf_counter() - before


@cache
def machine_peak() -> MachinePeak:
    """Measure the machine, about half a second long; remembered for the process."""
    sessions = [_session(kind) for kind in (0, 1)]
    rounds = []
    for session in sessions:
        count = 1
        while _timed(session, count)[1] < _SECONDS and count < 2**24:
            count *= 2
        rounds.append(count)
    best = [0.0, 0.0]
    for _ in range(_TRIES):
        for kind, session in enumerate(sessions):
            operations, seconds = _timed(session, rounds[kind])
            best[kind] = max(best[kind], operations / seconds)
    return MachinePeak(*best)
