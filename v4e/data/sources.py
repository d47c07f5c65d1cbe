"""Reader of triplets: Parquet in OmniEdit's schema, a file, a folder or a glob, on any filesystem.

A corpus is cut into parts (row groups) that are read one by one, row after row, in bounded memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from v4e.io import open_uri

TEXT_COLUMNS = ("omni_edit_id", "edited_prompt_list")
IMAGE_COLUMNS = ("src_img", "edited_img")
READ_ROWS = 16  # rows of images held at a time
READ_TEXTS = 4096  # rows of texts


@dataclass(frozen=True, kw_only=True)
class RawTriplet:
    """One row, not yet decoded nor checked."""

    id: str
    instruction: str  # phrasing 0
    task: str  # the corpus's own label
    source: bytes | None = None  # None where the row has no image, or texts alone were asked for
    edit: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """The first `rows` rows of one row group: one task's work."""

    uri: str
    row_group: int
    rows: int


def parts(uri: str, limit: int = 0) -> list[Part]:
    """The pieces of the corpus at `uri` in order, cut to its first `limit` triplets (0 = all).

    A folder's Parquet files are read sorted by name.

    Raises:
        FileNotFoundError: there is nothing at `uri`.
        ValueError: what is there has not OmniEdit's columns.
    """
    fs, path = url_to_fs(uri)
    if any(letter in path for letter in "*?["):
        files = sorted(fs.glob(path))
    elif fs.isdir(path):
        files = sorted(file for file in fs.find(path) if file.endswith(".parquet"))
    else:
        files = [path] if fs.exists(path) else []
    if not files:
        raise FileNotFoundError(
            f"no triplets at {uri}: set data.train to a Parquet file or folder in OmniEdit's schema"
        )
    whole = [part for file in files for part in _parts_of(fs, file)]
    return _first(whole, limit) if limit else whole


def rows(part: Part, images: bool = True) -> Iterator[RawTriplet]:
    """The triplets of one part, in order; without `images` only their texts are read."""
    fs, path = url_to_fs(part.uri)
    with fs.open(path) as file, pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as parquet:
        labels = ("task",) if "task" in parquet.schema_arrow.names else ()
        columns = [*TEXT_COLUMNS, *labels, *(IMAGE_COLUMNS if images else ())]
        left = part.rows
        size = READ_ROWS if images else READ_TEXTS
        for batch in parquet.iter_batches(size, row_groups=[part.row_group], columns=columns):
            for row in batch.to_pylist()[:left]:
                yield _row(row, fs, path)
            left -= batch.num_rows
            if left <= 0:
                return


def _parts_of(fs: AbstractFileSystem, path: str) -> list[Part]:
    with fs.open(path) as file, pq.ParquetFile(file) as parquet:
        names = parquet.schema_arrow.names
        missing = [name for name in (*TEXT_COLUMNS, *IMAGE_COLUMNS) if name not in names]
        if missing:
            raise ValueError(f"{path} has no column {missing[0]!r}: expected OmniEdit's schema, got {', '.join(names)}")
        groups = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
    uri = fs.unstrip_protocol(path)
    return [Part(uri=uri, row_group=index, rows=count) for index, count in enumerate(groups) if count]


def _row(row: dict, fs: AbstractFileSystem, path: str) -> RawTriplet:
    source, edit = (_image(row.get(name), fs, path) for name in IMAGE_COLUMNS)
    phrasings = row["edited_prompt_list"] or [""]
    return RawTriplet(
        id=row["omni_edit_id"] or "",
        instruction=phrasings[0] or "",
        task=row.get("task") or "",
        source=source,
        edit=edit,
    )


def _image(value: dict | None, fs: AbstractFileSystem, path: str) -> bytes | None:
    """The bytes of an image column's struct; local builds may hold a path beside the file instead."""
    if value is None:
        return None
    if value.get("bytes") is not None:
        return value["bytes"]
    return _beside(fs, path.rsplit("/", 1)[0], value.get("path") or "")


def _beside(fs: AbstractFileSystem, folder: str, name: str) -> bytes | None:
    """A file below `folder`; None where there is none, or where `name` leads out of it."""
    if not name or name.startswith("/") or ".." in name.split("/") or not fs.isfile(f"{folder}/{name}"):
        return None
    with open_uri(fs.unstrip_protocol(f"{folder}/{name}")) as file:
        return file.read()


def _first(whole: list[Part], limit: int) -> list[Part]:
    cut = []
    for part in whole:
        if limit <= 0:
            break
        cut.append(replace(part, rows=min(limit, part.rows)))
        limit -= part.rows
    return cut
