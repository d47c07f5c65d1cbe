"""The order in which a run sees its samples."""

import hashlib
from collections.abc import Sequence

import numpy as np


def shuffled(ids: Sequence[str], times: Sequence[int], seed: int) -> np.ndarray:
    """Shuffles draws, each of a sample of `ids` for its `times`-th time; returns indices into `ids`.

    A hash gives each draw its place: leaving one out moves no other. The order is a pure function of the draws and the
    seed: neither the process nor the number of workers matters.
    """
    starts = {time: hashlib.blake2b(f"{seed}/{time}/".encode(), digest_size=16) for time in set(times)}
    digests = []
    for sample_id, time in zip(ids, times, strict=True):
        state = starts[time].copy()
        state.update(sample_id.encode())
        digests.append(state.digest())
    high_low = np.frombuffer(b"".join(digests), ">u8").reshape(-1, 2)
    return np.lexsort((high_low[:, 1], high_low[:, 0]))
