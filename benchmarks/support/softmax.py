"""Fits a softmax over sparse features by L-BFGS."""

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix


def softmax(
    x: csr_matrix, y: np.ndarray, weight: np.ndarray, first: np.ndarray, decay: float, steps: int
) -> np.ndarray:
    """Returns weights and, as the last row, biases, (features + 1, labels), float32.

    `x` has (rows, features), `y` a distribution over the labels in each row, `weight` one number a row, and `first`
    the weights to begin with.
    """
    used = np.unique(x.indices)
    x = x[:, used]
    xt, weight, shape = x.T.tocsr(), (weight / weight.sum())[:, None], (len(used) + 1, y.shape[1])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(shape).astype(np.float32)
        scores = x @ w[:-1] + w[-1]
        scores -= scores.max(1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        gap = (np.exp(log_p) - y) * weight
        slope = np.vstack([xt @ gap + 2 * decay * w[:-1], gap.sum(0)])
        return float(-(weight * y * log_p).sum() + decay * (w[:-1] ** 2).sum()), slope.ravel().astype(np.float64)

    begin = np.vstack([first[used], first[-1:]]).ravel().astype(np.float64)
    best = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 8})
    found = np.zeros(first.shape, np.float32)
    found[used], found[-1] = best.x.reshape(shape)[:-1], best.x.reshape(shape)[-1]
    return found
