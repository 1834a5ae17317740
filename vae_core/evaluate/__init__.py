"""Estimators of ln p(x): pure functions of an encoder, a decoder and a likelihood, for any VAE."""

from __future__ import annotations

from vae_core.evaluate.importance import Estimate, importance_bounds, log_likelihood

__all__ = ["Estimate", "importance_bounds", "log_likelihood"]
