"""The bytes of an image column, in whatever form a corpus has them."""

import base64
import binascii
import re
from typing import NamedTuple

from fsspec import AbstractFileSystem

from v4e.data.sources.tars import InArchive, Member, member_named, members
from v4e.files.uri import open_uri

DATA = re.compile(r"data:[\w/+.-]*;base64,")
CODED = re.compile(r"[A-Za-z0-9+/_-]{64,}={0,2}")  # no file name is so long without a dot
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Found(NamedTuple):
    """The bytes of an image; where there are none, what was there instead."""

    data: bytes | None = None
    instead: str = ""


def image_of(value: object, fs: AbstractFileSystem, folder: str) -> Found:
    """Returns the image of a column.

    It is bytes, base64 text or a path below `folder`, plain, in a struct, or alone in a list; or a tar's member. What
    is not a file is looked for in the tar archives of `folder`.
    """
    if value is None or value == b"" or value == "":
        return Found()
    if isinstance(value, InArchive):
        member = member_named(value, fs.unstrip_protocol(folder))
        return image_of(member, fs, folder) if member else Found(instead=f"no file {value.name} in {value.archive}")
    if isinstance(value, Member):
        with open_uri(value.uri) as file:
            file.seek(value.offset)
            return Found(file.read(value.size))
    if isinstance(value, bytes):
        return Found(value)
    if isinstance(value, dict):
        known = [value[key] for key in ("bytes", "path") if value.get(key) is not None]
        return image_of(known[0], fs, folder) if known else _instead(f"a struct of {', '.join(map(str, value))}", value)
    if isinstance(value, list):
        if len(value) > 1 and not isinstance(value[0], int | float):
            return Found(instead=f"{len(value)} images, and an editor takes one")
        return image_of(value[0], fs, folder) if len(value) == 1 else _instead(f"a list of {len(value)}", value)
    if isinstance(value, str):
        return _named(value, fs, folder)
    return Found(instead=f"a {type(value).__name__}")


def _instead(what: str, value: dict | list) -> Found:
    empty = not value or (isinstance(value, dict) and not any(v is not None for v in value.values()))
    return Found(instead="" if empty else what)


def _named(text: str, fs: AbstractFileSystem, folder: str) -> Found:
    """Returns the image that a text holds, or whose file it names."""
    text = text.strip()
    begin = DATA.match(text)
    if begin or CODED.fullmatch("".join(text.split())):
        try:
            return Found(
                base64.b64decode(
                    "".join(text[begin.end() if begin else 0 :].split()),
                    altchars=b"-_" if "-" in text or "_" in text else None,
                    validate=True,
                )
            )
        except binascii.Error:
            return Found(instead=f"a text of {len(text)} characters that is no base64")
    if ADDRESS.match(text):
        return Found(instead=f"an address, {text[:80]}: download it first")
    if text.startswith("/") or ".." in text.split("/"):
        return Found(instead=f"a path out of its folder, {text[:80]}")
    data = beside(fs, folder, text)
    return Found(data) if data is not None else Found(instead=f"no file {text[:80]}")


def beside(fs: AbstractFileSystem, folder: str, name: str) -> bytes | None:
    """Reads a file below `folder`, or in a tar archive there; None if there is none, or if `name` leads out of it."""
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        return None
    if fs.isfile(f"{folder}/{name}"):
        with open_uri(fs.unstrip_protocol(f"{folder}/{name}")) as file:
            return file.read()
    for files in members(fs.unstrip_protocol(folder)):
        if member := files.get(name.removeprefix("./")):
            return image_of(member, fs, folder).data
    return None
