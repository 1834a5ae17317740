"""Nodes and weights of quadrature rules, as numbers: made once, with no tensor, so that they go to any device."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def gauss_legendre(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights on [0, 1]: Σ w f(v) = ∫₀¹ f for polynomials f up to degree 2 count − 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return tuple((0.5 * (nodes + 1)).tolist()), tuple((0.5 * weights).tolist())


@cache
def gauss_hermite(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights on the line: Σ w f(t) = ∫ e^{−t²} f(t) dt for polynomials f up to degree 2 count − 1."""
    nodes, weights = np.polynomial.hermite.hermgauss(count)
    return tuple(nodes.tolist()), tuple(weights.tolist())
