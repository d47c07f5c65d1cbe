"""The samples that a worker sees at each step: a pure function of the seed, the step and the number of workers.

Shape letters: N samples, D draws of an epoch, G forwards of an epoch, B samples of a forward.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from v4e.config import Config
from v4e.data.store.store import Store
from v4e.method.flow import sample_seed
from v4e.training.mixing import NO_BUCKET, Headers, Mix, mix_of
from v4e.training.order import shuffled
from v4e.types import TargetRequest


def requests(
    ids: Sequence[str],
    config: Config,
    *,
    first_step: int,
    rank: int = 0,
    world: int = 1,
    headers: Headers | None = None,
) -> Iterator[TargetRequest]:
    """The forwards of worker `rank` of `world`, from step `first_step` (counted from 0) to the end of the run.

    Step s takes the next `accumulate` of :class:`Forwards`, and worker r does r, r + world, ... of them. So the samples
    of a step, and what is in a forward, do not depend on the number of workers. `headers` are as in
    :func:`v4e.training.mixing.mix_of`.
    """
    accumulate, seed = config.optim.accumulate, config.run.seed
    forwards = Forwards(mix_of(ids, config, headers), config.optim.batch, seed)
    for step in range(first_step, config.optim.total):
        for forward in range(rank, accumulate, world):
            draws = forwards.at(step * accumulate + forward)
            yield TargetRequest(
                sample_ids=tuple(key for key, _ in draws),
                seeds=tuple(sample_seed(seed, key, times) for key, times in draws),
            )


class Forwards:
    """All forwards of a run, an endless list.

    The draws of all epochs stand in a row, each epoch shuffled anew. Each draw goes into its bucket's open forward,
    which leaves when it has `batch` samples. So a forward is of one bucket and always full. A step averages over its
    forwards, and in a smaller one each sample would count for more. The next epoch fills what the last one leaves open,
    with other samples each time. Without buckets this cuts the row as it stands.
    """

    def __init__(self, mix: Mix, batch: int, seed: int) -> None:
        self.mix, self.batch, self.seed = mix, batch, seed
        self.epoch = -1
        self.first = 0  # number of the epoch's first forward
        self.sample_GB = self.times_GB = np.empty((0, batch), np.int64)
        self.open = np.empty((2, 0), np.int64)  # (sample, times) of the draws that the epoch left over

    def at(self, number: int) -> list[tuple[str, int]]:
        """The draws of one forward: each a sample's id and how often it was drawn before."""
        if not self.first <= number < self.first + len(self.sample_GB):
            self._turn_to(number)
        row = number - self.first
        times = self.times_GB[row].tolist()
        return [(self.mix.ids[at], time) for at, time in zip(self.sample_GB[row].tolist(), times, strict=True)]

    def _turn_to(self, number: int) -> None:
        """Lays out the epoch in which forward `number` gets its last sample."""
        epochs = 1
        while self._before(epochs) <= number:
            epochs *= 2
        epoch = bisect_right(range(epochs), number, key=self._before) - 1
        opened = self.open if epoch == self.epoch + 1 else self._opened(epoch)
        draws = np.concatenate([opened, self._draws(epoch)], 1)
        bucket_D = self.mix.bucket_N[draws[0]]
        place_D = _places(bucket_D)
        full = np.bincount(bucket_D, minlength=len(self.mix.buckets)) // self.batch
        leaves_D = place_D < (full * self.batch)[bucket_D]
        start = np.cumsum(full) - full  # of each bucket's forwards, one bucket after the other
        forward_D = start[bucket_D] + place_D // self.batch
        at_GB = np.empty((full.sum(), self.batch), np.int64)
        at_GB[forward_D[leaves_D], place_D[leaves_D] % self.batch] = np.flatnonzero(leaves_D)
        at_GB = at_GB[np.argsort(at_GB[:, -1])]  # in the order in which they fill
        self.sample_GB, self.times_GB = draws[0][at_GB], draws[1][at_GB]
        self.open = draws[:, ~leaves_D]
        self.epoch, self.first = epoch, self._before(epoch)

    def _before(self, epoch: int) -> int:
        """Counts the forwards that are full when `epoch` begins."""
        return int((self._drawn(epoch) // self.batch).sum())

    def _drawn(self, epoch: int) -> np.ndarray:
        """Counts the draws that each bucket has had when `epoch` begins."""
        drawn = np.bincount(self.mix.bucket_N, self.mix.drawn(epoch), minlength=len(self.mix.buckets))
        return drawn.astype(np.int64)

    def _opened(self, epoch: int) -> np.ndarray:
        """The draws that wait in open forwards when `epoch` begins: (sample, times), oldest first.

        They are the last ones of the epoch before; a bucket smaller than a forward waits for several epochs.
        """
        missing = self._drawn(epoch) % self.batch
        found = [np.empty((2, 0), np.int64)]
        while missing.any():
            epoch -= 1
            draws = self._draws(epoch, among=missing[self.mix.bucket_N] > 0)
            bucket_D = self.mix.bucket_N[draws[0]]
            last_D = _places(bucket_D[::-1])[::-1] < missing[bucket_D]
            missing = missing - np.bincount(bucket_D[last_D], minlength=len(missing))
            found.insert(0, draws[:, last_D])
        return np.concatenate(found, 1)

    def _draws(self, epoch: int, among: np.ndarray | None = None) -> np.ndarray:
        """(sample, times) of all draws of `epoch`, shuffled; `among` leaves out samples, (N,), and moves no other."""
        first_N, end_N = self.mix.drawn(epoch), self.mix.drawn(epoch + 1)
        count_N = end_N - first_N if among is None else np.where(among, end_N - first_N, 0)
        sample_D = np.repeat(np.arange(len(count_N)), count_N)
        times_D = first_N[sample_D] + _places(sample_D)
        order = shuffled([self.mix.ids[at] for at in sample_D.tolist()], times_D.tolist(), self.seed)
        return np.stack([sample_D, times_D])[:, order]


def _places(kind_D: np.ndarray) -> np.ndarray:
    """Counts for each element how many before it are of its kind: 0, 0, 1, 2, 1 of the kinds a, b, a, a, b."""
    order = np.argsort(kind_D, kind="stable")
    _, starts, counts = np.unique(kind_D[order], return_index=True, return_counts=True)
    places = np.empty_like(order)
    places[order] = np.arange(len(order)) - np.repeat(starts, counts)
    return places


def calls(ids: Sequence[str], size: int, config: Config, headers: Headers | None = None) -> list[tuple[str, ...]]:
    """`ids` in their order, cut into the teacher's calls of at most `size` samples, each of one bucket."""
    groups = {NO_BUCKET: list(ids)}
    if config.data.aspect == "buckets":
        headers, groups = headers or Store.open(config).headers(), {}
        for key in ids:
            groups.setdefault(headers[key].bucket, []).append(key)
    return [tuple(group[at : at + size]) for group in groups.values() for at in range(0, len(group), size)]
