"""The picture of a report in the README: ``python tests/bench/report_picture.py REPORT PICTURE``.

REPORT is what ``snnquant eval --report`` wrote; needs chromium and pillow.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from chromium import browser

#: Of the page, in pixels.
WIDTH, HEIGHT, COLOURS = 1200, 1460, 256


def main(report: str, picture: str) -> None:
    with tempfile.TemporaryDirectory() as profile, browser(profile) as page:
        page.open(Path(report).resolve().as_uri(), width=WIDTH)
        data = page.screenshot({"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    few = whole.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
