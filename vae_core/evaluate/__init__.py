"""Estimators of ln p(x): pure functions of an encoder, a decoder and a likelihood, for any VAE.

`log_likelihood` gives the bounds of one data set; `assess` all that a grid says of a model besides."""

from __future__ import annotations

from vae_core.evaluate.annealing.ais import Annealed, Annealing, annealed_importance, prior
from vae_core.evaluate.annealing.bdmc import Sandwich, sandwich, simulate
from vae_core.evaluate.annealing.exact import Quadrature, ppca_log_likelihood, ppca_posterior, quadrature
from vae_core.evaluate.assess import Assessment, Scoring, Trained, assess
from vae_core.evaluate.calibration import Calibration, Latents, calibration, latents
from vae_core.evaluate.importance import Estimate, importance_bounds
from vae_core.evaluate.pictures import Pictures
from vae_core.evaluate.proposals import Gaussian, Mixture, Proposal
from vae_core.evaluate.refine import GapParts, Gaps, defensive, gaps, refine
from vae_core.evaluate.scoring import log_likelihood, log_likelihoods, refined_bounds
from vae_core.statistics.possible import ImpossibleScore

__all__ = [
    "Annealed",
    "Annealing",
    "Assessment",
    "Calibration",
    "Estimate",
    "GapParts",
    "Gaps",
    "Gaussian",
    "ImpossibleScore",
    "Latents",
    "Mixture",
    "Pictures",
    "Proposal",
    "Quadrature",
    "Sandwich",
    "Scoring",
    "Trained",
    "annealed_importance",
    "assess",
    "calibration",
    "defensive",
    "gaps",
    "importance_bounds",
    "latents",
    "log_likelihood",
    "log_likelihoods",
    "ppca_log_likelihood",
    "ppca_posterior",
    "prior",
    "quadrature",
    "refine",
    "refined_bounds",
    "sandwich",
    "simulate",
]
