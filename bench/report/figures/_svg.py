"""How figures are drawn, and how a figure becomes SVG: inline for the page, or a file that stands alone.

Colours are drawn as hexadecimal marks (_looks.py). On the page they become CSS variables, so that one picture serves
the light and the dark scheme, and text stays text in the page's font; in a file they are the light scheme's colours.
Below a figure hangs a line that says what it shows and where it comes from: the page hides it, and what is saved of a
figure has it.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from bench.grid import lazy_torch
from bench.report.figures._looks import INK, MUTED, RULE, VARIABLES
from bench.report.figures._text import FONT, wrapped

POINTS = 72  # one point of a figure is one CSS pixel
LEGIBLE = 820  # CSS pixels: a wider figure is scrolled on a narrow screen, not shrunk further
SMALL = 9  # the size of the line below
SPACE = 10  # CSS pixels around it
TIP, ORIGIN = "tip:", "origin"  # marks of groups that are changed on the way to SVG
DOTS = 200  # per inch, of a picture
FONTS = f"'{FONT}', Verdana, 'Segoe UI', 'Noto Sans', Arial, sans-serif"  # the first is what a figure is laid out in

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=Artist)

STYLE: Any = {
    "text.parse_math": False,  # a label may hold a $
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # TrueType, which journals take
    "font.family": FONT,
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw a figure in this style, whatever the process's own settings are."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with lazy_torch.set_aside(), mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return inside


def tip(artist: A, text: str) -> A:
    """The artist with a tooltip."""
    artist.set_gid(TIP + text)
    return artist


@styled
def signed(figure: Figure, origin: str) -> Bbox:
    """Hang the line that says where it comes from below a figure; gives what holds both, in inches."""
    width, height = figure.get_size_inches()
    line = wrapped(origin, width * POINTS - 2 * SPACE, SMALL)
    figure.text(SPACE / (width * POINTS), -SPACE / (height * POINTS), line, fontsize=SMALL, color=MUTED, va="top",
                linespacing=1.25, gid=ORIGIN)  # fmt: skip
    below = 2 * SPACE + 1.25 * SMALL * (1 + line.count("\n"))
    return Bbox([[0, -below / POINTS], [width, height]])


@styled
def to_svg(figure: Figure, name: str, title: str, whole: Bbox) -> Markup:
    """The figure as inline SVG: a labelled image, its ids prefixed by `name`, which must be unique on the page. The
    line below is hidden; `data-height` is what the whole would have, with that."""
    svg = _changed(_drawn(figure, name), name, VARIABLES)
    svg = svg.replace(f'id="{ORIGIN}"', 'class="origin" display="none"')
    width, height = (round(size * POINTS) for size in figure.get_size_inches())
    size = f'viewBox="0 0 {width} {height}" data-height="{round(whole.height * POINTS)}"'
    style = f'style="max-width: {width}px; min-width: {min(width, LEGIBLE)}px"'
    head = f'<svg class="figure" role="img" aria-label="{escape(title)}" {size} {style}>'
    # matplotlib has escaped the picture's text
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1))


@styled
def to_file(figure: Figure, name: str, title: str, origin: str, whole: Bbox) -> str:
    """The figure as an SVG file that needs no style sheet, with the line below."""
    svg = _changed(_drawn(figure, name, whole), name, {})
    width, height = (round(size * POINTS) for size in whole.size)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONTS}" role="img"><title>{escape(title)}</title><desc>{escape(origin)}</desc>'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1) + "\n"


@styled
def to_print(figure: Figure, kind: str, title: str, origin: str, whole: Bbox) -> bytes:
    """The figure as PDF or PNG, with the line below; the same bytes every time."""
    known: dict[str, str | None] = (
        {"Title": title, "Subject": origin, "Creator": "vae-bench", "CreationDate": None}
        if kind == "pdf"
        else {"Title": title, "Description": origin, "Software": "vae-bench"}
    )
    data = io.BytesIO()
    figure.savefig(data, format=kind, dpi=DOTS, bbox_inches=whole, facecolor="white", metadata=known)
    return data.getvalue()


def _drawn(figure: Figure, name: str, whole: Bbox | None = None) -> str:
    """As matplotlib writes it, without what it says of itself."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", bbox_inches=whole, metadata=nothing)
    svg = text.getvalue()
    return re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)


def _changed(svg: str, name: str, colours: dict[str, str]) -> str:
    """With tooltips, short ids of its own, the page's font and colours, and coordinates of two digits. Only tags are
    changed: a name may look like any of these."""
    found = dict.fromkeys(re.findall(r"<[^>]*(?:href=\"|url\()#([\w.-]+)", svg))
    used = {own: f"{name}-{place}" for place, own in enumerate(found)}

    def changed(match: re.Match[str]) -> str:
        tag = match[0]
        if hint := re.fullmatch(rf"<g id=([\"']){TIP}(.*)\1>", tag, flags=re.DOTALL):
            return f"<g><title>{hint[2]}</title>"
        if tag.startswith("<path") and ' d="' not in tag:
            return ""  # a line that lies outside of its panel altogether
        tag = tag.replace("xlink:href", "href")
        tag = re.sub(r"\s+id=\"([^\"]+)\"", lambda own: _id(own[1], used), tag)
        tag = re.sub(r"(href=\"|url\()#([\w.-]+)", lambda own: f"{own[1]}#{used[own[2]]}", tag)
        tag = re.sub(r"\stransform=\"rotate\(-?0[ ,][^\"]*\"", "", tag)
        tag = re.sub(r"(?<=\sd=\")[^\"]*", lambda path: re.sub(r"\s*([A-Za-z])\s*", r"\1", path[0]).strip(), tag)
        tag = re.sub(r"font: ((?:bold|\d00) )?([\d.]+)px [^;\"]*", _font, tag)
        for mark, variable in colours.items():
            tag = tag.replace(mark, f"var({variable})")
        return re.sub(r"(\.\d\d)\d+", r"\1", tag)

    svg = re.sub(r">\s+<", "><", re.sub(r"<[^>]+>", changed, svg))
    empty = 1
    while empty:
        svg, empty = re.subn(r"<g ?/>|<g></g>", "", svg)
    return svg


def _id(own: str, used: dict[str, str]) -> str:
    return f' id="{own}"' if own == ORIGIN else f' id="{used[own]}"' if own in used else ""


def _font(match: re.Match[str]) -> str:
    weight = "font-weight: 600; " if match[1] else ""
    return f"{weight}font-size: {match[2]}px"
