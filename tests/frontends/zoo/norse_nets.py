"""All nets of: Norse."""

import zoo.norse_structures  # noqa: F401
from zoo.norse_parts import NETS

__all__ = ["NETS"]
