"""The order in which a run sees its samples."""

import hashlib
from collections.abc import Iterable


def sample_order(ids: Iterable[str], seed: int, epoch: int) -> list[str]:
    """A permutation of `ids`, another one each epoch.

    A pure function of the set of ids, the seed and the epoch: the order in which `ids` come, the process and the
    number of workers do not matter, so a resumed or resized run goes on where it was.
    """

    def rank(sample_id: str) -> tuple[bytes, str]:
        key = f"{seed}/{epoch}/{sample_id}".encode()
        return hashlib.blake2b(key, digest_size=16).digest(), sample_id

    return sorted(ids, key=rank)
