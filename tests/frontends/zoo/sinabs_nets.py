"""All nets of: sinabs."""

import zoo.sinabs_structures  # noqa: F401
from zoo.sinabs_parts import NETS

__all__ = ["NETS"]
