"""Confidence intervals by resampling items, and of the difference between two runs of the same items."""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
SEED = 0  # of the draws: the same scores give the same interval


def interval(groups: Sequence[Sequence[float]], draws: int) -> tuple[float, float]:
    """Percentile interval of the unweighted mean over `groups`, whose items are drawn anew within each group.

    Groups keep their sizes: a benchmark's groups are fixed, its items stand for others that might have been asked.

    Raises:
        ValueError: a group is empty.
    """
    if not groups or any(len(group) == 0 for group in groups):
        raise ValueError("a group without scores has no mean: leave it out, or score it")
    rng = np.random.default_rng(SEED)
    means = np.zeros(draws)
    for group in groups:
        values = np.asarray(group, dtype=float)
        means += values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means / len(groups), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def difference(pairs: Sequence[Sequence[tuple[float, float]]], draws: int) -> tuple[float, float, float]:
    """(mean of new - old, low, high) of the unweighted mean over groups of (old, new) pairs of the same items.

    Paired: what an item's difficulty adds to both runs cancels out.
    """
    changes = [[new - old for old, new in group] for group in pairs]
    low, high = interval(changes, draws)
    return float(np.mean([np.mean(change) for change in changes])), low, high
