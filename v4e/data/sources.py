"""Readers of triplets: Parquet in OmniEdit's schema (a file, a folder or a glob), or a plain folder of images.

A corpus is cut into parts (row groups, or runs of names) that are read one by one, row after row, in bounded memory.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

TEXT_COLUMNS = ("omni_edit_id", "edited_prompt_list")
IMAGE_COLUMNS = ("src_img", "edited_img")
READ_ROWS = 16  # rows of images held at a time
FOLDER_ROWS = 64  # triplets of a part of a folder
SOURCE, EDIT = ".source.png", ".edit.png"


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
    """A piece of a corpus, small enough to be one task's work."""

    uri: str
    rows: int
    row_group: int = -1  # of a Parquet file
    folder: tuple[RawTriplet, ...] = ()  # of a plain folder: texts, and the two files of each
    files: tuple[tuple[str, str], ...] = ()


def parts(uri: str, limit: int = 0) -> list[Part]:
    """The pieces of the corpus at `uri` in order, cut to its first `limit` triplets (0 = all).

    A folder that holds Parquet files is read as these, sorted by name. Any other folder holds ``metadata.jsonl`` (a line
    a triplet: id, instruction, source, edit and optionally task; files relative to the folder), or for each name
    ``<name>.source.png``, ``<name>.edit.png`` and ``<name>.txt``.

    Raises:
        FileNotFoundError: there is nothing at `uri`.
        ValueError: what is there is no corpus.
    """
    fs, path = url_to_fs(uri)
    if any(letter in path for letter in "*?["):
        files = sorted(fs.glob(path))
    elif fs.isdir(path):
        files = sorted(file for file in fs.find(path) if file.endswith(".parquet"))
    else:
        files = [path] if fs.exists(path) else []
    if files:
        whole = [part for file in files for part in _parquet_parts(fs, file)]
    elif fs.isdir(path):
        whole = _folder_parts(fs, path)
    else:
        raise FileNotFoundError(f"no triplets at {uri}: run pipelines/ingest.py, or set data.train to a Parquet file or folder")
    return _first(whole, limit) if limit else whole


def rows(part: Part, images: bool = True) -> Iterator[RawTriplet]:
    """The triplets of one part, in order; without `images` only their texts are read."""
    if part.row_group < 0:
        yield from _folder_rows(part, images)
        return
    fs, path = url_to_fs(part.uri)
    with fs.open(path) as file, pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as parquet:
        labels = ("task",) if "task" in parquet.schema_arrow.names else ()
        columns = [*TEXT_COLUMNS, *labels, *(IMAGE_COLUMNS if images else ())]
        left = part.rows
        size = READ_ROWS if images else 4096
        for batch in parquet.iter_batches(size, row_groups=[part.row_group], columns=columns):
            for row in batch.to_pylist()[:left]:
                yield _parquet_row(row, fs, path)
            left -= batch.num_rows
            if left <= 0:
                return


def _parquet_parts(fs: AbstractFileSystem, path: str) -> list[Part]:
    with fs.open(path) as file, pq.ParquetFile(file) as parquet:
        names = parquet.schema_arrow.names
        missing = [name for name in (*TEXT_COLUMNS, *IMAGE_COLUMNS) if name not in names]
        if missing:
            raise ValueError(f"{path} has no column {missing[0]!r}: expected OmniEdit's schema, got {', '.join(names)}")
        groups = [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)]
    uri = fs.unstrip_protocol(path)
    return [Part(uri=uri, row_group=index, rows=count) for index, count in enumerate(groups) if count]


def _parquet_row(row: dict, fs: AbstractFileSystem, path: str) -> RawTriplet:
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
    if value is None or value.get("bytes") is not None:
        return value and value["bytes"]
    return _beside(fs, path.rsplit("/", 1)[0], value.get("path") or "")


def _beside(fs: AbstractFileSystem, folder: str, name: str) -> bytes | None:
    """A file below `folder`; None where there is none, or where `name` leads out of it."""
    if not name or name.startswith("/") or ".." in name.split("/") or not fs.isfile(f"{folder}/{name}"):
        return None
    return fs.cat_file(f"{folder}/{name}")


def _folder_parts(fs: AbstractFileSystem, folder: str) -> list[Part]:
    listed = f"{folder}/metadata.jsonl"
    if fs.exists(listed):
        lines = fs.cat_file(listed).decode().splitlines()
        found = [_listed(line, number, listed) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        names = sorted(file.rsplit("/", 1)[-1] for file in fs.ls(folder, detail=False))
        stems = [name.removesuffix(SOURCE) for name in names if name.endswith(SOURCE)]
        texts = {stem: fs.cat_file(f"{folder}/{stem}.txt").decode() for stem in stems if f"{stem}.txt" in set(names)}
        found = [
            (RawTriplet(id=stem, instruction=texts.get(stem, "").strip(), task=""), (stem + SOURCE, stem + EDIT))
            for stem in stems
        ]
    if not found:
        raise ValueError(
            f"{folder} holds no triplets: expected *.parquet, metadata.jsonl, or <name>{SOURCE} with <name>{EDIT} "
            "and <name>.txt"
        )
    uri = fs.unstrip_protocol(folder)
    cuts = [found[at : at + FOLDER_ROWS] for at in range(0, len(found), FOLDER_ROWS)]
    return [
        Part(uri=uri, rows=len(cut), folder=tuple(row for row, _ in cut), files=tuple(pair for _, pair in cut))
        for cut in cuts
    ]


def _listed(line: str, number: int, listed: str) -> tuple[RawTriplet, tuple[str, str]]:
    try:
        row = json.loads(line)
        values = [row[name] for name in ("id", "instruction", "source", "edit")] + [row.get("task", "")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{listed}, line {number}: expected a JSON object with id, instruction, source and edit ({error})"
        ) from error
    identity, instruction, source, edit, task = (str(value) for value in values)
    return RawTriplet(id=identity, instruction=instruction, task=task), (source, edit)


def _folder_rows(part: Part, images: bool) -> Iterator[RawTriplet]:
    fs, folder = url_to_fs(part.uri)
    for row, (source, edit) in zip(part.folder, part.files, strict=True):
        yield replace(row, source=_beside(fs, folder, source), edit=_beside(fs, folder, edit)) if images else row


def _first(whole: list[Part], limit: int) -> list[Part]:
    cut = []
    for part in whole:
        if limit <= 0:
            break
        take = min(limit, part.rows)
        cut.append(replace(part, rows=take, folder=part.folder[:take], files=part.files[:take]))
        limit -= take
    return cut
