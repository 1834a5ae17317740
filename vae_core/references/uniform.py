"""The uniform guess: every level as probable as any other, −D ln K nats. Who is below it knows less than nothing."""

from __future__ import annotations

import numpy as np

from vae_core.references._base import Card, Distribution, Fitted, Images
from vae_core.references._tables import Tables


class Uniform(Distribution):
    card = Card(
        title="uniform guess",
        summary="Knows how many values there are and how many levels each can take, no more: ln K nats a value.",
        source="Laplace's principle of indifference",
    )

    def fit(self, images: Images) -> Fitted:
        masses = np.full((1, images.train.shape[1], images.levels), -np.log(images.levels))
        return Fitted(Tables(np.zeros(1), masses), "uniform guess")
