"""How a family looks: one colour and one marker, by its name alone, in every figure of every run for ever.

Shipped families are listed; a plug-in's look follows from its name. So neither what else a run tried nor what comes
into the catalogue later changes the look of anything. Colours keep apart in both schemes and for readers who see no red
or no green (tests/bench/report/test_style.py measures it); markers keep apart without colours, on paper and on a
screen. What is hollow is a folk recipe, and nothing else is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from matplotlib.path import Path

# The light scheme's colours; the style sheet gives each its value in both schemes under the variable's name.
INK, MUTED, RULE, PAPER = "#1d2329", "#5a6572", "#d8dde3", "#fefefe"
HUES = {
    **{"blue": "#4076f5", "vermilion": "#c44902", "green": "#419f6b", "purple": "#5c26b0", "gold": "#bc822e"},
    **{"sky": "#3d98d1", "pink": "#c265a2", "navy": "#202e73", "wine": "#751f32", "grey": "#5c5d6a"},
    **{"olive": "#67794b", "violet": "#7c63c0", "brown": "#7d460b"},
}
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", PAPER: "--paper"} | {
    colour: f"--hue-{place}" for place, colour in enumerate(HUES.values())
}


def _outline(*corners: tuple[float, float]) -> Path:
    return Path([*corners, corners[0]], closed=True)


def _half_disc() -> Path:
    angles = np.linspace(-np.pi / 2, np.pi / 2, 13)
    return _outline(*zip((1.2 * np.cos(angles) - 0.6).tolist(), np.sin(angles).tolist(), strict=True))


#: outlines that can be filled. None is a triangle, an arrow or a thin cross: those say something else (_marks.py)
SHAPES: dict[str, str | Path] = {
    "disc": "o",
    "square": "s",
    "diamond": "D",
    "thin diamond": "d",
    "pentagon": "p",
    "hexagon": "h",
    "plus": "P",
    "saltire": "X",
    "star": "*",
    "bar": _outline((-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)),
    "pillar": _outline((-0.6, -1), (0.6, -1), (0.6, 1), (-0.6, 1)),
    "hourglass": _outline((-0.9, -1), (0.9, -1), (0.15, 0), (0.9, 1), (-0.9, 1), (-0.15, 0)),
    "bow tie": _outline((-1, -0.9), (0, -0.15), (1, -0.9), (1, 0.9), (0, 0.15), (-1, 0.9)),
    "half disc": _half_disc(),
    # of plug-ins
    "tee": _outline((-0.3, -1), (0.3, -1), (0.3, 0.4), (0.95, 0.4), (0.95, 1), (-0.95, 1), (-0.95, 0.4), (-0.3, 0.4)),
    "ell": _outline((-0.8, -1), (0.9, -1), (0.9, -0.35), (-0.1, -0.35), (-0.1, 1), (-0.8, 1)),
    "cup": _outline((-1, -0.9), (1, -0.9), (1, 0.9), (0.4, 0.9), (0.4, -0.3), (-0.4, -0.3), (-0.4, 0.9), (-1, 0.9)),
    "aitch": _outline(
        *((-1, -1), (-0.4, -1), (-0.4, -0.3), (0.4, -0.3), (0.4, -1), (1, -1)),
        *((1, 1), (0.4, 1), (0.4, 0.3), (-0.4, 0.3), (-0.4, 1), (-1, 1)),
    ),
    "step": _outline((-1, -1), (0.3, -1), (0.3, 0.2), (1, 0.2), (1, 1), (-0.3, 1), (-0.3, -0.2), (-1, -0.2)),
    "house": _outline((-0.9, -1), (0.9, -1), (0.9, 0.1), (0, 1), (-0.9, 0.1)),
    "notch": _outline((-0.9, -1), (0.9, -1), (0.9, 1), (0, 0), (-0.9, 1)),
}
OF_PLUGINS = ("tee", "ell", "cup", "aitch", "step", "house", "notch")
#: kin share a colour, recipes that of the family whose constant their loss leaves out
SHIPPED: dict[str, tuple[str, str]] = {
    "bce_mean": ("sky", "diamond"),
    "bce_sum": ("sky", "disc"),
    "bernoulli": ("sky", "pillar"),
    "beta": ("purple", "hourglass"),
    "beta_binomial": ("brown", "saltire"),
    "beta_mse": ("blue", "hexagon"),
    "binomial": ("wine", "plus"),
    "categorical": ("grey", "star"),
    "continuous_bernoulli": ("sky", "thin diamond"),
    "gaussian": ("blue", "disc"),
    "kumaraswamy": ("olive", "bow tie"),
    "laplace": ("green", "diamond"),
    "logistic": ("vermilion", "square"),
    "logistic_mixture": ("gold", "bar"),
    "logit_normal": ("violet", "hexagon"),
    "mse_mean": ("blue", "pentagon"),
    "mse_sum": ("blue", "square"),
    "student_t": ("pink", "pentagon"),
    "truncated_gaussian": ("navy", "half disc"),
}


@dataclass(frozen=True)
class Looks:
    """The colours and markers of families. A family has its own, whether a run is known or not; only where two plug-ins
    of one run came out the same does the later name take the next marker, in its own colour."""

    moved: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # shapes of such plug-ins

    @classmethod
    def of(cls, families: Iterable[str], others: Iterable[str] = ()) -> Looks:
        """For a run with these families; `others` have no configuration (yet), and make way for those that have."""
        own = sorted(set(families))
        taken: set[tuple[str, str]] = set()
        moved = {}
        for family in (*own, *sorted(set(others) - set(own))):
            if family in SHIPPED:
                continue
            hue, shape = _of_name(family)
            first = OF_PLUGINS.index(shape)
            order = [*OF_PLUGINS[first:], *OF_PLUGINS[:first]]
            free = next((another for another in order if (hue, another) not in taken), shape)
            taken.add((hue, free))
            if free != shape:
                moved[family] = free
        return cls(MappingProxyType(moved))

    def hue(self, family: str) -> str:
        """The family's colour in the light scheme."""
        return HUES[_of_name(family)[0]]

    def variable(self, family: str) -> str:
        """The CSS variable of the family's colour."""
        return VARIABLES[self.hue(family)]

    def shape(self, family: str) -> str:
        """The name of the family's marker, of SHAPES."""
        return self.moved.get(family) or _of_name(family)[1]

    def marker(self, family: str) -> str | Path:
        return SHAPES[self.shape(family)]

    def face(self, family: str, recipe: bool) -> str:
        return PAPER if recipe else self.hue(family)


def _of_name(family: str) -> tuple[str, str]:
    """Colour and shape; of a plug-in by a digest of its name, the same in every process and on every machine."""
    if family in SHIPPED:
        return SHIPPED[family]
    number = int.from_bytes(hashlib.sha256(family.encode()).digest()[:8], "big")
    place, shape = divmod(number, len(OF_PLUGINS))
    return list(HUES)[place % len(HUES)], OF_PLUGINS[shape]
