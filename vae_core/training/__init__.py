"""Training of bundles: M models of one shape in one program.

The files read one after the other like a method section: `recipe` says what is given, `noise` what is random, `program`
what a bundle computes, `adam` how an update is made, `trainer` what one step is, `loop` how steps, validation and the
choice of the best parameters follow one another, `course` when a model has come to its end, `model` what comes out.
`capture` makes a step one CUDA graph; `weights` writes trained models to files and reads them.
"""

from __future__ import annotations

from vae_core.training.loop import train, validate
from vae_core.training.model import TrainedBundle, TrainedModel, trained_models
from vae_core.training.noise import Noise
from vae_core.training.program import BundleProgram, Compiled
from vae_core.training.recipe import Member, Schedule
from vae_core.training.scale import fit_scale
from vae_core.training.trainer import Trainer
from vae_core.training.weights import Blueprint, LoadedModel, load_model, save_model

__all__ = [
    "Blueprint",
    "BundleProgram",
    "Compiled",
    "LoadedModel",
    "Member",
    "Noise",
    "Schedule",
    "TrainedBundle",
    "TrainedModel",
    "Trainer",
    "fit_scale",
    "load_model",
    "save_model",
    "train",
    "trained_models",
    "validate",
]
