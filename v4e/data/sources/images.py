"""The bytes of an image column, in whatever form a corpus has them."""

from fsspec import AbstractFileSystem

from v4e.files.uri import open_uri


def image_bytes(value: object, fs: AbstractFileSystem, folder: str) -> bytes | None:
    """Returns the bytes of an image column, plain or in a struct; local builds may have a path below `folder`."""
    if not isinstance(value, dict):
        return value if isinstance(value, bytes) else None
    if value.get("bytes") is not None:
        return value["bytes"]
    return beside(fs, folder, value.get("path") or "")


def beside(fs: AbstractFileSystem, folder: str, name: str) -> bytes | None:
    """Reads a file below `folder`; None if there is none, or if `name` leads out of it."""
    if not name or name.startswith("/") or ".." in name.split("/") or not fs.isfile(f"{folder}/{name}"):
        return None
    with open_uri(fs.unstrip_protocol(f"{folder}/{name}")) as file:
        return file.read()
