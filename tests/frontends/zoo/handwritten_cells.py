"""All hand-written neurons."""

import zoo.handwritten_refused
import zoo.handwritten_states  # noqa: F401
from zoo.handwritten_resets import CELLS, Cell, soft, stbp, stbp_on_equal, tet

__all__ = ["CELLS", "Cell", "soft", "stbp", "stbp_on_equal", "tet"]
