"""The HTML report of an evaluation: what is collected, and how it is drawn.

``collect`` gathers a :class:`Report` from an evaluation and a few runs more; ``page`` draws it with
the style sheet and the script beside it. To add a section: collect what it shows, draw it in the
file of its neighbours - ``overview`` (first), ``inside`` (of layers) or ``closing`` (last) -, and
name it in ``_sections`` of ``page``.
"""

from snnquant.report.collect import Report, Subject, collect_report
from snnquant.report.page import render_report
from snnquant.report.samples import SampleKeeper
from snnquant.report.speed import Speed, read_speed

__all__ = [
    "Report",
    "SampleKeeper",
    "Speed",
    "Subject",
    "collect_report",
    "read_speed",
    "render_report",
]
