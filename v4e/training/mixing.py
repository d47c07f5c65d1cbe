"""The number of draws of each sample, by its task and its corpus, in every epoch, with none ever lost.

Shape letters: N samples, K kinds of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from v4e.config import Config
from v4e.config.mixture import parse_weights
from v4e.data.store.header import Bucket, Header
from v4e.data.store.store import Store
from v4e.language.tasks import TASKS
from v4e.training.order import shuffled

Headers = Mapping[str, Header]
NO_BUCKET = (0, 0)
ONE = Fraction(1)
T = TypeVar("T", tuple[int, int], tuple[str, str])


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The samples of a run with their buckets and weights.

    A kind is a task and a corpus. Of its n samples with weight w, epoch e draws ``floor(n (e + 1) w) - floor(n e w)``:
    a window that moves round the circle of them. With w = 2 each is drawn twice an epoch, with w = 0.5 once in two.
    """

    ids: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    bucket_N: np.ndarray  # index into `buckets`
    weights: tuple[Fraction, ...]  # of each kind
    counts_K: np.ndarray  # samples of each kind
    kind_N: np.ndarray  # index into `weights`
    place_N: np.ndarray  # on the kind's circle, 0 ... n - 1

    def drawn(self, epoch: int) -> np.ndarray:
        """Counts the draws of each sample before `epoch` begins, (N,): ``floor(e w + place / n)`` in exact numbers."""
        over_K = np.array([weight.numerator for weight in self.weights]) * self.counts_K
        under_K = np.array([weight.denominator for weight in self.weights])
        moved_N = (over_K * epoch)[self.kind_N] + under_K[self.kind_N] * self.place_N
        return moved_N // (under_K * self.counts_K)[self.kind_N]

    @property
    def epoch_draws(self) -> Fraction:
        """The draws of an epoch, on average."""
        return sum((w * int(n) for w, n in zip(self.weights, self.counts_K, strict=True)), Fraction())


def mix_of(ids: Sequence[str], config: Config, headers: Headers | None = None) -> Mix:
    """The mix of a run on `ids`: a function of the set of them, their headers, ``data.weights`` and the seed.

    `headers` are the store's by default; they are not read where neither ``data.aspect`` nor ``data.weights`` asks.

    Raises:
        ValueError: a weight is of no task and of no corpus at hand, or nothing is left to draw.
    """
    ids = sorted(ids)
    weights = parse_weights(config.data.weights)
    bucketed = config.data.aspect == "buckets"
    if headers is None and (weights or bucketed):
        headers = Store.open(config).headers()
    texts = [headers[key].texts for key in ids] if headers and weights else []
    _check_names(config.data.weights, weights, {text.corpus for text in texts})
    kinds, kind_N = _numbered([(text.task, text.corpus) for text in texts] or [("", "")] * len(ids))
    of_kinds = tuple(weights.get(task, ONE) * weights.get(corpus, ONE) for task, corpus in kinds)
    if not any(of_kinds):
        raise ValueError(f"data.weights={config.data.weights} leaves none of the {len(ids)} samples: set one above 0")
    place_N = np.zeros(len(ids), np.int64)
    for kind, weight in enumerate(of_kinds):
        if weight.denominator > 1:
            members = np.flatnonzero(kind_N == kind)
            circle = members[shuffled([ids[at] for at in members], [-1] * len(members), config.run.seed)]
            place_N[circle] = np.arange(len(circle))
    buckets, bucket_N = _numbered(
        [headers[key].bucket for key in ids] if headers and bucketed else [NO_BUCKET] * len(ids)
    )
    return Mix(
        ids=tuple(ids),
        buckets=buckets,
        bucket_N=bucket_N,
        weights=of_kinds,
        counts_K=np.bincount(kind_N),
        kind_N=kind_N,
        place_N=place_N,
    )


def mix_rows(mix: Mix, headers: Headers, config: Config) -> dict[str, str]:
    """Rows for the plan of a run on `mix`: how much of it each task, corpus and bucket is."""
    whole = mix.epoch_draws

    def shares(names: Sequence[str]) -> str:
        """``color 12 -> 24 (40%)``: samples, draws an epoch where these are others, and their share of the epoch."""
        samples = Counter(names)
        draws = dict.fromkeys(samples, Fraction())
        for (name, kind), count in Counter(zip(names, mix.kind_N.tolist(), strict=True)).items():
            draws[name] += mix.weights[kind] * count
        return ", ".join(
            f"{name} {count}"
            + (f" -> {float(draws[name]):g}" if draws[name] != count else "")
            + f" ({float(draws[name] / whole):.0%})"
            for name, count in sorted(samples.items())
        )

    texts = [headers[key].texts for key in mix.ids]
    rows = {"tasks": shares([text.task or "unnamed" for text in texts])}
    if any(text.corpus for text in texts):
        rows["corpora"] = shares([text.corpus or "unnamed" for text in texts])
    if config.data.aspect == "buckets":
        grids = ["{} x {}".format(*headers[key].bucket) for key in mix.ids]
        rows["buckets"] = f"{shares(grids)}, in latents; {config.optim.batch} of one bucket a forward"
    if whole != len(mix.ids):
        rows["epoch"] = f"{float(whole):g} draws of {len(mix.ids)} samples, by data.weights={config.data.weights}"
    return rows


def _numbered(values: Sequence[T]) -> tuple[tuple[T, ...], np.ndarray]:
    """The different ones of `values`, sorted, and of each value the index of its like among them."""
    different = tuple(sorted(set(values)))
    number = {value: at for at, value in enumerate(different)}
    return different, np.array([number[value] for value in values], np.int64)


def _check_names(text: str, weights: Mapping[str, Fraction], corpora: set[str]) -> None:
    known = [*TASKS, *sorted(corpora - {""})]
    if unknown := [name for name in weights if name not in known]:
        raise ValueError(
            f"data.weights={text}: {unknown[0]} is no task and no corpus of the store: expected {', '.join(known)}"
        )
