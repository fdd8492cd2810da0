"""All nets of: snnTorch: every neuron, reset and delay, in the ways its tutorials run them."""

import zoo.snntorch_leaky
import zoo.snntorch_others
import zoo.snntorch_structures  # noqa: F401
from zoo.snntorch_parts import NETS

__all__ = ["NETS"]
