"""Corpora that are no Parquet: tables beside their images, JSON, tar shards, GPT-Image-Edit's folders."""

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import cast

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from v4e.data.sources.find import find_files
from v4e.data.sources.images import Found, beside, image_of
from v4e.data.sources.tars import tar_rows
from v4e.files.uri import open_uri

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")  # where a folder has one, nothing else there is read
ENDINGS = (".parquet", ".jsonl", ".ndjson", ".jsonl.gz", ".json", ".csv", ".tsv", ".tar")
GPTEDIT = "metadata"  # folder of JSON files, a row each, beside the folders input and output

ListedRow = Mapping[str, object]


class BadRow(dict):
    """A row that cannot be read: no columns, and the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def listings(place: str, fix: str, tables: bool = True) -> list[str]:
    """Returns the URIs of folders of metadata as in GPT-Image-Edit below `place` and, with `tables`, of all tables."""
    fs, paths = find_files(place, ENDINGS, fix)
    folders = {path.rsplit("/", 1)[0] for path in paths if path.endswith(".json")}
    metadata = {folder for folder in folders if folder.rsplit("/", 1)[-1] == GPTEDIT}
    files = [path for path in paths if tables and path.rsplit("/", 1)[0] not in metadata]
    named = [path for path in files if path.endswith(TABLES)]
    return [fs.unstrip_protocol(path) for path in sorted([*(named or files), *metadata])]


def count_rows(uri: str) -> tuple[int, list[str]]:
    """Counts the rows of a listing, and returns the columns of the first one that can be read.

    Raises:
        ValueError: it is no text, no JSON, or no tar archive.
    """
    fs, path = url_to_fs(uri)
    if fs.isdir(path):
        return len(_jsons(fs, path)), []
    count, names = 0, list[str]()
    for row in listed(uri):
        count, names = count + 1, names or list(row)
    return count, names


def listed(uri: str) -> Iterator[ListedRow]:
    """Yields the rows of a listing, in order; one that cannot be read is a :class:`BadRow`.

    Raises:
        ValueError: it is no text, no JSON, or no tar archive.
    """
    fs, path = url_to_fs(uri)
    if fs.isdir(path):
        for file in _jsons(fs, path):
            with fs.open(file) as opened:
                yield _json(opened.read(), file.rsplit("/", 1)[-1])
    elif uri.endswith(".tar"):
        yield from tar_rows(uri)
    else:
        with open_uri(uri) as opened:
            if uri.endswith((".csv", ".tsv")):
                yield from _csv(
                    io.TextIOWrapper(opened, "utf-8-sig", newline=""), "\t" if uri.endswith(".tsv") else ","
                )
            elif uri.endswith(".json"):
                yield from _array(opened.read())
            else:
                with gzip.open(opened) if uri.endswith(".gz") else nullcontext(opened) as lines:
                    yield from _lines(cast(Iterable[bytes], lines))


def listed_image(uri: str, value: object, column: str) -> Found:
    """Reads the image that a row holds or names in `column`."""
    fs, path = url_to_fs(uri)
    folder = path.rsplit("/", 1)[0]
    if fs.isdir(path):
        name = value if isinstance(value, str) else ""
        return Found(beside(fs, f"{folder}/{column}", name.rsplit("/", 1)[-1]))
    return image_of(value, fs, folder)


def _lines(lines: Iterable[bytes]) -> Iterator[ListedRow]:
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _json(line, f"line {number}")
    except (OSError, EOFError) as error:
        raise ValueError(f"the rest cannot be unpacked: {error}") from error


def _csv(text: io.TextIOWrapper, delimiter: str) -> Iterator[ListedRow]:
    csv.field_size_limit(sys.maxsize)  # a field may hold an image as text
    reader = csv.DictReader(text, delimiter=delimiter)
    try:
        for row in reader:
            if None in row or None in row.values():
                got = f"{len(row.pop(None, ()) or ()) + sum(v is not None for v in row.values())} cells"
                yield BadRow(f"line {reader.line_num}: expected {len(reader.fieldnames or ())} cells, got {got}")
            else:
                yield row
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


def _array(data: bytes) -> Iterator[ListedRow]:
    """The rows of a JSON array, of an object of objects, or of JSON Lines under another name."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        if data.count(b"\n") < 1 or not data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
            raise ValueError(f"it is no JSON: {error}") from error
        yield from _lines(data.split(b"\n"))
        return
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        objects = [{"__key__": key, **value} for key, value in found.items() if isinstance(value, dict)]
        found = lists[0] if len(lists) == 1 and not objects else objects if len(objects) == len(found) else [found]
    for number, row in enumerate(found if isinstance(found, list) else [found], 1):
        yield row if isinstance(row, dict) else BadRow(f"entry {number} is no JSON object but {str(row)[:60]!r}")


def _jsons(fs: AbstractFileSystem, path: str) -> list[str]:
    return sorted(file for file in cast(list[str], fs.ls(path, detail=False)) if file.endswith(".json"))


def _json(text: bytes, where: str) -> ListedRow:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return BadRow(f"{where} is no JSON: {error}")
    return row if isinstance(row, dict) else BadRow(f"{where} is no JSON object but {str(row)[:60]!r}")
