"""Records of what ran on the pretended device. No torch in here, so that any process can read them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

GIB = 2**30


@dataclass
class Seen:
    """The work of a part of a program. Places are lines of v4e's code."""

    reads: Counter[str] = field(default_factory=Counter)  # waits of the host for a result, by place
    moved_in: Counter[str] = field(default_factory=Counter)  # bytes to the device, by place
    moved_out: Counter[str] = field(default_factory=Counter)  # bytes to the host
    blocking: Counter[str] = field(default_factory=Counter)  # copies to the device that the host waits for
    mismatched: Counter[str] = field(default_factory=Counter)  # products of tensors of several dtypes
    computed: Counter[str] = field(default_factory=Counter)  # products, by operator and dtype
    flops: int = 0
    start: int = 0  # bytes on the device before it
    peak: int = 0  # most bytes on the device while it ran
    end: int = 0

    @property
    def peak_gib(self) -> float:
        return self.peak / GIB

    @property
    def more_gib(self) -> float:
        """GiB at the peak above what was there before."""
        return (self.peak - self.start) / GIB

    @property
    def syncs(self) -> int:
        """The number of times that the host waits for results."""
        return self.reads.total()


@dataclass(kw_only=True)
class Case:
    """A case by its parts, what was planned for it, and what else it has to say."""

    parts: dict[str, Seen]
    planned: int = 0  # bytes on the device
    notes: dict[str, Any]
