"""Estimators of ln p(x): pure functions of an encoder, a decoder and a likelihood, for any VAE."""

from __future__ import annotations

from vae_core.evaluate.importance import Estimate, importance_bounds
from vae_core.evaluate.proposals import Gaussian, Mixture, Proposal
from vae_core.evaluate.refine import Gaps, defensive, gaps, refine
from vae_core.evaluate.scoring import log_likelihood, refined_bounds

__all__ = [
    "Estimate",
    "Gaps",
    "Gaussian",
    "Mixture",
    "Proposal",
    "defensive",
    "gaps",
    "importance_bounds",
    "log_likelihood",
    "refine",
    "refined_bounds",
]
