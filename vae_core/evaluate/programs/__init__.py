"""Scores as programs: what torch's compiler makes of a likelihood, made ahead, kept in files, and found again.

The dozens of elementwise operations of exact masses, and their sums over dimensions, become one kernel that reads each
raw output once; pieces of raw outputs are small enough to stay in a GPU's cache between the decoder's last product and
that kernel. A program is of one kind of likelihood: a number σ, what is learned, and how many images and samples there
are go into it as inputs. Nobody who scores waits for one: the plain path is the reference, and is taken where there is
none. `steps` has those of training."""

from __future__ import annotations

from vae_core.evaluate.programs.kept import Kept
from vae_core.evaluate.programs.kinds import DENSITY, MASS, RENORMALISED
from vae_core.evaluate.programs.making import make
from vae_core.evaluate.programs.scorers import AtOnce, Scores
from vae_core.evaluate.programs.steps import StepKind, Steps

__all__ = ["DENSITY", "MASS", "RENORMALISED", "AtOnce", "Kept", "Scores", "StepKind", "Steps", "make"]
