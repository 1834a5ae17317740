"""Colours: a look for every family, the style sheet's values, and whether they can be read."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench.report import page
from bench.report.figures import _svg
from bench.store import RunTables


def test_a_family_has_one_look_and_no_two_share_it(tables: RunTables) -> None:
    families = [f"family-{place}" for place in range(40)]
    looks = _svg.Looks.of(reversed(families))
    assert len({(looks.hue(family), looks.marker(family)) for family in families}) == 40
    assert looks == _svg.Looks.of(families)


def _schemes() -> list[dict[str, str]]:
    style = (page.TEMPLATES / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    return [light, {**light, **dark}]


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", _schemes(), ids=["light", "dark"])
def test_colours_can_be_read(scheme: dict[str, str]) -> None:
    pairs = [("--ink", "--paper"), ("--muted", "--paper"), ("--muted", "--raised"), ("--accent", "--paper")]
    pairs += [("--warn", "--warn-paper"), ("--warn", "--paper"), ("--good", "--good-paper"), ("--tied", "--tied-paper")]
    for text, ground in pairs:
        assert _contrast(scheme[text], scheme[ground]) >= 4.5, f"{text} on {ground}"
    for place in range(len(_svg.HUES)):
        assert _contrast(scheme[f"--hue-{place}"], scheme["--paper"]) >= 3, f"hue {place}"


def test_style_sheet_knows_every_colour_of_the_figures() -> None:
    light = _schemes()[0]
    assert {mark: light[variable] for mark, variable in _svg.VARIABLES.items()} == {
        mark: mark for mark in _svg.VARIABLES
    }
