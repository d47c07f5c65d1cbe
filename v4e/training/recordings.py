"""The recorded edits of one source and instruction, of which a teacher may be shown another than the sample's own."""

from collections.abc import Callable, Iterable, Mapping

from v4e.data.store.header import Header
from v4e.types import Sample

SAME = 1e-3  # of a source latent's own size, up to which two are of one source: encoded in another batch, bits differ


class Recordings:
    """Finds samples of the same source and instruction."""

    def __init__(self, ids: Iterable[str], headers: Mapping[str, Header], read: Callable[[str], Sample]) -> None:
        """Takes the run's samples, the headers of their store, and what reads one of them."""
        self.headers, self.read = headers, read
        self.alike: dict[tuple, list[str]] = {}  # by instruction and size
        self.known: dict[str, tuple[str, ...]] = {}
        for key in sorted(ids):
            self.alike.setdefault(self._kind(key), []).append(key)

    def of(self, sample_id: str) -> tuple[str, ...]:
        """Returns the ids of all recorded edits of this sample's source and instruction, itself among them."""
        if sample_id not in self.known:
            own = self.read(sample_id).z_i2v_CFHW[:, 0]
            others = self.alike[self._kind(sample_id)]
            self.known[sample_id] = tuple(
                key for key in others if (self.read(key).z_i2v_CFHW[:, 0] - own).norm() <= SAME * own.norm()
            )
        return self.known[sample_id]

    def check(self) -> None:
        """Refuses samples of which none has a second recorded edit.

        Raises:
            ValueError: it says what to set.
        """
        for ids in self.alike.values():
            if any(len(self.of(key)) > 1 for key in ids if len(ids) > 1):
                return
        raise ValueError(
            "distill.shown chooses among several recorded edits of one source and instruction, but no sample of the "
            "store has a second one: set distill.shown=recorded, or bring triplets that share both"
        )

    def _kind(self, key: str) -> tuple:
        return self.headers[key].texts.instruction, self.headers[key].bucket
