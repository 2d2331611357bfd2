"""Softmax regression with an L2 penalty on sparse features: deterministic, a few seconds for ten thousand answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]


def fit(
    features: Any, kinds: NDArray[np.int64], weights: Floats, penalty: float, classes: int, steps: int = 35
) -> Floats:
    """Coefficients of a softmax regression.

    Args:
        features: sparse [n, d], the last column all ones.
        kinds: [n] class of each row.
        weights: [n] of the rows.
        penalty: of half the squared coefficients, beside the weighted mean loss.
        classes: how many there are.
        steps: L-BFGS iterations at most.

    Returns:
        [d, classes].
    """
    columns = features.shape[1]
    wanted = np.eye(classes)[kinds]
    share = (weights / weights.sum())[:, None]
    transposed = features.T.tocsr()

    def loss(flat: Floats) -> tuple[float, Floats]:
        matrix = flat.reshape(columns, classes)
        scores = features @ matrix
        scores -= scores.max(axis=1, keepdims=True)
        total = np.exp(scores).sum(axis=1, keepdims=True)
        likely = np.exp(scores) / total
        found = -float((share * wanted * (scores - np.log(total))).sum()) + penalty / 2 * float(flat @ flat)
        return found, (transposed @ (share * (likely - wanted)) + penalty * matrix).ravel()

    start = np.zeros(columns * classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "ftol": 1e-7})
    return np.asarray(found.x).reshape(columns, classes)


def softmax(scores: Floats) -> Floats:
    """Probabilities of each row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
