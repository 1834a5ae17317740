"""Nodes and weights of quadrature rules, as numbers: made once, with no tensor, so that they go to any device."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Rule: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


def gauss_legendre(count: int) -> Rule:
    """Nodes and weights on [0, 1]: Σ w f(v) = ∫₀¹ f for polynomials f up to degree 2 count − 1."""
    return _LEGENDRE[count]


def gauss_hermite(count: int) -> Rule:
    """Nodes and weights on the line: Σ w f(t) = ∫ e^{−t²} f(t) dt for polynomials f up to degree 2 count − 1."""
    return _HERMITE[count]


def _legendre(count: int) -> Rule:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return tuple((0.5 * (nodes + 1)).tolist()), tuple((0.5 * weights).tolist())


def _hermite(count: int) -> Rule:
    nodes, weights = np.polynomial.hermite.hermgauss(count)
    return tuple(nodes.tolist()), tuple(weights.tolist())


#: made where the module is read, and not where a program is traced
_LEGENDRE = {count: _legendre(count) for count in (4, 6, 8, 10, 12, 14, 24)}
_HERMITE = {count: _hermite(count) for count in (64,)}
