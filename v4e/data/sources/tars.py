"""Tar shards: samples whose files share a name up to its first dot, as webdataset has them."""

import json
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fsspec.core import url_to_fs

from v4e.files.uri import open_uri

TEXTS = ("txt", "text", "caption", "cls", "prompt", "instruction")
SMALL = 1 << 20  # bytes of a sample's text or JSON


class Member(NamedTuple):
    """A file inside a tar archive that is not compressed."""

    uri: str  # of the archive
    offset: int
    size: int


@lru_cache(maxsize=8)
def members(folder: str) -> dict[str, Member]:
    """Returns the files in the tar archives of a folder, by name.

    Raises:
        ValueError: one of them cannot be read.
    """
    fs, path = url_to_fs(folder)
    tars = sorted(fs.glob(f"{path}/*.tar")) if fs.isdir(path) else []
    return {name: member for tar in tars for name, member in members_of(fs.unstrip_protocol(tar))}


def members_of(uri: str) -> Iterator[tuple[str, Member]]:
    """Yields the name and the place of each file in an archive. Nothing is unpacked, and links are left out.

    Raises:
        ValueError: it is no tar archive, a damaged one, or compressed, so that nothing can be found in it by its place.
    """
    try:
        with open_uri(uri) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for one in tar:
                if one.isreg():
                    yield one.name.removeprefix("./"), Member(uri, one.offset_data, one.size)
    except tarfile.TarError as error:
        raise ValueError(f"{uri} is no whole tar archive ({error}): expected one that is not compressed") from error


def tar_rows(uri: str) -> Iterator[dict[str, object]]:
    """Yields a row a sample, in the archive's order.

    Its columns are the endings of its files, such as ``input.jpg``, and the keys of its JSON; ``__key__`` is its name.
    Images stay where they are, as a :class:`Member`.

    Raises:
        ValueError: it is no tar archive that can be read.
    """
    row: dict[str, object] = {}
    with open_uri(uri) as file:
        for name, member in members_of(uri):
            folder, _, last = name.rpartition("/")
            stem, _, ending = last.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if not stem or not ending:
                continue
            if row and row["__key__"] != key:
                yield row
                row = {}
            row |= {"__key__": key} | _columns(ending, member, file)
    if row:
        yield row


def _columns(ending: str, member: Member, file) -> dict[str, object]:
    kind = ending.rpartition(".")[2].lower()
    if kind not in (*TEXTS, "json") or member.size > SMALL:
        return {ending: member}
    file.seek(member.offset)
    data = file.read(member.size)
    if kind != "json":
        return {ending: data.decode("utf-8-sig", errors="replace")}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {ending: None}
    return found if isinstance(found, dict) else {ending: found}
