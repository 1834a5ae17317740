"""From cells to bundles: models of one shape that train together in one program."""

from __future__ import annotations

from dataclasses import dataclass

from bench.cell import Cell


@dataclass(frozen=True)
class Bundle:
    """Cells of one shape, carried out by one call of the worker.

    All share dataset, levels, hidden, activation, latent, train_samples, epochs, batch_size, learning_rate,
    binarisation and the decoder's output width. Cells with one `training_key` (one model, scored in several ways) are
    always together.
    """

    id: str
    cells: tuple[Cell, ...]
