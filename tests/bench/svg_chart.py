"""Charts for the README as SVG that need nothing else: own background, own style, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snnquant.report.html import Html, tag

WIDTH = 700
INK, SOFT, GRID = "#1b1f24", "#57606a", "#dfe3e8"
STYLE = f"""
text {{ font: 16px Helvetica, Arial, "DejaVu Sans", sans-serif; fill: {INK} }}
.soft {{ fill: {SOFT} }}
.head {{ font-weight: bold }}
.mid {{ text-anchor: middle }}
.end {{ text-anchor: end }}
line, path {{ fill: none; stroke-width: 2 }}
.grid {{ stroke: {GRID}; stroke-width: 1 }}
.axis {{ stroke: {SOFT}; stroke-width: 1 }}
"""
Point = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """How a series is drawn; what differs in colour differs in shape and dash, too."""

    colour: str
    shape: str
    dash: str | None = None


#: Apart in grey and in every kind of colour vision: dark, middle, middle with another shape.
FLOAT = Look(INK, "ring")
NEAREST = Look("#d9730d", "triangle", "7 4")
SEARCHED = Look("#0b4f9e", "disc")
LEARNED = Look("#1f9384", "square", "2 4")


@dataclass(frozen=True)
class Panel:
    """A rectangle in the picture, and the values at its edges."""

    left: float
    top: float
    right: float
    bottom: float
    xs: Point
    ys: Point

    def x(self, value: float) -> float:
        """Return where a value stands from left to right."""
        low, high = self.xs
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return where a value stands from the top down."""
        low, high = self.ys
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def rows(self, values: dict[float, str], label: str) -> list[Html]:
        """Return lines from left to right at values, with words beside them."""
        drawn = []
        for value, shown in values.items():
            drawn.append(self.level(value, "grid"))
            drawn.append(words(self.left - 8, self.y(value) + 5.5, shown, "soft end"))
        at = self.left - 44, (self.top + self.bottom) / 2
        turned = f"rotate(-90 {near(at[0])} {near(at[1])})"
        named = [words(*at, label, "soft mid", transform=turned)] if label else []
        return [*drawn, *named]

    def columns(self, values: dict[float, str], label: str) -> list[Html]:
        """Return the axis at the bottom with words at values."""
        drawn = [line(self.left, self.bottom, self.right, self.bottom, "axis")]
        for value, shown in values.items():
            drawn.append(words(self.x(value), self.bottom + 20, shown, "soft mid"))
        middle = (self.left + self.right) / 2
        return [*drawn, words(middle, self.bottom + 42, label, "soft mid")]

    def level(self, value: float, class_: str, **attributes: str) -> Html:
        """Return a line from left to right."""
        return line(self.left, self.y(value), self.right, self.y(value), class_, **attributes)

    def curve(self, points: Sequence[Point], look: Look) -> Html:
        """Return a line through points."""
        path = "L".join(f"{near(self.x(x))} {near(self.y(y))}" for x, y in points)
        return tag("path", d=f"M{path}", stroke=look.colour, stroke_dasharray=look.dash)

    def marker(self, point: Point, look: Look) -> Html:
        """Return the shape of a series at a point."""
        return marker(self.x(point[0]), self.y(point[1]), look)


def marker(x: float, y: float, look: Look) -> Html:
    """Return the shape of a series."""
    if look.shape == "triangle":
        path = f"M{near(x - 7)} {near(y + 5)}h14l-7 -12z"
        return tag("path", d=path, style=f"fill:{look.colour}")
    if look.shape == "square":
        box = {"x": near(x - 5.5), "y": near(y - 5.5), "width": 11, "height": 11}
        return tag("rect", **box, fill=look.colour)
    ring = look.shape == "ring"
    fill = {"fill": "#ffffff", "stroke": look.colour, "stroke_width": 2} if ring else {}
    return tag("circle", cx=near(x), cy=near(y), r=6, **(fill or {"fill": look.colour}))


def key(x: float, y: float, look: Look, name: str) -> list[Html]:
    """Return an entry of a legend: a piece of the line, its shape, its name."""
    piece = tag("path", d=f"M{x} {y}h34", stroke=look.colour, stroke_dasharray=look.dash)
    return [piece, marker(x + 17, y, look), words(x + 42, y + 5.5, name)]


def line(x1: float, y1: float, x2: float, y2: float, class_: str = "", **more: str) -> Html:
    """Return a straight line."""
    ends = {"x1": near(x1), "y1": near(y1), "x2": near(x2), "y2": near(y2)}
    return tag("line", **ends, class_=class_ or None, **more)


def words(x: float, y: float, said: str, class_: str = "", **more: str) -> Html:
    """Return text that begins, ends or has its middle at ``x``."""
    return tag("text", said, x=near(x), y=near(y), class_=class_ or None, **more)


def plainly(values: Iterable[float]) -> dict[float, str]:
    """Return numbers with how they are written."""
    return {float(v): f"{v:g}".replace("-", "\N{MINUS SIGN}") for v in values}


def near(value: float) -> str:
    """Return a coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def picture(height: int, title: str, drawn: Iterable[Html]) -> str:
    """Return an SVG file on a white ground.

    Args:
        height: in units of which :data:`WIDTH` are the width.
        title: the picture in words.
        drawn: what is on it, the first at the back.
    """
    ground = {"x": 0.5, "y": 0.5, "width": WIDTH - 1, "height": height - 1, "rx": 6}
    svg = tag(
        "svg",
        tag("title", title),
        # No selector or font has a character that XML would want escaped but the quotes.
        tag("style", Html(STYLE)),
        tag("rect", **ground, fill="#ffffff", stroke=GRID),
        *(Html(f"\n{each}") for each in drawn),
        xmlns="http://www.w3.org/2000/svg",
        width=WIDTH,
        height=height,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
    )
    return f"{svg}\n"
