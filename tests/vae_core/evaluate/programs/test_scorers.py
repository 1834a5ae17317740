"""Scores by programs and without: the same numbers, all of a likelihood's by one call, and no harm from what fails."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.vae_core.evaluate.programs.made import DIMS, LEVELS, by_graph, empty, kind_of, scored
from vae_core.data import dequantise
from vae_core.evaluate import Assessment, Scoring, assess
from vae_core.evaluate.programs import DENSITY, MASS, RENORMALISED, AtOnce, Kept, Scores
from vae_core.evaluate.programs.kept import Program
from vae_core.evaluate.programs.kinds import ALL, ALONE, SLOPE

IMAGES, SAMPLES, LATENT = 6, 3, 2


@pytest.fixture
def k() -> Tensor:
    return torch.randint(LEVELS, (IMAGES, DIMS), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def raw() -> Tensor:
    return torch.randn(IMAGES, SAMPLES, DIMS, generator=torch.Generator().manual_seed(1))


def scores_of(k: Tensor, kept: Kept | None, watch: Any = None) -> Scores:
    unit = dequantise(k, LEVELS, torch.full(k.shape, 0.5))
    return Scores(scored("gaussian", sigma=0.1), k, unit, LEVELS, kept, watch)


ROWS = slice(0, IMAGES)


def test_all_scores_of_a_likelihood_are_one_call(k: Tensor, raw: Tensor, tmp_path: Path) -> None:
    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.3))
    calls = by_graph(kept, kind, ALL)
    scores, plain = scores_of(k, kept), scores_of(k, None)
    assert scores.kinds == (MASS, DENSITY, RENORMALISED)
    together = AtOnce(
        {("a way", one): scores.scorer(one) for one in scores.kinds} | {"other": lambda raw, _: raw[..., 0]}
    )
    found = together(raw, ROWS)
    assert calls == [IMAGES]
    assert found["other"] is not None
    for one in scores.kinds:
        torch.testing.assert_close(found["a way", one], plain.scorer(one)(raw, ROWS), rtol=1e-5, atol=1e-3)


def test_a_mass_alone_takes_its_own_program_where_there_is_one(k: Tensor, raw: Tensor, tmp_path: Path) -> None:
    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.1))
    both = by_graph(kept, kind, ALL)
    mass = scores_of(k, kept).scorer(MASS)
    mass(raw, ROWS)
    assert both == [IMAGES]
    alone = by_graph(kept, kind, ALONE)
    mass(raw, ROWS)
    assert (both, alone) == ([IMAGES], [IMAGES])


def test_a_slope_is_held_on_few_images(k: Tensor, raw: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain path would keep some hundred numbers for each of the outputs that a program takes at a time."""
    monkeypatch.setattr("vae_core.evaluate.programs.scorers.HELD_ON", 2 * SAMPLES * DIMS)
    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.1))
    calls = by_graph(kept, kind, SLOPE)
    scores, plain = scores_of(k, kept), []

    def counted(which: str, raw: Tensor, rows: slice) -> Tensor:
        plain.append(len(raw))
        return ordinary(which, raw, rows)

    ordinary = scores._plain
    monkeypatch.setattr(scores, "_plain", counted)
    rows = slice(1, IMAGES)
    for _ in range(2):
        found = scores.scorer(MASS)(raw[rows].clone().requires_grad_(), rows)
        torch.testing.assert_close(found, ordinary(MASS, raw[rows], rows), rtol=1e-5, atol=1e-3)
    assert calls == [2, IMAGES - 1, IMAGES - 1]
    assert plain == [2]


def test_the_slope_is_the_plain_path_s(k: Tensor, raw: Tensor, tmp_path: Path) -> None:
    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.1))
    calls = by_graph(kept, kind, SLOPE)
    found, expected = (raw.clone().requires_grad_() for _ in range(2))
    weights = torch.rand(IMAGES, SAMPLES)
    (scores_of(k, kept).scorer(MASS)(found, ROWS) * weights).sum().backward()
    (scores_of(k, None).scorer(MASS)(expected, ROWS) * weights).sum().backward()
    assert calls == [IMAGES]
    assert found.grad is not None
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-4)


def test_without_a_program_of_its_own_the_plain_path_is_taken_to_the_bit(
    k: Tensor, raw: Tensor, tmp_path: Path
) -> None:
    kept = empty(tmp_path)
    by_graph(kept, kind_of(scored("gaussian", sigma=0.1)), SLOPE)
    for one in (MASS, DENSITY):
        assert torch.equal(scores_of(k, kept).scorer(one)(raw, ROWS), scores_of(k, None).scorer(one)(raw, ROWS))


def broken(*inputs: Tensor) -> Any:
    raise RuntimeError("no such kernel\nand a long trace")


def wrong(*inputs: Tensor) -> Any:
    score, slope = torch.zeros(inputs[-1].shape[:2]), torch.zeros(inputs[-1].shape)
    return [score, slope] if len(inputs) == 3 else [score] * 3  # σ, k, raw; or those and the dequantised


def of_another_shape(*inputs: Tensor) -> Any:
    return [torch.zeros(1)] * len(wrong(*inputs))


@pytest.mark.parametrize(
    ("compiled", "said"),
    [
        (broken, "no such kernel and a long trace"),
        (wrong, "times as far from the plain one"),
        (of_another_shape, "another shape"),
    ],
)
@pytest.mark.parametrize("which", [ALL, SLOPE])
def test_a_program_that_fails_is_said_once_and_the_plain_path_taken(
    k: Tensor, raw: Tensor, tmp_path: Path, compiled: Any, said: str, which: str
) -> None:
    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.1))
    kept._loaded[kind.name(which)] = Program(compiled, which)
    given = raw.clone().requires_grad_(which == SLOPE)
    expected = scores_of(k, None).scorer(MASS)(given, ROWS)
    with pytest.warns(RuntimeWarning, match=f"^scoring goes on uncompiled: .*{said}"):
        found = scores_of(k, kept).scorer(MASS)(given, ROWS)
    assert torch.equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = scores_of(k, kept).scorer(MASS)(given, ROWS)
    assert torch.equal(again, expected)
    assert again.requires_grad == (which == SLOPE)


def test_memory_that_runs_out_is_no_fault_of_a_program(k: Tensor, raw: Tensor, tmp_path: Path) -> None:
    def full(*inputs: Tensor) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.1))
    kept._loaded[kind.name(ALL)] = Program(full, ALL)
    with pytest.raises(torch.OutOfMemoryError):
        scores_of(k, kept).scorer(MASS)(raw, ROWS)


def test_a_damaged_file_is_said_and_left_alone(k: Tensor, raw: Tensor, tmp_path: Path) -> None:
    kept, name = empty(tmp_path), kind_of(scored("gaussian", sigma=0.1)).name(ALL)
    kept.put(name, lambda part: part.write_bytes(b"half of a program"))
    with pytest.warns(RuntimeWarning, match="^scoring goes on uncompiled: "):
        found = scores_of(k, kept).scorer(MASS)(raw, ROWS)
    assert torch.equal(found, scores_of(k, None).scorer(MASS)(raw, ROWS))
    assert kept.path(name).exists()


def test_nothing_half_written_is_ever_found(tmp_path: Path) -> None:
    def dies(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError("the disk is full")

    kept = empty(tmp_path)
    with pytest.raises(OSError, match="full"):
        kept.put("one", dies)
    assert list(kept.folder.iterdir()) == []
    assert not kept.has("one")


def assessed(k: Tensor, kept: Kept | None) -> Assessment:
    generator = torch.Generator().manual_seed(3)
    encoder, decoder = (
        torch.randn(DIMS, 2 * LATENT, generator=generator),
        torch.randn(LATENT, DIMS, generator=generator),
    )
    (found,) = assess(
        k,
        lambda k: tuple((0.1 * (k / LEVELS - 0.5) @ encoder).chunk(2, -1)),  # type: ignore[arg-type, return-value]
        lambda z: 0.5 + 0.1 * z @ decoder,
        [Scoring(scored("gaussian", sigma=0.1), "always")],
        levels=LEVELS,
        samples=(1, 10),
        programs=kept,
    )
    return found


def test_an_assessment_by_programs_is_the_plain_one_s(k: Tensor, tmp_path: Path) -> None:
    kept, kind = empty(tmp_path), kind_of(scored("gaussian", sigma=0.5))
    calls = {which: by_graph(kept, kind, which) for which in (ALL, SLOPE)}
    found, plain = assessed(k, kept), assessed(k, None)
    assert all(calls.values())
    for one in ("mass", "density", "renormalised"):
        torch.testing.assert_close(getattr(found, one).bound[10], getattr(plain, one).bound[10], rtol=1e-4, atol=2e-3)
    assert found.checked.masses_summed == plain.checked.masses_summed


def test_what_is_there_is_there_at_every_look(tmp_path: Path) -> None:
    """What is not is looked for now and then."""
    kept = empty(tmp_path)
    kept.put("one", lambda part: part.write_bytes(b"whole"))
    assert [kept.has("one") for _ in range(3)] == [True] * 3
    assert not kept.has("two")
    kept.put("two", lambda part: part.write_bytes(b"whole"))
    assert not kept.has("two")  # for a second
