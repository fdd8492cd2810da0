"""The table of accuracy at few bits, from what ``low_bits.py`` found for every network."""

from __future__ import annotations

from typing import Any

import numpy as np

BITS = (8, 4, 3, 2)
#: The framework's own rule: one scale per layer from the largest weight, nothing searched.
SEED_RULE = "seed's rule"
TITLES = {"MLP": "MLP 64-64-64-10", "CNN": "CNN 12C3-P-24C3-P-10"}


def table(kind: str, found: dict[str, Any]) -> list[str]:
    """Return the lines of one network's table in Markdown.

    Args:
        kind: one of :data:`TITLES`.
        found: ``float``, per cent for every seed; ``methods``, for every method and width the
            same with the share of equal spikes.
    """
    heads = [f"{TITLES[kind]}, float {np.mean(found['float']):.2f}", *(f"{b} bit" for b in BITS)]
    lines = [_row(heads), "|---" * len(heads) + "|"]
    for name, widths in found["methods"].items():
        title = "one scale per layer, nearest" if name == SEED_RULE else f"`{name}`"
        lines.append(_row([title, *(_cell(widths[str(bits)]) for bits in BITS)]))
    return lines


def mean_and_spread(found: list[list[float]]) -> tuple[float, float]:
    """Return what accuracies of pairs with the share of equal spikes are, in per cent."""
    right = np.array(found)[:, 0]
    return float(right.mean()), float(right.std())


def _cell(found: list[list[float]]) -> str:
    mean, spread = mean_and_spread(found)
    return f"{mean:.2f} ± {spread:.2f} ({np.array(found)[:, 1].mean():.1f})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
