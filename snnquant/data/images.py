"""Folders of images by class, decoded by pillow: grey ``[N, 1, H, W]``, colour ``[N, 3, H, W]``."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np

from snnquant.data.folder import FolderDataset, first_file, list_folder
from snnquant.data.options import ReadOptions
from snnquant.data.reader import AnyArray, ArraySpec, Dataset, Reader
from snnquant.errors import DataError, UsageError, first_line

_SUFFIXES = (".png", ".pgm", ".ppm", ".pnm", ".bmp", ".jpg", ".jpeg")
_FORMATS = ("PNG", "PPM", "BMP", "JPEG")
#: Bytes per pixel by mode; others have a palette or an alpha channel, or are not for screens.
_MODES = {"1": 1, "L": 1, "RGB": 3, "I;16": 2, "I;16B": 2}
#: No format of these expands by much more; a larger declared size is a lie.
_MAX_RATIO = 1100


def read_image(path: Path) -> AnyArray:
    """Return an image, channels first, as uint8 or uint16; black and white are 0 and 255.

    Raises:
        DataError: it is no image, damaged, or neither grey nor RGB.
    """
    from PIL import Image

    where = repr(str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pillow warns of images that are too large
            with Image.open(path, formats=_FORMATS) as image:
                mode = image.mode
                declared = image.width * image.height * _MODES.get(mode, 0)
                possible = declared <= path.stat().st_size * _MAX_RATIO
                if mode in _MODES and possible:
                    pixels = np.asarray(image.convert("L") if mode == "1" else image)
    except MemoryError:
        raise
    except Exception as error:  # which errors a hostile image causes depends on its format
        said = first_line(error).replace(str(path), path.name)
        raise DataError(f"{where} is no image or is damaged: {said}; write it again") from error
    if mode not in _MODES:
        raise DataError(f"{where} has the mode {mode}; convert it to grey or RGB")
    if not possible:
        raise DataError(
            f"{where} declares {declared} bytes of pixels, which the file cannot hold; "
            "write it again"
        )
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(
        native[np.newaxis] if native.ndim == 2 else native.transpose(2, 0, 1)
    )


def _open(path: Path, options: ReadOptions) -> Dataset:
    where = repr(str(path))
    if importlib.util.find_spec("PIL") is None:
        raise UsageError(f"{where} holds images, which need pillow; run pip install pillow")
    if options.normalize is None:
        raise UsageError(
            f"{where} holds images; say what the network was trained on with "
            "--normalize 0..1, none or MEAN,STD"
        )
    listing = list_folder(path, _SUFFIXES)
    first = read_image(listing.files[0])
    return FolderDataset(path, listing, ArraySpec(first.shape, first.dtype), read_image)


def _recognises(path: Path, head: bytes) -> bool:
    return first_file(path, _SUFFIXES) is not None


IMAGES = Reader("image folder", _recognises, _open, frozenset({"normalize", "encode"}))
