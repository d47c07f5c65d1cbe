"""The table ``rejected.parquet``: the triplets that a stage could not use, each with its reason."""

import io
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from v4e.files.uri import exists, join, open_uri, write_atomic

SCHEMA = pa.schema([("id", pa.string()), ("stage", pa.string()), ("reason", pa.string())])
RejectedRow = Mapping[str, str]


def record_rejected(run_dir: str, rows: Iterable[RejectedRow]) -> None:
    """Adds rows of id, stage, reason to ``<run_dir>/rejected.parquet``. The newest row of an id and stage is kept."""
    rows = list(rows)
    if rows:
        _write(run_dir, [*read_rejected(run_dir), *rows])


def replace_rejected(run_dir: str, stage: str, rows: Iterable[RejectedRow]) -> None:
    """Replaces the rows of `stage` by `rows`: for the end of a stage that has looked at every triplet again."""
    before = read_rejected(run_dir)
    after = [row for row in before if row["stage"] != stage] + list(rows)
    if after != before:
        _write(run_dir, after)


def read_rejected(run_dir: str) -> list[dict[str, str]]:
    """Reads all rows, sorted by stage and id; empty if nothing was rejected."""
    uri = _uri(run_dir)
    if not exists(uri):
        return []
    with open_uri(uri) as file:
        return pq.read_table(file, schema=SCHEMA).to_pylist()


def _write(run_dir: str, rows: Iterable[RejectedRow]) -> None:
    newest = {(row["stage"], row["id"] or ""): {**row, "id": row["id"] or ""} for row in rows}  # ids may be null
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([newest[key] for key in sorted(newest)], schema=SCHEMA), buffer)
    write_atomic(_uri(run_dir), buffer.getvalue())


def _uri(run_dir: str) -> str:
    return join(run_dir, "rejected.parquet")
