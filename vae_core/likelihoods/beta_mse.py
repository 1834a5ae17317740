"""β·KL plus summed MSE: a Gaussian with σ² = β/2, whose β people tune as if it were a matter of taste."""

from __future__ import annotations

import math

from vae_core.likelihoods._base import Card
from vae_core.likelihoods._squared_error import SquaredError


class BetaMse(SquaredError):
    """The loss Σ (x−μ)² + β KL against grey values x = k/(K−1), divided by β: a squared error of weight 1/β beside a KL
    of weight 1.

    Both have one optimum, since a positive factor on a loss moves none; divided by β it is the negative ELBO of a
    Gaussian with σ² = β/2, up to a constant. (A learning rate without a scale-free optimiser would feel the factor;
    Adam does not.) Its masses are those of `mse_sum`, at that σ.

    Args:
        beta: the weight of the KL, > 0. Raises ValueError for anything else.
        score: as which true distribution about μ `log_mass` scores it; a σ to be fitted is given by `fit`. Raises
            ValueError for one that is not among its `scorings`.
        levels: K, the data's number of levels, without which the binomial draws no samples. Raises ValueError if
            below 2 or no integer.
    """

    examples = (
        {"beta": 0.1, "score": "gaussian_implied"},
        {"beta": 0.1, "score": "laplace_binned"},
        {"beta": 4.0, "score": "gaussian_implied"},
    )
    card = Card(
        title="MSE, summed, with β·KL",
        summary="Summed squared error beside β times the KL: β is a noise level in disguise, σ = √(β/2).",
        formula="loss = Σ (x−μ)² + β KL = β (Σ (x−μ)²/β + KL) (unnormalised; σ² = β/2 up to a constant)",
        support="the real line (view grey: k/(K−1))",
        parameters="μ: D outputs",
        source="β from Higgins et al. 2017, β-VAE; as a Gaussian's variance: Rybkin et al. 2021, section 3",
        users="code with a 'kl_weight' or 'beta' beside an MSE, tuned by eye for sharp pictures",
    )

    def __init__(self, beta: float = 0.1, score: str = "gaussian_implied", levels: int | None = None) -> None:
        super().__init__(score, levels)
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not (math.isfinite(beta) and beta > 0):
            raise ValueError(f"beta={beta!r} is no weight of the KL: give a finite number > 0 such as 0.1")
        self.beta = float(beta)

    def weight(self, dims: int) -> float:
        return 1 / self.beta
