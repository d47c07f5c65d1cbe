"""The reader of triplets: Parquet in OmniEdit's schema, a file, a folder or a glob, on any filesystem.

A corpus is cut into parts (row groups) that are read one by one, row after row, in bounded memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from v4e.data.sources.find import find_files
from v4e.data.sources.images import image_of
from v4e.data.sources.texts import phrasing

TEXT_COLUMNS = ("omni_edit_id", "edited_prompt_list")
LABELS = ("task", "corpus", "turns", "rules_task", "agreement")  # columns that need not be there
IMAGE_COLUMNS = ("src_img", "edited_img")
READ_ROWS = 16  # rows of images held at a time
READ_TEXTS = 4096  # rows of texts


@dataclass(frozen=True, kw_only=True)
class RawTriplet:
    """One row, not yet decoded nor checked."""

    id: str
    instruction: str  # phrasing 0
    task: str  # the corpus's own label
    by_rules: bool = False  # True if ingest took the task from the rules, since the corpus has none or another
    turns: tuple[str, ...] = ()  # the instructions, in order, of a session that ends in this edit
    corpus: str = ""  # the row's origin, in a file mixed from several corpora
    source: bytes | None = None  # None if the row has no image, or if only texts are read
    edit: bytes | None = None
    source_instead: str = ""  # what was found where the image should be
    edit_instead: str = ""
    mask: bytes | None = None  # of the edit, where the corpus has one
    rejected: bytes | None = None  # an edit that lost against `edit`


@dataclass(frozen=True, kw_only=True)
class CorpusPart:
    """The first `rows` rows of one row group: the work of one Ray task."""

    uri: str
    row_group: int
    rows: int


def parts(uri: str, limit: int = 0, key: str = "data.train", images: bool = True) -> list[CorpusPart]:
    """Returns the parts of the corpus at `uri` in order, cut to its first `limit` triplets (0 = all).

    A folder's Parquet files are sorted by name. Errors name `key`, the setting that holds `uri`. Without `images`, the
    image columns may be missing.

    Raises:
        FileNotFoundError: there is nothing at `uri`.
        ValueError: it is not Parquet, has no rows or lacks OmniEdit's columns; or `uri`'s protocol is unknown.
    """
    fix = f"set {key} to a Parquet file, folder or glob in OmniEdit's schema"
    fs, files = find_files(uri, (".parquet",), fix)
    if not files:
        raise FileNotFoundError(f"no triplets at {uri}: {fix}")
    columns = (*TEXT_COLUMNS, *(IMAGE_COLUMNS if images else ()))
    whole = [part for file in files for part in _parts_of(fs, file, columns, fix)]
    if not whole:
        raise ValueError(f"{uri} has no rows: {fix}")
    return _first(whole, limit) if limit else whole


def rows(part: CorpusPart, images: bool = True) -> Iterator[RawTriplet]:
    """Yields the triplets of one part, in order; without `images`, only their texts are read."""
    fs, path = url_to_fs(part.uri)
    with fs.open(path) as file, pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as parquet:
        labels = [name for name in LABELS if name in parquet.schema_arrow.names]
        columns = [*TEXT_COLUMNS, *labels, *(IMAGE_COLUMNS if images else ())]
        left = part.rows
        size = READ_ROWS if images else READ_TEXTS
        for batch in parquet.iter_batches(size, row_groups=[part.row_group], columns=columns):
            for row in batch.to_pylist()[:left]:
                yield _row(row, fs, path)
            left -= batch.num_rows
            if left <= 0:
                return


def _parts_of(fs: AbstractFileSystem, path: str, columns: tuple[str, ...], fix: str) -> list[CorpusPart]:
    try:
        with fs.open(path) as file, pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            groups = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet ({error}): {fix}") from error
    if missing := [name for name in columns if name not in names]:
        raise ValueError(f"{path} has no column {missing[0]!r}, only {', '.join(names)}: {fix}")
    uri = fs.unstrip_protocol(path)
    return [CorpusPart(uri=uri, row_group=index, rows=count) for index, count in enumerate(groups) if count]


def _row(row: dict, fs: AbstractFileSystem, path: str) -> RawTriplet:
    folder = path.rsplit("/", 1)[0]
    source, edit = (image_of(row.get(name), fs, folder) for name in IMAGE_COLUMNS)
    return RawTriplet(
        id=_text(row["omni_edit_id"]),
        instruction=phrasing(row["edited_prompt_list"]),
        task=_text(row.get("task")),
        by_rules=row.get("agreement") in ("rules", "unsure", "differ") and row["rules_task"] == row.get("task"),
        turns=_turns(row.get("turns")),
        corpus=_text(row.get("corpus")),
        source=source.data,
        edit=edit.data,
        source_instead=source.instead,
        edit_instead=edit.instead,
    )


def _turns(value: object) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else (_text(value),) if value else ()


def _text(value: object) -> str:
    """Returns the text of a value: some corpora number their rows."""
    return "" if value is None else str(value)


def _first(whole: list[CorpusPart], limit: int) -> list[CorpusPart]:
    cut = []
    for part in whole:
        if limit <= 0:
            break
        cut.append(replace(part, rows=min(limit, part.rows)))
        limit -= part.rows
    return cut
