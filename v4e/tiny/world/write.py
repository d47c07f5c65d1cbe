"""The world's splits as Parquet in OmniEdit's schema: to all that follows it is one more corpus."""

import json

import pyarrow.parquet as pq

from v4e.data.write import write_triplets
from v4e.files.uri import exists, open_uri
from v4e.tiny.world import SIZE, make_triplets

VERSION = 1  # of the world's drawings and texts: raise it when the same settings give other triplets
KEY = "v4e.world"  # in the file's schema


def write_split(path: str, split: str, per_task: int, seed: int) -> None:
    """Writes `per_task` triplets of each task to the Parquet file `path`, unless it holds just these."""
    settings = {"version": VERSION, "split": split, "per_task": per_task, "seed": seed, "size": SIZE}
    if _settings_of(path) != settings:
        write_triplets(path, make_triplets(split, per_task, seed), {KEY: json.dumps(settings)})


def _settings_of(path: str) -> dict | None:
    """Returns the settings that the file was written with; None if there is no file, or it is not of the world."""
    if not exists(path):
        return None
    with open_uri(path) as file:
        metadata = pq.read_schema(file).metadata or {}
    return json.loads(metadata[KEY.encode()]) if KEY.encode() in metadata else None
