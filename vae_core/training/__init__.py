"""Training of bundles: M models of one shape in one program."""

from __future__ import annotations

from vae_core.training.trainer import (
    KEPT,
    BundleProgram,
    Member,
    Noise,
    Schedule,
    TrainedBundle,
    TrainedModel,
    Trainer,
    fit_to_residuals,
    train,
    trained_models,
    validate,
)

__all__ = [
    "KEPT",
    "BundleProgram",
    "Member",
    "Noise",
    "Schedule",
    "TrainedBundle",
    "TrainedModel",
    "Trainer",
    "fit_to_residuals",
    "train",
    "trained_models",
    "validate",
]
