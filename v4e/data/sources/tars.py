"""Tar shards: samples whose files share a name up to its first dot, as webdataset has them."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from fsspec.core import url_to_fs

from v4e.files.uri import open_uri

TEXTS = ("txt", "text", "caption", "cls", "prompt", "instruction")
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # how gzip, bzip2, xz and zstd begin
SMALL = 1 << 20  # bytes of a sample's text or JSON


class Member(NamedTuple):
    """A file inside a tar archive that is not compressed."""

    uri: str  # of the archive
    offset: int
    size: int


class InArchive(NamedTuple):
    """A file as some tables name it: an archive, and a member of it."""

    archive: str
    name: str


def member_named(one: InArchive, folder: str) -> Member | None:
    """Returns a member of an archive in `folder`, or in a folder beside it.

    Raises:
        ValueError: the archive cannot be read.
    """
    if any("/" in part and ".." in part.split("/") for part in one) or not one.archive:
        return None
    fs, path = url_to_fs(folder)
    last = one.archive.rsplit("/", 1)[-1]
    places = [f"{path}/{one.archive}", f"{path.rsplit('/', 1)[0]}/{one.archive}"]
    places += sorted(fs.glob(f"{path.rsplit('/', 1)[0]}/*/{last}"))
    found = next((place for place in places if fs.isfile(place)), "")
    return _indexed(fs.unstrip_protocol(found)).get(one.name.removeprefix("./")) if found else None


def members(folder: str) -> Iterator[Mapping[str, Member]]:
    """Yields the files of each tar archive of a folder, by name.

    Raises:
        ValueError: one of them cannot be read.
    """
    fs, path = url_to_fs(folder)
    for tar in sorted(fs.glob(f"{path}/*.tar")) if fs.isdir(path) else []:
        yield _indexed(fs.unstrip_protocol(tar))


@lru_cache(maxsize=128)
def _indexed(uri: str) -> dict[str, Member]:
    return dict(members_of(uri))


def members_of(uri: str) -> Iterator[tuple[str, Member]]:
    """Yields the name and the place of each file in an archive, or in several that were put behind each other.

    Nothing is unpacked, and links are left out.

    Raises:
        ValueError: it is no tar archive, a damaged one, or compressed, so that nothing can be found in it by its place.
    """
    found = False
    try:
        with open_uri(uri) as file:
            if file.read(6).startswith(PACKED):
                raise ValueError(f"{uri} is a compressed tar archive: unpack it to a plain one")
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:", ignore_zeros=True) as tar:
                for one in tar:
                    if one.isreg():
                        found = True
                        yield one.name.removeprefix("./"), Member(uri, one.offset_data, one.size)
    except tarfile.TarError as error:
        raise ValueError(f"{uri} is no whole tar archive ({error}): copy it again") from error
    if not found:
        raise ValueError(f"{uri} is no tar archive, or an empty one")


def tar_rows(uri: str) -> Iterator[dict[str, object]]:
    """Yields a row a sample, in the archive's order.

    Its columns are the endings of its files, such as ``input.jpg``, and the keys of its JSON; ``__key__`` is its name.
    Images stay where they are, as a :class:`Member`.

    Raises:
        ValueError: it is no tar archive that can be read.
    """
    row: dict[str, object] = {}
    endings: set[str] = set()
    with open_uri(uri) as file:
        for name, member in members_of(uri):
            folder, _, last = name.rpartition("/")
            stem, _, ending = last.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if not stem or not ending:
                continue
            if row and (row["__key__"] != key or ending in endings):  # names repeat where archives were put together
                yield row
                row, endings = {}, set()
            endings.add(ending)
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
