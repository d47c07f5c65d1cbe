"""World 2's splits as Parquet: triplets in OmniEdit's schema, as any corpus has them, and their outcomes beside."""

import json

import pyarrow.parquet as pq

from v4e.data.outcomes import Outcomes, outcomes_uri, write_outcomes
from v4e.data.write import write_triplets
from v4e.files.uri import exists, open_uri
from v4e.tiny.world2 import FRAMES, SIZE, Record, make_triplets

VERSION = 2  # of the drawings and texts: raise it when the same settings give other triplets
KEY = "v4e.world2"  # in the files' schema


def write_split(path: str, split: str, per_task: int, seed: int, *, size: int = SIZE) -> None:
    """Writes the records of `per_task` scenes of each task to the Parquet file `path`, unless it holds just these."""
    settings = {"version": VERSION, "split": split, "per_task": per_task, "seed": seed, "size": size}
    beside = outcomes_uri(path)
    if _settings_of(beside) == settings == _settings_of(path):
        return
    records = list(make_triplets(split, per_task, seed, size=size, frames=FRAMES))
    metadata = {KEY: json.dumps(settings)}
    write_triplets(path, records, metadata)
    write_outcomes(beside, ((record.id, outcomes(record)) for record in records), metadata)


def outcomes(record: Record) -> Outcomes:
    """Returns what the table of outcomes keeps of a record."""
    return Outcomes(
        kind=record.kind,
        shown=record.shown,
        prior=record.prior,
        images=record.outcomes,
        caption=record.caption,
        resolving=record.resolving,
    )


def _settings_of(path: str) -> dict | None:
    """Returns the settings that a file was written with; None if there is no file, or it is not of World 2."""
    if not exists(path):
        return None
    with open_uri(path) as file:
        metadata = pq.read_schema(file).metadata or {}
    return json.loads(metadata[KEY.encode()]) if KEY.encode() in metadata else None
