"""The files of a corpus: a file, a folder or a glob, on any filesystem."""

from typing import cast

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs


def find_files(uri: str, endings: tuple[str, ...], fix: str) -> tuple[AbstractFileSystem, list[str]]:
    """Returns the filesystem of `uri` and the paths there, sorted; from a folder, only names with one of `endings`.

    Raises:
        ValueError: the filesystem is unknown or not installed, or it cannot be listed. The message ends with `fix`.
    """
    try:
        fs, path = url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise ValueError(f"{uri} cannot be opened ({error}): {fix}") from error
    try:
        return fs, _find(fs, path, endings)
    except Exception as error:  # every object store has errors of its own: no key, no permission, no network
        raise ValueError(f"{uri} cannot be listed ({type(error).__name__}: {error}): {fix}") from error


def _find(fs: AbstractFileSystem, path: str, endings: tuple[str, ...]) -> list[str]:
    if any(letter in path for letter in "*?["):
        return sorted(cast(list[str], fs.glob(path)))
    if fs.isdir(path):
        return sorted(file for file in fs.find(path) if file.endswith(endings))
    return [path] if fs.exists(path) else []
