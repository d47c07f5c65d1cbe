"""The bytes of an image column, whatever form a corpus gives them."""

from fsspec import AbstractFileSystem

from v4e.files.uri import open_uri


def image_bytes(value: object, fs: AbstractFileSystem, folder: str) -> bytes | None:
    """The bytes of an image column, plain or in a struct; local builds may hold a path below `folder` instead."""
    if not isinstance(value, dict):
        return value if isinstance(value, bytes) else None
    if value.get("bytes") is not None:
        return value["bytes"]
    return beside(fs, folder, value.get("path") or "")


def beside(fs: AbstractFileSystem, folder: str, name: str) -> bytes | None:
    """A file below `folder`; None where there is none, or where `name` leads out of it."""
    if not name or name.startswith("/") or ".." in name.split("/") or not fs.isfile(f"{folder}/{name}"):
        return None
    with open_uri(fs.unstrip_protocol(f"{folder}/{name}")) as file:
        return file.read()
