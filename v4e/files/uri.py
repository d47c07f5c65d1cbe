"""Small files on any filesystem: a local path or an fsspec URI (s3://, gs://, memory://)."""

import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from v4e.faults import Fault

RESTORE = "restore it, or remove it if it is of a run"


def join(uri: str, *parts: str) -> str:
    """`uri` with `parts` below it."""
    return "/".join([uri.rstrip("/"), *(p.strip("/") for p in parts)])


def numbers_in(uri: str, name: re.Pattern[str]) -> list[int]:
    """Group 1 of `name` of what is in the folder `uri` under such names, as rising numbers; none without a folder."""
    fs, path = url_to_fs(uri)
    fs.invalidate_cache()  # others write there
    if not fs.isdir(path):
        return []
    names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False))
    return sorted(int(match[1]) for entry in names if (match := name.fullmatch(entry)))


def local_path(uri: str) -> Path | None:
    """Returns the path of a place on this machine's own filesystem; None for one of a storage service."""
    fs, path = url_to_fs(uri)
    return Path(path) if isinstance(fs, LocalFileSystem) else None


def free_bytes(place: Path) -> int:
    """Returns the free bytes of the disk that `place`, which need not exist yet, is to lie on."""
    return shutil.disk_usage(next(path for path in (place, *place.parents) if path.exists())).free


def exists(uri: str) -> bool:
    fs, path = url_to_fs(uri)
    return fs.exists(path)


def remove(uri: str) -> None:
    """Removes a file, or a folder and all below it; nothing where there is none."""
    fs, path = url_to_fs(uri)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def read_text(key: str, uri: str) -> str:
    """The UTF-8 text at `uri`, which `key` of the config names; a byte order mark is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its protocol is unknown, or it is no UTF-8.
    """
    try:
        fs, path = url_to_fs(uri)
        if not fs.isfile(path):
            raise FileNotFoundError(f"{key}={uri}: there is no such file")
        return fs.cat_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{key}={uri} is not UTF-8 ({error}): save it so") from error
    except (ValueError, ImportError) as error:
        raise ValueError(f"{key}={uri} cannot be opened ({error})") from error


def open_uri(uri: str, mode: str = "rb") -> Any:
    """The file at `uri` as a context manager; parent folders are made when writing."""
    if "w" in mode:
        fs, path = url_to_fs(uri)
        fs.makedirs(os.path.dirname(path), exist_ok=True)
    return fsspec.open(uri, mode)


def write_atomic(uri: str, data: bytes) -> None:
    """Write beside `uri`, then rename: a reader or a crash never meets half a file."""
    with open_atomic(uri) as f:
        f.write(data)


@contextmanager
def open_atomic(uri: str) -> Iterator[BinaryIO]:
    """A file to write, which gets the name `uri` once it is complete, and never where the body raises.

    Several threads, processes and machines may write to one `uri`: each has a file of its own, and the last one counts.
    """
    fs, path = url_to_fs(uri)
    if isinstance(fs, LocalFileSystem):  # whose own move copies where the target exists
        with unfinished(path) as own, own.open("wb") as f:
            yield f
        return
    fs.makedirs(os.path.dirname(path), exist_ok=True)
    own = _own_name(path)
    try:
        with fs.open(own, "wb") as f:
            yield f
        fs.mv(own, path)
    except BaseException:
        with suppress(Exception):  # the error that is under way says more
            fs.rm(own)
        raise


@contextmanager
def unfinished(path: str | Path) -> Iterator[Path]:
    """A path beside the local `path` that nobody else has, to write a file at; it becomes `path` when the body ends.

    Where the body raises, the file goes and `path` stays as it was. Parent folders are made.
    """
    own = Path(_own_name(str(path)))
    own.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield own
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)


def _own_name(path: str) -> str:
    return f"{path}.{uuid.uuid4().hex[:8]}.tmp"


def write_json_atomic(uri: str, value: Any) -> None:
    """Writes `value` as JSON that every parser reads; a number that is not finite becomes null."""
    write_atomic(uri, (json.dumps(finite(value), indent=2, allow_nan=False) + "\n").encode())


def finite(value: Any) -> Any:
    """`value` with null for every number in it that is not finite: JSON has none such."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(uri: str) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        FileNotFoundError: there is no such file.
        Fault: it holds something else; names the file.
    """
    with open_uri(uri) as f:
        return json_object(f.read(), uri)


def json_object(text: bytes, told: str) -> dict[str, Any]:
    """The JSON object in `text`, which `told` names in errors.

    Raises:
        Fault: it holds something else.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("A12", f"{told} is no JSON ({error}): {RESTORE}") from error
    if not isinstance(found, dict):
        raise Fault("A12", f"{told} holds {str(found)[:60]!r}, no JSON object: {RESTORE}")
    return found


@contextmanager
def of_v4e(place: str) -> Iterator[None]:
    """Tells what is wrong with a file in `place` that v4e wrote: a key that is missing, a value of another kind.

    Raises:
        Fault: in place of the errors that these are.
    """
    try:
        yield
    except Fault:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        why = f"{type(error).__name__}: {error}"
        raise Fault("A12", f"{place}: a file there is not as v4e wrote it ({why}): restore or remove it") from error
