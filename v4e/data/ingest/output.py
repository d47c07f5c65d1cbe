"""The chosen triplets: copied from the files where they were put aside to their Parquet file."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from v4e.data.ingest.check import COLUMNS, EXTRAS, Checked
from v4e.data.write import ROW_GROUP
from v4e.files.uri import exists, open_atomic, open_uri

KEY = b"v4e.ingest"  # in the file's schema: the fingerprint of what made it


def write_chosen(uri: str, chosen: Sequence[Checked], made_by: str) -> None:
    """Writes `chosen` in their order, row group by row group; the same ones give the same bytes."""
    schema = _schema(chosen).with_metadata({KEY: made_by})
    with open_atomic(uri) as file, pq.ParquetWriter(file, schema) as writer:
        for start in range(0, len(chosen), ROW_GROUP):
            group = chosen[start : start + ROW_GROUP]
            rows: dict[str, dict] = {}
            for aside in dict.fromkeys(one.uri for one in group):
                same = [one for one in group if one.uri == aside]
                read = _read(aside, [one.at for one in same], schema.names)
                rows |= {one.id: row for one, row in zip(same, read, strict=True)}
            writer.write_table(pa.Table.from_pylist([rows[one.id] for one in group], schema=schema))


def made_by(uri: str) -> str | None:
    """Returns the fingerprint in the file `uri`; "" if another program wrote it, None if there is no file."""
    if not exists(uri):
        return None
    try:
        with open_uri(uri) as file:
            metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowException, OSError):
        return ""
    return metadata.get(KEY, b"").decode()


def _schema(chosen: Sequence[Checked]) -> pa.Schema:
    """The columns of the triplets, and those of :data:`EXTRAS` that were put aside with them."""
    if not chosen:
        return COLUMNS
    with open_uri(chosen[0].uri) as file:
        there = pq.read_schema(file).names
    return pa.schema([*COLUMNS, *(field for field in EXTRAS if field.name in there)])


def _read(uri: str, row_groups: list[int], names: list[str]) -> list[dict]:
    fs, path = url_to_fs(uri)
    with fs.open(path) as file, pq.ParquetFile(file) as parquet:
        return parquet.read_row_groups(row_groups, columns=names).to_pylist()
