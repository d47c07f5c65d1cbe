"""The samples of a store that belong to a run: other runs may have put theirs there too."""

import hashlib
from collections.abc import Sequence

from v4e.config import Config
from v4e.data.captions_table import read_instructions
from v4e.data.store.paths import train_uri
from v4e.data.store.store import Store
from v4e.files.uri import exists


def training_ids(config: Config, store: Store | None = None) -> list[str]:
    """Returns the ids of this run's triplets that are in the store, the first ``data.limit`` of them, sorted.

    If the run has no triplets at their default place, as on a cluster that has only the store, it returns all ids.
    `store` is the store of `config` if the caller has opened it.
    """
    stored = (store or Store.open(config)).ids()
    if not config.data.train and not exists(train_uri(config)):
        return stored[: config.data.limit] if config.data.limit else stored
    wanted = {row[0] for row in read_instructions(train_uri(config), config.data.limit)}
    return [key for key in stored if key in wanted]


def ids_hash(ids: Sequence[str]) -> str:
    """Returns a hash of the set of samples that a run trains on."""
    return hashlib.sha256("\0".join(sorted(ids)).encode()).hexdigest()[:16]
