"""All nets of: Hand-written nets."""

import zoo.handwritten_convolutions
import zoo.handwritten_merged
import zoo.handwritten_structures  # noqa: F401
from zoo.handwritten_parts import NETS

__all__ = ["NETS"]
