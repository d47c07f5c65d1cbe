"""The table ``captions.parquet``, which the ICG writes: one row per triplet."""

import io

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from v4e.data.sources import RawTriplet, parts, rows
from v4e.files.uri import write_atomic

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("instruction", pa.string()),
        ("caption", pa.string()),  # evolution caption with closing clause
        ("task", pa.string()),  # one of v4e.language.tasks.TASKS
        ("task_source", pa.string()),  # corpus | person | rules | llm | both
        ("rule_task", pa.string()),  # "" where no rule applies
        ("llm_task", pa.string()),  # "" where the model was not asked
        ("agree", pa.bool_()),  # all labels that there are
        ("edits", pa.list_(pa.string())),  # atomic ones, in order, references resolved
        ("turns", pa.list_(pa.string())),  # a caption for each turn of a session; empty for a single instruction
        ("origin", pa.string()),  # llm | retry | template | person
        ("model", pa.string()),
        ("prompt_hash", pa.string()),  # of the prompts and settings: rows with another one are written anew
        ("checks", pa.list_(pa.string())),  # failed ones
    ]
)


def read_texts(uri: str, limit: int = 0) -> list[RawTriplet]:
    """Reads the first ``limit`` triplets (0 = all) without their images.

    Raises:
        FileNotFoundError, ValueError: as :func:`v4e.data.sources.parts`, but for the image columns.
    """
    return [row for part in parts(uri, limit, images=False) for row in rows(part, images=False)]


def read_instructions(uri: str, limit: int = 0) -> list[tuple[str, str, str]]:
    """Returns (id, instruction, task) of the triplets of :func:`read_texts`."""
    return [(row.id, row.instruction, row.task) for row in read_texts(uri, limit)]


def read_captions(uri: str) -> dict[str, dict]:
    """Reads a file or a folder of parts as id to row; empty if there is none.

    Raises:
        ValueError: a file is not what :func:`write_captions` wrote.
    """
    fs, path = fsspec.core.url_to_fs(uri)
    if not fs.exists(path):
        return {}
    files = [file for file in fs.find(path) if file.endswith(".parquet")]
    tables = [_read(fs, file) for file in sorted(files)]
    return {row["id"]: row for table in tables for row in table.to_pylist()}


def _read(fs: fsspec.AbstractFileSystem, path: str) -> pa.Table:
    fix = "remove it, or set run.overwrite=true to write it anew"
    try:
        table = pq.read_table(path, filesystem=fs)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as captions ({error}): {fix}") from error
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise ValueError(f"{path} has no column {missing[0]!r}, only {', '.join(table.column_names)}: {fix}")
    return table


def write_captions(uri: str, rows: list[dict]) -> None:
    """Writes one Parquet file, complete or not at all."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer)
    write_atomic(uri, buffer.getvalue())
