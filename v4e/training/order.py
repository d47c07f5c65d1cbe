"""The order in which a run sees its samples."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


def sample_order(ids: Iterable[str], seed: int, epoch: int) -> list[str]:
    """A permutation of `ids`, another one each epoch.

    A pure function of the set of ids, the seed and the epoch: the order in which `ids` come, the process and the
    number of workers do not matter, so a resumed or resized run goes on where it was.
    """
    keys = list(ids)
    return [keys[at] for at in shuffled(keys, [epoch] * len(keys), seed)]


def shuffled(ids: Sequence[str], times: Sequence[int], seed: int) -> np.ndarray:
    """Where the draws come that draw `ids` for the `times`-th time, as indices into `ids`.

    Each draw has a place of its own, by a hash: leaving one out moves no other.
    """
    starts = {time: hashlib.blake2b(f"{seed}/{time}/".encode(), digest_size=16) for time in set(times)}
    digests = []
    for sample_id, time in zip(ids, times, strict=True):
        state = starts[time].copy()
        state.update(sample_id.encode())
        digests.append(state.digest())
    high_low = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    return np.lexsort((high_low[:, 1], high_low[:, 0]))
