"""The exact judge of an edit that may have several valid outcomes: which one was chosen, or what went wrong.

It knows every valid outcome as a picture. Images are uint8 RGB (h, w, 3), all of one size; n is the number of outcomes.
An outcome's mask is where it differs from the source. Errors are squared and of values in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter

from v4e.evaluation.metrics.exact import edit_mask

SHARE = 0.15  # of the source's error in an outcome's mask, below which the outcome holds there
WINDOW = 8  # windows along the image's side: an outcome holds in each of them, or it does not hold
LOCAL = 0.5  # of the source's error in a window
FLOOR = 0.03  # error in a window that is forgiven anyhow: what a codec may do to a sharp edge
HALFWAY = 0.25  # of the way to another outcome: the middle between an outcome and their mean
UNTOUCHED = 0.25  # of the least error between the source and an outcome, up to which nothing was done
Kind = Literal["committed", "mean-like", "nothing", "broken"]
KINDS: tuple[Kind, ...] = ("committed", "mean-like", "nothing", "broken")
Image = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """The judge's word on one edit.

    ``committed`` is a success that is nearer to one outcome than to any mean of several. ``mean-like`` is nearest to
    such a mean, ``nothing`` is the source still, and ``broken`` is anything else.
    """

    kind: Kind
    success: bool  # one outcome holds in its whole mask, and the rest is kept
    outcome: int | None  # that which was committed to

    @property
    def committed(self) -> bool:
        return self.kind == "committed"


def judge(source: Image, outcomes: Image, prior: Sequence[float], edit: Image, preserve_db: float) -> Ruling:
    """Rules on `edit` against the valid `outcomes`, (n, h, w, 3), and their `prior`.

    Raises:
        ValueError: an outcome is the source, or the priors are not one for each outcome.
    """
    if len(prior) != len(outcomes):
        raise ValueError(f"{len(outcomes)} outcomes have {len(prior)} priors: expected one for each")
    masks = [edit_mask(source, outcome) for outcome in outcomes]
    if not all(mask.any() for mask in masks):
        raise ValueError("an outcome is the source itself: there is no edit to judge")
    s, e = _values(source), _values(edit)
    found = [_values(outcome) for outcome in outcomes]
    held = [k for k in range(len(found)) if _holds(s, found[k], e, masks[k], preserve_db)]
    for k in sorted(held, key=lambda k: _error(e, found[k])):
        if _commits(k, found, prior, e):
            return Ruling(kind="committed", success=True, outcome=k)
    union = np.logical_or.reduce(masks)
    return Ruling(kind=_other(s, found, prior, e, union, preserve_db), success=bool(held), outcome=None)


def _values(image: Image) -> Image:
    return image.astype(np.float64) / 255


def _error(a: Image, b: Image, mask: Image | None = None) -> float:
    """Returns the mean squared difference, of a mask's pixels alone if there is one."""
    squared = (a - b) ** 2
    return float(squared.mean() if mask is None else squared[mask].mean())


def _kept(s: Image, e: Image, mask: Image, preserve_db: float) -> bool:
    """Returns whether `e` is the source outside `mask`, as a whole and in each window."""
    if mask.all():
        return True
    squared = ((e - s) ** 2).mean(-1) * ~mask
    mean = squared[~mask].mean()
    return bool(mean <= 10 ** (-preserve_db / 10) and _windows(squared).max() <= FLOOR)


def _windows(squared: Image) -> Image:
    """Returns the mean of an error, (h, w), over the window round each pixel."""
    return uniform_filter(squared, max(1, min(squared.shape) // WINDOW), mode="constant")


def _holds(s: Image, outcome: Image, e: Image, mask: Image, preserve_db: float) -> bool:
    """Returns whether an outcome holds in its whole mask, and the rest is kept."""
    if not _kept(s, e, mask, preserve_db) or _error(e, outcome, mask) >= SHARE * _error(s, outcome, mask):
        return False
    error, change = (_windows(((a - outcome) ** 2).mean(-1) * mask) for a in (e, s))
    return bool((error <= np.maximum(LOCAL * change, FLOOR)).all())


def _way(start: Image, end: Image, e: Image) -> float:
    """Returns how far `e` is on the way from `start`, 0, to `end`, 1."""
    step = (end - start).ravel()
    return float((e - start).ravel() @ step / (step @ step))


def _commits(k: int, outcomes: list[Image], prior: Sequence[float], e: Image) -> bool:
    """Returns whether `e` is nearer to outcome `k` than to the middle between it and another, or to a mean of all."""
    others = [outcome for at, outcome in enumerate(outcomes) if at != k]
    if any(_way(outcomes[k], other, e) >= HALFWAY for other in others):
        return False
    near = _error(e, outcomes[k])
    return not others or all(near < _error(e, mean) for mean in _means(outcomes, prior)[:2])


def _means(outcomes: list[Image], prior: Sequence[float]) -> list[Image]:
    """Returns the mean of all outcomes, evenly and by their prior, and the middle of each two."""
    stacked = np.stack(outcomes)
    return [
        stacked.mean(0),
        np.tensordot(np.asarray(prior) / sum(prior), stacked, 1),
        *((a + b) / 2 for a, b in combinations(outcomes, 2)),
    ]


def _other(s: Image, outcomes: list[Image], prior: Sequence[float], e: Image, union: Image, preserve_db: float) -> Kind:
    """Returns what an edit is that commits to no outcome."""
    if not _kept(s, e, union, preserve_db):
        return "broken"
    nearest = min(_error(e, picture) for picture in (s, *outcomes))
    for mean in _means(outcomes, prior) if len(outcomes) > 1 else ():
        if _error(e, mean) < min(nearest, *(_error(mean, outcome) for outcome in outcomes)):
            return "mean-like"
    untouched = _error(e, s) < UNTOUCHED * min(_error(s, outcome) for outcome in outcomes)
    return "nothing" if untouched else "broken"


# Many edits


def shares(rulings: Sequence[Ruling]) -> dict[str, float]:
    """Returns the share of successes and of each kind, and their number: ``success``, ``committed``, ..., ``n``."""
    count = max(1, len(rulings))
    found = {"success": sum(ruling.success for ruling in rulings) / count}
    found |= {kind: sum(ruling.kind == kind for ruling in rulings) / count for kind in KINDS}
    return {name: round(value, 4) for name, value in found.items()} | {"n": len(rulings)}


def same_outcome(chosen: Sequence[Sequence[int | None]]) -> float:
    """Returns how often two seeds choose the same outcome, over the pairs of each edit's seeds that both commit.

    `chosen` has the outcomes of the seeds of each edit, None where a seed did not commit. NaN where there is no pair.
    """
    pairs = [a == b for seeds in chosen for a, b in combinations([c for c in seeds if c is not None], 2)]
    return float(np.mean(pairs)) if pairs else float("nan")


def by_chance(priors: Sequence[Sequence[float]]) -> float:
    """Returns how often two draws from the prior agree, as a mean over edits: what :func:`same_outcome` should be."""
    return float(np.mean([sum(p * p for p in prior) for prior in priors]))


def miscalibration(priors: Sequence[Sequence[float]], chosen: Sequence[Sequence[int | None]], bins: int = 5) -> float:
    """Returns how far the choices are from the prior: 0 where outcomes of prior p are chosen in a share p of cases.

    It is the expected calibration error. Outcomes are binned by prior. The mean prior of each bin is compared with the
    share in which its outcomes were chosen. Seeds that did not commit do not count. NaN where none did.
    """
    pairs = [
        (p, float(choice == k))
        for prior, seeds in zip(priors, chosen, strict=True)
        for choice in seeds
        if choice is not None
        for k, p in enumerate(prior)
    ]
    if not pairs:
        return float("nan")
    p, hit = np.array(pairs).T
    place = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs((hit - p)[place == b].sum()) for b in range(bins)) / len(p))
