"""All nets of: SpikingJelly."""

import zoo.spikingjelly_attention
import zoo.spikingjelly_structures  # noqa: F401
from zoo.spikingjelly_parts import NETS

__all__ = ["NETS"]
