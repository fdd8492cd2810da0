"""The benchmark: an integer model against others, everything interleaved in one run.

``timing`` runs the contenders in turn, ``layers`` tells where the integer model's time goes,
``memory`` measures each contender in a process of its own, ``peak`` what the machine can do.
"""

from snnquant.bench.layers import LayerCost, layer_costs
from snnquant.bench.memory import peak_memory
from snnquant.bench.peak import MachinePeak, machine_peak
from snnquant.bench.run import BenchResult, Configuration, Reference, bench_model, compare_speed
from snnquant.bench.timing import Contender, Timing, interleave

__all__ = [
    "BenchResult",
    "Configuration",
    "Contender",
    "LayerCost",
    "MachinePeak",
    "Reference",
    "Timing",
    "bench_model",
    "compare_speed",
    "interleave",
    "layer_costs",
    "machine_peak",
    "peak_memory",
]
