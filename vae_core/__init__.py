"""The science of the suite: data, likelihoods, networks, training and evaluation.

Importable alone; it never imports `bench`.
"""

from __future__ import annotations

#: how a likelihood may see the data: what a family names and `vae_core.data.VIEWS` holds, two rooms on one floor
VIEW_NAMES = ("binary", "levels", "unit", "real", "grey")
