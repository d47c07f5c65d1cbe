"""Corpora whose images are files: a folder with a table beside them, or GPT-Image-Edit's folders."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import cast

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from v4e.data.sources.find import find_files
from v4e.data.sources.images import beside
from v4e.files.uri import open_uri

TABLES = ("metadata.jsonl", "metadata.csv")
GPTEDIT = "metadata"  # folder of JSON files, a row each, beside the folders input and output

ListedRow = Mapping[str, object]


def listings(place: str, fix: str) -> list[str]:
    """Returns the URIs of the tables below `place`, and of folders of metadata as in GPT-Image-Edit."""
    fs, paths = find_files(place, (*TABLES, ".json"), fix)
    tables = [path for path in paths if path.endswith((".jsonl", ".csv"))]
    folders = {path.rsplit("/", 1)[0] for path in paths if path.endswith(".json")}
    metadata = [folder for folder in folders if folder.rsplit("/", 1)[-1] == GPTEDIT]
    return [fs.unstrip_protocol(path) for path in sorted([*tables, *metadata])]


def count_rows(uri: str) -> int:
    """Counts the rows of a listing.

    Raises:
        ValueError: it lacks a column, or is no text.
    """
    fs, path = url_to_fs(uri)
    if fs.isdir(path):
        return len(_jsons(fs, path))
    count, first = 0, None
    for row in listed(uri):
        count, first = count + 1, first or row
    if first and (missing := [name for name in ("source", "edit", "instruction") if name not in first]):
        raise ValueError(f"no column {missing[0]!r}, only {', '.join(first)}")
    return count


def listed(uri: str) -> Iterator[ListedRow]:
    """Yields the rows of a listing, in order; a row that cannot be read is empty."""
    fs, path = url_to_fs(uri)
    if fs.isdir(path):
        for file in _jsons(fs, path):
            with fs.open(file) as opened:
                yield _json(opened.read())
        return
    with open_uri(uri) as opened:
        if uri.endswith(".csv"):
            yield from csv.DictReader(io.TextIOWrapper(opened, "utf-8-sig", newline=""))
        else:
            yield from (_json(line) for line in opened if line.strip())


def listed_image(uri: str, value: object, column: str) -> bytes | None:
    """Reads the image that a row names in `column`; None if there is none, or if the name leads out of its folder."""
    fs, path = url_to_fs(uri)
    name = value if isinstance(value, str) else ""
    folder = path.rsplit("/", 1)[0]
    if fs.isdir(path):
        return beside(fs, f"{folder}/{column}", name.rsplit("/", 1)[-1])
    return beside(fs, folder, name)


def _jsons(fs: AbstractFileSystem, path: str) -> list[str]:
    return sorted(file for file in cast(list[str], fs.ls(path, detail=False)) if file.endswith(".json"))


def _json(text: bytes) -> ListedRow:
    try:
        row = json.loads(text)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
