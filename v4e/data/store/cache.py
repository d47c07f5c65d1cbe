"""A bounded memory of what was read last, so that a store that fits is read once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields
from typing import Generic, TypeVar

from torch import Tensor

from v4e.types import Sample

T = TypeVar("T", Sample, Tensor)


def tensor_bytes(value: Sample | Tensor) -> int:
    """Bytes held by a tensor, or by all tensors of a sample."""
    if isinstance(value, Tensor):
        return value.nbytes
    parts = (getattr(value, field.name) for field in fields(value))
    return sum(part.nbytes for part in parts if isinstance(part, Tensor))


class Cache(Generic[T]):
    """`read` with the least recently used results dropped above `limit` bytes."""

    def __init__(self, read: Callable[[str], T], limit: int) -> None:
        self.read = read
        self.limit = limit
        self.held = 0
        self.values: OrderedDict[str, T] = OrderedDict()

    def __call__(self, key: str) -> T:
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = self.values[key] = self.read(key)
        self.held += tensor_bytes(value)
        while self.held > self.limit and len(self.values) > 1:
            self.held -= tensor_bytes(self.values.popitem(last=False)[1])
        return value
