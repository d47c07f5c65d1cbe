"""The files of a corpus: one, those of a folder, or those of a glob, on any filesystem."""

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs


def find_files(uri: str, endings: tuple[str, ...], fix: str) -> tuple[AbstractFileSystem, list[str]]:
    """The filesystem of `uri` and the paths there, sorted; of a folder's files, those whose names end so.

    Raises:
        ValueError: the protocol is of no filesystem, or of one that is not installed; the message ends with `fix`.
    """
    try:
        fs, path = url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise ValueError(f"{uri} cannot be opened ({error}): {fix}") from error
    if any(letter in path for letter in "*?["):
        return fs, sorted(fs.glob(path))
    if fs.isdir(path):
        return fs, sorted(file for file in fs.find(path) if file.endswith(endings))
    return fs, [path] if fs.exists(path) else []
