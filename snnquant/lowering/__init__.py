"""Lowering: the canonical float graph, rewritten node by node in integers.

Each file holds rules for a family of operations: ``infer`` says what a node's outputs are,
``emit`` writes the integer nodes. To add an operation: write a rule, add it to a file's list.
What no rule understands stays float, with explicit (de)quantization at its edge.
"""

from snnquant.lowering import arithmetic, neuron, pooling, reduction, structural, synapse
from snnquant.lowering.rule import Rule

RULES: dict[tuple[str, str], Rule] = {
    key: rule
    for rules in (
        synapse.RULES,
        neuron.RULES,
        structural.RULES,
        pooling.RULES,
        arithmetic.RULES,
        reduction.RULES,
    )
    for rule in rules
    for key in rule.ops
}

__all__ = ["RULES", "Rule"]
