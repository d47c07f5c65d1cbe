"""The order in which an epoch shows its samples, without weights and buckets."""

from collections.abc import Iterable

from v4e.training.order import shuffled


def sample_order(ids: Iterable[str], seed: int, epoch: int) -> list[str]:
    """Returns a permutation of `ids`, another one each epoch."""
    keys = list(ids)
    return [keys[at] for at in shuffled(keys, [epoch] * len(keys), seed)]
