"""The number of triplets of each corpus and task: the paper's mix, as far as the corpora have them.

Shape letters: S corpora, K tasks.
"""

from collections.abc import Sequence

import numpy as np

from v4e.config import Ingest
from v4e.config.mixture import parse_weights

TABLE3_CORPORA = {"omniedit": 34.0, "hqedit": 33.0, "ultraedit": 33.0}
OTHER_CORPUS = 33.0  # ours: for a corpus that the paper does not use
TABLE3_TASKS = {  # percent; they add up to 101.1 in the paper, and only their ratios count
    "addition": 7.6,
    "removal": 9.8,
    "replacement": 9.3,
    "background": 11.1,
    "color": 7.9,
    "material": 12.2,
    "text": 7.2,
    "motion": 9.7,
    "portrait": 10.5,
    "style": 7.5,
    "tone": 8.3,
}
ROUNDS = 300  # of fitting; a few tens are usual, margins that contradict each other never settle
CLOSE = 1e-7
FAINT = 1e-9  # least scale of a corpus, relative to the largest: one that should give nothing may have to


def corpus_shares(ingest: Ingest, corpora: Sequence[str]) -> np.ndarray:
    """Returns the shares of `corpora`, (S,), with sum 1.

    Raises:
        ValueError: ``ingest.shares`` names another corpus, or leaves none.
    """
    default = {name: TABLE3_CORPORA.get(name, OTHER_CORPUS) for name in corpora}
    return _shares(default, ingest.shares, "ingest.shares")


def task_shares(ingest: Ingest) -> np.ndarray:
    """Returns the shares of all tasks, (K,), with sum 1.

    Raises:
        ValueError: ``ingest.tasks`` names another task, or leaves none.
    """
    return _shares(TABLE3_TASKS, ingest.tasks, "ingest.tasks")


def fit_counts(total: int, share_S: np.ndarray, share_K: np.ndarray, most_SK: np.ndarray) -> np.ndarray:
    """Returns whole numbers of triplets, (S, K), none above `most_SK`.

    A task gets its share of `total`, or all that it has: balance over the tasks comes first. The corpora's shares are
    met as nearly as that allows. Among all tables with these sums, it is the one nearest to uniform.
    """
    most_SK = most_SK * (share_S > 0)[:, None]
    task_K = np.minimum(_round(total * share_K), most_SK.sum(0))
    corpus_S = fill(share_S, most_SK.sum(1).astype(float), float(task_K.sum()))
    return _round_within(_fit(corpus_S, task_K.astype(float), most_SK.astype(float)), task_K, most_SK)


def fill(weight_N: np.ndarray, most_N: np.ndarray, total: float) -> np.ndarray:
    """Returns ``min(most, m weight)`` for the m that makes their sum `total`, or `most` if its sum is less."""
    return np.minimum(most_N, _level(weight_N, most_N, total) * weight_N)


def _fit(corpus_S: np.ndarray, task_K: np.ndarray, most_SK: np.ndarray) -> np.ndarray:
    """Scales rows and columns in turn until both sums hold: iterative proportional fitting with bounds.

    If no such table exists, the columns' sums hold.
    """
    a_S, b_K = np.ones(len(corpus_S)), np.ones(len(task_K))
    open_SK = (most_SK > 0).astype(float)
    for _ in range(ROUNDS):
        before = a_S
        levels = [_level(open_SK[s] * b_K, most_SK[s], corpus_S[s]) for s in range(len(a_S))]
        a_S = np.clip(np.array(levels) / max(max(levels), 1e-300), FAINT, 1.0)
        b_K = np.array([_level(open_SK[:, k] * a_S, most_SK[:, k], task_K[k]) for k in range(len(b_K))])
        if np.allclose(a_S, before, rtol=CLOSE, atol=0):
            break
    return np.minimum(most_SK, open_SK * a_S[:, None] * b_K)


def _level(weight_N: np.ndarray, most_N: np.ndarray, total: float) -> float:
    """Returns the m of :func:`fill`. The sum is linear in m between two breaks; at each, one more bound is met."""
    used = (weight_N > 0) & (most_N > 0)
    weight, most = weight_N[used], most_N[used]
    if not weight.size or total <= 0:
        return 0.0
    order = np.argsort(most / weight)
    weight, most = weight[order], most[order]
    breaks = most / weight
    met = np.r_[0.0, np.cumsum(most)]  # by the bounds below each break
    free = np.cumsum(weight[::-1])[::-1]  # weight at and above it
    at_break = met[:-1] + free * breaks
    first = int(np.searchsorted(at_break, total))
    return float(breaks[-1] if first == len(breaks) else (total - met[first]) / free[first])


def _round(value_N: np.ndarray) -> np.ndarray:
    """Rounds to whole numbers with the same sum: the largest remainders go up, the first among equal ones."""
    down_N = np.floor(value_N + 1e-9).astype(np.int64)
    short = round(float(value_N.sum())) - int(down_N.sum())
    up = np.argsort(-(value_N - down_N), kind="stable")[:short]
    down_N[up] += 1
    return down_N


def _round_within(value_SK: np.ndarray, task_K: np.ndarray, most_SK: np.ndarray) -> np.ndarray:
    """Rounds to whole numbers with the columns' sums `task_K`, none above `most_SK`, rows' sums as near as possible."""
    found_SK = np.minimum(np.floor(value_SK + 1e-6).astype(np.int64), most_SK)
    for k in range(len(task_K)):
        while found_SK[:, k].sum() < task_K[k]:
            short_S = (value_SK - found_SK).sum(1) + (value_SK - found_SK)[:, k]
            short_S[found_SK[:, k] >= most_SK[:, k]] = -np.inf
            found_SK[int(np.argmax(short_S)), k] += 1
    return found_SK


def _shares(default: dict[str, float], text: str, key: str) -> np.ndarray:
    given = parse_weights(text, key)
    if unknown := [name for name in given if name not in default]:
        raise ValueError(f"{key}={text}: {unknown[0]} is none of {', '.join(default)}: leave it out")
    share = np.array([float(given.get(name, value)) for name, value in default.items()])
    if not share.sum() > 0:
        raise ValueError(f"{key}={text} leaves nothing: set one of {', '.join(default)} above 0")
    return share / share.sum()


def spread(count_K: np.ndarray) -> float:
    """Returns the standard deviation of the tasks' shares, in percentage points."""
    return float(100 * np.std(count_K / max(1, count_K.sum())))
