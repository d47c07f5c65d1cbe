"""Confidence intervals by resampling items, and of the difference between two runs of the same items."""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
SEED = 0  # of the draws: the same scores give the same interval


def interval(
    groups: Sequence[Sequence[float | Sequence[float]]], draws: int, items: bool = True
) -> tuple[float, float]:
    """Percentile interval of the unweighted mean over `groups`, whose items are drawn anew within each group.

    Groups keep their sizes: a benchmark's groups are fixed, its items stand for others that might have been asked.
    Where an item has several values, they are drawn anew within it, and its value is their mean. Without `items`
    these are drawn alone.

    Raises:
        ValueError: a group is empty.
    """
    if not groups or any(len(group) == 0 for group in groups):
        raise ValueError("a group without scores has no mean: leave it out, or score it")
    rng = np.random.default_rng(SEED)
    means = np.zeros(draws)
    for group in groups:
        values = [np.atleast_1d(np.asarray(one, dtype=float)) for one in group]
        at = (
            rng.integers(0, len(values), (draws, len(values))) if items else np.tile(np.arange(len(values)), (draws, 1))
        )
        means += _drawn(values, at, rng).mean(1)
    low, high = np.quantile(means / len(groups), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _drawn(values: Sequence[np.ndarray], at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The items `at`: of an item with several values, the mean of as many of them, drawn anew."""
    if all(len(one) == 1 for one in values):
        return np.concatenate(values)[at]
    counts = np.array([len(one) for one in values])
    padded = np.array([np.resize(one, counts.max()) for one in values])
    total = np.zeros(at.shape)
    for turn in range(counts.max()):
        drawn = padded[at, rng.integers(0, counts[at])]
        total += np.where(turn < counts[at], drawn, 0.0)
    return total / counts[at]


def difference(pairs: Sequence[Sequence[tuple[float, float]]], draws: int) -> tuple[float, float, float]:
    """(mean of new - old, low, high) of the unweighted mean over groups of (old, new) pairs of the same items.

    Paired: what an item's difficulty adds to both runs cancels out.
    """
    changes = [[new - old for old, new in group] for group in pairs]
    low, high = interval(changes, draws)
    return float(np.mean([np.mean(change) for change in changes])), low, high
