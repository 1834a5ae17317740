"""Programs by a real compiler, the CPU's: made once for all scales, kept, and found by another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.vae_core.evaluate.programs.made import DIMS, LEVELS, empty, kind_of, scored
from vae_core.data import dequantise
from vae_core.evaluate.programs import MASS, Scores, make
from vae_core.evaluate.programs.kinds import ALONE

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")

ELSEWHERE = """
import sys, threading, warnings
from pathlib import Path
warnings.simplefilter("error", RuntimeWarning)
from tests.vae_core.evaluate.programs.test_making import scores
from vae_core.evaluate.programs import Kept
kept = Kept(Path(sys.argv[1]))
found, plain = scores(kept, 0.02), scores(None, 0.02)
assert len(kept._loaded) == 1, kept
assert (found - plain).abs().max() < 1e-3 + 1e-5 * plain.abs().max()
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
print("found")
"""


def scores(kept: object, sigma: float) -> torch.Tensor:
    k = torch.randint(LEVELS, (7, DIMS), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    raw = torch.rand(7, 2, DIMS, generator=torch.Generator().manual_seed(1))
    unit = dequantise(k, LEVELS, torch.full(k.shape, 0.5))
    return Scores(scored("laplace", sigma=sigma), k, unit, LEVELS, kept).scorer(MASS)(raw, slice(0, 7))  # type: ignore[arg-type]


@pytest.mark.slow
@needs_compiler
def test_a_program_is_made_once_for_all_scales_and_found_elsewhere(tmp_path: Path) -> None:
    kept = empty(tmp_path)
    assert make(kind_of(scored("laplace", sigma=0.1)), ALONE, kept)
    assert not make(kind_of(scored("laplace", sigma=0.02)), ALONE, kept)
    assert len(list(kept.folder.iterdir())) == 1
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "elsewhere")}
    command = [sys.executable, "-c", ELSEWHERE, str(kept.folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "found", done.stderr


@pytest.mark.slow
@needs_compiler
def test_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    kept, kind = empty(tmp_path), kind_of(scored("laplace", sigma=0.1))
    kept.put(kind.name(ALONE), lambda part: part.write_bytes(b"damaged"))
    with pytest.warns(RuntimeWarning, match="uncompiled"):
        assert make(kind, ALONE, kept)
    assert kept.path(kind.name(ALONE)).stat().st_size > 1000


def test_a_compiler_whose_numbers_are_wrong_gives_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(graph: object, inputs: object, **named: object) -> object:
        return lambda *given: [torch.zeros(given[-1].shape[:2])]

    monkeypatch.setattr(torch._inductor, "standalone_compile", nothing)
    kept = empty(tmp_path)
    with pytest.raises(ValueError, match="as far from the plain one"):
        make(kind_of(scored("laplace", sigma=0.1)), ALONE, kept)
    assert not kept.folder.exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", ["gaussian", "categorical", "beta", "logistic_mixture"])
def test_programs_on_cuda_give_the_plain_path_s_numbers(tmp_path: Path, family: str) -> None:
    from vae_core.evaluate.programs.kinds import Kind

    likelihood = scored(family, sigma=0.1 if family == "gaussian" else None).to("cuda")
    kind = Kind(likelihood, DIMS, LEVELS, torch.device("cuda"))
    for which in kind.programs:  # each is held against the plain path while it is made
        assert make(kind, which, empty(tmp_path))
