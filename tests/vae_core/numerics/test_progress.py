"""Word that a computation goes on: from everything that takes long, in steps that are short beside the whole."""

from __future__ import annotations

import lzma

import numpy as np
import pytest

from vae_core import data as datasets
from vae_core import likelihoods
from vae_core.evaluate import log_likelihood
from vae_core.networks import Architecture
from vae_core.numerics import progress
from vae_core.references import xz
from vae_core.training import Member, Schedule, train


@pytest.fixture
def told(monkeypatch) -> list[tuple[int, int]]:
    words: list[tuple[int, int]] = []
    monkeypatch.setattr(progress, "_listeners", [])
    progress.listen(lambda epoch, of: words.append((epoch, of)))
    return words


def test_training_and_evaluation_tell_of_every_step(told):
    data = datasets.load("digits", train_images=200)
    schedule = Schedule(epochs=3, batch_size=50, learning_rate=1e-3)
    member = Member(likelihoods.make("bernoulli"))
    model = train(data, [member], Architecture(hidden=(8,), latent=2, activation="tanh"), schedule).models[0]
    assert [word for word in told if word[1]] == [(0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]
    assert told.count((0, 0)) >= 3 * (200 // 50) + 3  # steps, and validations
    told.clear()
    log_likelihood((data.test[:100] > 8).float(), model.encode, model.decode, model.likelihood, (1, 600))
    assert len(told) >= 2 * -(-100 // 32), "blocks of images, and tiles of samples"


def test_waiting_is_over_with_its_block(told):
    assert not progress.is_waiting()
    with progress.waiting(), progress.waiting():
        assert progress.is_waiting()
    assert not progress.is_waiting()
    assert len(told) == 2
    with pytest.raises(OSError, match="gone"), progress.waiting():
        raise OSError("gone")
    assert not progress.is_waiting()


def test_a_codec_in_pieces_gives_the_file_of_the_whole(told, monkeypatch):
    monkeypatch.setattr(xz, "AT_ONCE", 1000)
    strip = np.random.default_rng(0).integers(0, 200, (300, 8))
    (file,) = xz.Xz().encoded(strip, 256)
    assert file == lzma.compress(strip.astype("u1").tobytes(), preset=6)
    assert len(told) == 3
