"""Memory of limited size for tensors that were read or computed, the least recently used out first."""

import hashlib
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import fields
from typing import Generic, TypeVar

from cachetools import LRUCache
from PIL import Image
from torch import Tensor

from v4e.types import Sample

T = TypeVar("T", Sample, Tensor)


class TensorCache(Generic[T]):
    """Holds up to `limit` bytes of tensors or samples by key. Nobody may write to what comes out."""

    def __init__(self, limit: int) -> None:
        self._held: LRUCache[Hashable, T] = LRUCache(limit, getsizeof=tensor_bytes)
        self.hits = self.misses = 0

    @property
    def bytes(self) -> int:
        """Bytes held now."""
        return int(self._held.currsize)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns the value of `key`, made if it is not held. A value larger than the limit is not kept."""
        held = self._held.get(key)
        if held is not None:
            self.hits += 1
            return held
        self.misses += 1
        made = make()
        with suppress(ValueError):  # larger than the limit
            self._held[key] = made
        return made


def cached(read: Callable[[str], T], limit: int) -> Callable[[str], T]:
    """Returns `read` with up to `limit` bytes of its results kept."""
    cache = TensorCache[T](limit)
    return lambda key: cache.get(key, lambda: read(key))


def content_key(*parts: str | Image.Image) -> bytes:
    """Returns a digest of texts and pictures by their content; no two lists of parts share one."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = part if isinstance(part, str) else f"{part.mode}/{part.size}"
        blob = text.encode("utf-8", "surrogatepass") + (b"" if isinstance(part, str) else part.tobytes())
        digest.update(len(blob).to_bytes(8) + blob)  # each length first, so that parts cannot run into one another
    return digest.digest()


def tensor_bytes(value: Sample | Tensor) -> int:
    """Returns the bytes held by a tensor, or by all tensors of a sample."""
    if isinstance(value, Tensor):
        return value.nbytes
    parts = (getattr(value, field.name) for field in fields(value))
    return sum(part.nbytes for part in parts if isinstance(part, Tensor))
