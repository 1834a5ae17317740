"""What to know when reading each figure: one text below each."""

from __future__ import annotations

from bench.report.figures.calibration import EXTRA, HIGHEST

LANDSCAPE = (
    "A dot is one configuration, its bar the 95 % interval over images and seeds; the first of each line is drawn in "
    "full and named on the right. Dashed: the first of all. Hollow: folk recipes. Hollow arrowheads: left out of the "
    "ranking, at least this good. Numbers at the edge: how many lie beyond the axis."
)
SIGMA = (
    "Bands are 95 % intervals. Dashed lines are the family's learned scales: shared, one number for all; image, "
    "one for each image; pixel, one for each pixel; optimal, the maximum-likelihood number from training "
    "data. Arrowheads on a line: off the scale; beside it: left out of the ranking, at least this good."
)
SAMPLES = (
    "Every curve is a lower bound on the log-likelihood, in nats over the encoder's bound at the first L, and rises "
    "with L. Solid: the bound that is reported. Dashed: the encoder's own, where a proposal was fitted to each image; "
    "what lies between their ends is what importance sampling from the encoder misses. Hollow end: left out of the "
    "ranking. Refined proposals are wide: their curves may begin below the panel. The panels have scales of their own."
)
CALIBRATION = (
    "PIT histograms: where each test value falls in the distribution that the decoder predicts for it, from 0, below "
    "all of it, to 1. Dashed: calibrated. A hill in the middle: the noise is predicted too wide; full ends: too "
    f"narrow. Bars are cut at {HIGHEST:g}. Above each: the share of the values in the central 50 % and 95 % of what is "
    "predicted, and the predicted noise as a multiple of the noise there is. Shown: the first configuration of each "
    f"family, and of the others the {EXTRA} with the widest and the {EXTRA} with the narrowest noise for what is there."
)
LATENTS = (
    "KL(q(z|x) ‖ p(z)) of each latent dimension, mean over test images, sorted in each model and then averaged over "
    "seeds. In colour: the first configuration of each family."
)
SPEED = (
    "Speed of a single model, measured alone after the training, against the score; what is left out of the ranking "
    "is not shown. Dashed: what nothing else beats in both. σ's value does not change the speed, its mode does: "
    "settings of one kind stand above each other."
)
