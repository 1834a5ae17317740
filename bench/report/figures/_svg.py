"""How figures look, and how a figure becomes inline SVG.

Colours are drawn as hexadecimal marks that become CSS variables in the SVG, so that one picture serves the light and
the dark scheme; text stays text, in the page's font. A family keeps one colour and one marker in all figures, and
what is hollow is a folk recipe.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from bench.grid import lazy_torch

# The light scheme's colours; the style sheet gives each its value in both schemes under the variable's name.
INK, MUTED, RULE, PAPER = "#1d2329", "#5a6572", "#d8dde3", "#fefefe"
HUES = (
    *("#0b6fbf", "#b23c0a", "#1a9871", "#5b2a86", "#b88a10", "#4799cf"),
    *("#cf6aa3", "#17255f", "#6b1d3f", "#59646f", "#6f7f2a"),
)
MARKERS = "osD^vPX<>*hd"  # 12 markers by 11 hues: 132 families before a pair comes twice
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"} | {
    hue: f"--hue-{place}" for place, hue in enumerate(HUES)
}
POINTS = 72  # one point of a figure is one CSS pixel
LEGIBLE = 820  # CSS pixels: a wider figure is scrolled on a narrow screen, not shrunk further

P = ParamSpec("P")
R = TypeVar("R")

STYLE: Any = {
    "text.parse_math": False,  # a label may hold a $
    "svg.fonttype": "none",
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


@dataclass(frozen=True)
class Looks:
    """The colour and marker of every family of a run, the same in all its figures."""

    families: tuple[str, ...]

    @classmethod
    def of(cls, families: Iterable[str], others: Iterable[str] = ()) -> Looks:
        """`others`: families that have no configuration (yet) and change no other's colour."""
        own = sorted(set(families))
        return cls((*own, *sorted(set(others) - set(own))))

    def hue(self, family: str) -> str:
        return HUES[self.families.index(family) % len(HUES)]

    def variable(self, family: str) -> str:
        """The CSS variable of the family's colour."""
        return VARIABLES[self.hue(family)]

    def marker(self, family: str) -> str:
        return MARKERS[self.families.index(family) % len(MARKERS)]

    def face(self, family: str, recipe: bool) -> str:
        return PAPER if recipe else self.hue(family)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw a figure in this style, whatever the process's own settings are."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with lazy_torch.set_aside(), mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return inside


@styled
def to_svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as inline SVG: a labelled image, its ids prefixed by `name`, which must be unique on the page."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r"(?:href=\"|url\()#([\w.-]+)", svg))
    svg = re.sub(r"\s+id=\"([^\"]+)\"", lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r"(href=\"|url\()#", rf"\1#{name}-", svg)
    for mark, variable in VARIABLES.items():
        svg = svg.replace(mark, f"var({variable})")
    svg = re.sub(r"font: ((?:bold|\d00) )?([\d.]+)px [^;\"]*", _font, svg)
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)  # coordinates, never text
    svg = re.sub(r">\s+<", "><", svg)
    width, height = (round(size * POINTS) for size in figure.get_size_inches())
    size = f'viewBox="0 0 {width} {height}" style="max-width: {width}px; min-width: {min(width, LEGIBLE)}px"'
    head = f'<svg class="figure" role="img" aria-label="{escape(title)}" {size}>'
    # matplotlib has escaped the picture's text
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1))


def _font(match: re.Match[str]) -> str:
    weight = "font-weight: 600; " if match[1] else ""
    return f"{weight}font-size: {match[2]}px"
