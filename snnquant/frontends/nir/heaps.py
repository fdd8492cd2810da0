"""Look over the text heaps of an HDF5 file before the HDF5 library does.

The library walks a heap object by object, and never ends at a free one of size 0, which a single
damaged byte can make. Layout: "Disk Format: Level 1E - Global Heap" of the HDF5 file format.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_FILE = b"\x89HDF\r\n\x1a\n"
_SIGNATURE = b"GCOL\x01"
_HEADER = 16


def heaps_end(path: Path) -> bool:
    """Whether a file that is not empty is HDF5, and its heaps can be walked to their ends."""
    walked = 0
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:
        if held[:8] != _FILE or len(held) < 16 or held[14 if held[8] < 2 else 10] != 8:
            return False  # all that writes NIR counts lengths in 8 bytes
        start = held.find(_SIGNATURE)
        while start >= 0:
            size = _size_at(held, start + 8)
            end = min(start + size, len(held))
            place = start + _HEADER
            while place + _HEADER <= end:
                index = int.from_bytes(held[place : place + 2], "little")
                length = _size_at(held, place + 8)
                # A free object counts its header, all others are padded to 8 bytes.
                step = length if index == 0 else _HEADER + -(-length // 8) * 8
                if step < _HEADER:
                    return False
                place += step
                walked += _HEADER
                if walked > len(held):
                    return False  # heaps inside each other
            start = held.find(_SIGNATURE, start + 1)
    return True


def _size_at(held: mmap.mmap, place: int) -> int:
    """Return the 8-byte number at a place; 0 behind the end."""
    raw = held[place : place + 8]
    return int(struct.unpack("<Q", raw)[0]) if len(raw) == 8 else 0
