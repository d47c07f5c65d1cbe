"""How often each sample is drawn: by its task and its corpus, in every epoch, with none ever lost.

Shape letters: N samples.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from v4e.config import Config
from v4e.data.header import Bucket, Header
from v4e.data.order import shuffled
from v4e.data.store import Store
from v4e.data.weights import parse_weights
from v4e.tasks import TASKS

Headers = Mapping[str, Header]
NO_BUCKET = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The samples of a run with their buckets and shares.

    Of n samples of one task and corpus with weight w, epoch e draws ``floor(n (e + 1) w) - floor(n e w)``: a window that
    moves on round the circle of them. So w = 2 draws each twice an epoch, and w = 0.5 each once in two epochs.
    """

    ids: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    bucket_N: np.ndarray  # index into `buckets`
    weight_N: tuple[Fraction, ...]
    step_N: np.ndarray  # drawn() is (step * epoch + phase) // whole
    phase_N: np.ndarray
    whole_N: np.ndarray

    def drawn(self, epoch: int) -> np.ndarray:
        """How often each sample is drawn before `epoch` begins, (N,)."""
        return (self.step_N * epoch + self.phase_N) // self.whole_N


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
    kinds = [_kind(headers[key]) if headers and weights else ("", "") for key in ids]
    _check_names(config.data.weights, weights, {corpus for _, corpus in kinds})
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, kind in enumerate(kinds):
        members[kind].append(at)
    weight_N = [weights.get(task, Fraction(1)) * weights.get(corpus, Fraction(1)) for task, corpus in kinds]
    if not any(weight_N):
        raise ValueError(f"data.weights={config.data.weights} leaves none of the {len(ids)} samples: set one above 0")
    step_N, phase_N, whole_N = np.zeros((3, len(ids)), np.int64)
    for group in members.values():
        weight = weight_N[group[0]]
        places = shuffled([ids[at] for at in group], [-1] * len(group), config.run.seed)
        around = np.array(group)[places]
        step_N[around] = weight.numerator * len(group)
        phase_N[around] = weight.denominator * np.arange(len(group))
        whole_N[around] = weight.denominator * len(group)
    found = [headers[key].bucket if headers and bucketed else NO_BUCKET for key in ids]
    buckets = tuple(sorted(set(found)))
    number = {bucket: at for at, bucket in enumerate(buckets)}
    return Mix(
        ids=tuple(ids),
        buckets=buckets,
        bucket_N=np.array([number[bucket] for bucket in found]),
        weight_N=tuple(weight_N),
        step_N=step_N,
        phase_N=phase_N,
        whole_N=whole_N,
    )


def mix_rows(config: Config, ids: Sequence[str], headers: Headers | None = None) -> dict[str, str]:
    """Rows for the plan of a run on `ids`: how much of it each task, corpus and bucket is.

    Raises:
        ValueError: as :func:`mix_of`.
    """
    headers = headers or Store.open(config).headers()
    mix = mix_of(ids, config, headers)
    whole = sum(mix.weight_N)

    def told(names: Sequence[str]) -> str:
        """``color 12 -> 24 (40 %)``: samples, draws an epoch, and their share."""
        samples = Counter(names)
        draws: dict[str, Fraction] = defaultdict(Fraction)
        for name, weight in zip(names, mix.weight_N, strict=True):
            draws[name] += weight
        return ", ".join(
            f"{name} {count}"
            + (f" -> {float(draws[name]):g}" if draws[name] != count else "")
            + f" ({float(draws[name] / whole):.0%})"
            for name, count in sorted(samples.items())
        )

    texts = [headers[key].texts for key in mix.ids]
    rows = {"tasks": told([text.task or "unnamed" for text in texts])}
    if any(text.corpus for text in texts):
        rows["corpora"] = told([text.corpus or "unnamed" for text in texts])
    if config.data.aspect == "buckets":
        grids = ["{} x {}".format(*headers[key].bucket) for key in mix.ids]
        rows["buckets"] = f"{told(grids)}, in latents; {config.optim.batch} of one bucket a forward"
    if whole != len(ids):
        rows["epoch"] = f"{float(whole):g} draws of {len(ids)} samples, by data.weights={config.data.weights}"
    return rows


def _kind(header: Header) -> tuple[str, str]:
    return header.texts.task, header.texts.corpus


def _check_names(text: str, weights: Mapping[str, Fraction], corpora: set[str]) -> None:
    known = [*TASKS, *sorted(corpora - {""})]
    if unknown := [name for name in weights if name not in known]:
        raise ValueError(
            f"data.weights={text}: {unknown[0]} is no task and no corpus of the store: expected {', '.join(known)}"
        )
