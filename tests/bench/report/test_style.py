"""Colours and markers: a look for every family, the style sheet's values, and whether they can be told apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from matplotlib.path import Path

from bench.grid.families import registry
from bench.report import page
from bench.report.figures import Looks, _looks, _marks
from bench.report.figures._looks import HUES, OF_PLUGINS, SHAPES, SHIPPED

# How dichromats see linear sRGB (Machado, Oliveira & Fernandes 2009, severity 1), and linear sRGB in OKLab.
SEEN_BY = {
    "everybody else": np.eye(3),
    "protanopes": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopes": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip
CONES = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                  [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
OPPONENTS = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                      [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip


def catalogue() -> list[str]:
    return sorted(set(registry().names()) - set(registry().plugins()))


def recipe(family: str) -> bool:
    return issubclass(registry().get(family), registry().Recipe)


def test_every_shipped_family_has_a_look_of_its_own() -> None:
    """One that is added without a line in the list has that of its name, as a plug-in has."""
    assert set(SHIPPED) <= set(catalogue()), "no such family"
    assert len({(Looks().hue(family), Looks().shape(family)) for family in catalogue()}) == len(catalogue())


@pytest.mark.parametrize("recipes", [False, True])
def test_markers_alone_tell_shipped_families_apart(recipes: bool) -> None:
    """In print without colours: recipes are hollow, all others filled, and within each no marker comes twice."""
    shapes = [shape for family, (_, shape) in SHIPPED.items() if recipe(family) == recipes]
    assert len(set(shapes)) == len(shapes)
    assert not set(shapes) & set(OF_PLUGINS)


def test_a_look_does_not_depend_on_what_else_a_run_has() -> None:
    families = ["gaussian", "my_own", "triangular", "student_t"]
    alone = {family: Looks.of([family]) for family in families}
    together = Looks.of([*families, "laplace", "somebody_elses"])
    for family, own in alone.items():
        assert (own.hue(family), own.shape(family)) == (together.hue(family), together.shape(family))
    assert Looks().shape("gaussian") == "disc"


def test_the_look_of_a_plug_in_is_the_same_for_ever() -> None:
    """Pinned: who changes this changes the figures of everybody's plug-ins."""
    assert (Looks().hue("triangular"), Looks().shape("triangular")) == (HUES["gold"], "house")


def test_plug_ins_that_came_out_the_same_part_by_marker_and_keep_their_colour() -> None:
    families = [f"family-{place}" for place in range(40)]
    looks = Looks.of(reversed(families))
    assert len({(looks.hue(family), looks.shape(family)) for family in families}) == 40
    assert looks == Looks.of(families)
    assert [looks.hue(family) for family in families] == [Looks().hue(family) for family in families]
    without = Looks.of(["family-1"], others=families)
    assert without.shape("family-1") == Looks().shape("family-1"), "what is not there yet makes way"


def test_no_family_has_a_marker_that_means_something_else() -> None:
    """Triangles and arrows point, thin crosses and bars are ends of trainings: all marks of _marks.py are strokes."""
    plain = {shape for shape in SHAPES.values() if isinstance(shape, str)}
    assert not plain & {"^", "v", "<", ">", "1", "2", "3", "4", "x", "+", "|", "_", _marks.LEFT, _marks.ENDED}
    for direction in _marks.TURNS:
        for mark in (_marks.bounded(direction), _marks.beyond(direction)):
            assert Path.CLOSEPOLY not in np.asarray(mark.codes)
            outlines = [shape for shape in SHAPES.values() if isinstance(shape, Path)]
            assert not [own for own in outlines if np.array_equal(own.vertices, mark.vertices)]
    assert min(len(np.asarray(own.vertices)) for own in SHAPES.values() if isinstance(own, Path)) > 4, "a triangle"


def test_arrows_point_where_they_say() -> None:
    tips = {way: np.asarray(_marks.bounded(way).vertices)[3] for way in _marks.TURNS}
    assert np.allclose(tips["right"], (1, 0))
    assert np.allclose(tips["left"], (-1, 0))
    assert np.allclose(tips["up"], (0, 1))
    assert np.allclose(tips["down"], (0, -1))


def _schemes() -> list[dict[str, str]]:
    style = (page.TEMPLATES / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    return [light, {**light, **dark}]


def _linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _contrast(one: str, other: str) -> float:
    high, low = sorted((float(_linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _lab(colour: str, eyes: str = "everybody else") -> np.ndarray:
    """OKLab of a colour, as these eyes see it."""
    return np.cbrt(np.clip(_linear(colour) @ SEEN_BY[eyes].T, 0, 1) @ CONES.T) @ OPPONENTS.T


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("scheme", _schemes(), ids=["light", "dark"])
def test_colours_of_families_keep_apart_for_all_readers(scheme: dict[str, str], eyes: str) -> None:
    """0.02 is just seen side by side; markers, a few pixels wide and apart, need more."""
    colours = [_lab(scheme[f"--hue-{place}"], eyes) for place in range(len(HUES))]
    near = min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(colours, 2))
    assert near >= (0.1 if eyes == "everybody else" else 0.07)


@pytest.mark.parametrize("hue", [hue for hue in HUES if hue != "grey"])
def test_a_colour_is_the_same_one_in_both_schemes(hue: str) -> None:
    """Nearly the same angle in OKLab: what is blue on paper is blue in the dark."""
    name = f"--hue-{list(HUES).index(hue)}"
    light, dark = (np.degrees(np.arctan2(lab[2], lab[1])) for lab in (_lab(scheme[name]) for scheme in _schemes()))
    assert abs((light - dark + 180) % 360 - 180) < 32


@pytest.mark.parametrize("scheme", _schemes(), ids=["light", "dark"])
def test_colours_can_be_read(scheme: dict[str, str]) -> None:
    pairs = [("--ink", "--paper"), ("--muted", "--paper"), ("--muted", "--raised"), ("--accent", "--paper")]
    pairs += [("--warn", "--warn-paper"), ("--warn", "--paper"), ("--good", "--good-paper"), ("--tied", "--tied-paper")]
    for text, ground in pairs:
        assert _contrast(scheme[text], scheme[ground]) >= 4.5, f"{text} on {ground}"
    for place in range(len(HUES)):
        assert _contrast(scheme[f"--hue-{place}"], scheme["--paper"]) >= 3, f"hue {place}"


def test_style_sheet_knows_every_colour_of_the_figures() -> None:
    light = _schemes()[0]
    assert {mark: light[variable] for mark, variable in _looks.VARIABLES.items()} == {
        mark: mark for mark in _looks.VARIABLES
    }
