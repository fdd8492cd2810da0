"""From real weights to integers: the grid, and one file per method of rounding onto it.

To add a method: a file with a class as :class:`~snnquant.rounding.method.RoundingMethod` describes
it, and a line in :data:`METHODS`.
"""

from __future__ import annotations

from snnquant.rounding.compensated import Compensated
from snnquant.rounding.learned import Learned
from snnquant.rounding.method import RoundingMethod
from snnquant.rounding.nearest import Nearest

#: Every method by the name that users give.
METHODS: dict[str, RoundingMethod] = {
    method.name: method for method in (Nearest(), Compensated(), Learned())
}
#: The best without samples, and the best with samples that needs nothing beyond the core.
WITHOUT_SAMPLES, WITH_SAMPLES = Nearest.name, Compensated.name
#: What users say to leave the choice to us.
AUTO = "auto"

__all__ = ["AUTO", "METHODS", "WITHOUT_SAMPLES", "WITH_SAMPLES", "RoundingMethod"]
