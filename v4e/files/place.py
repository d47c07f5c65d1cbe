"""Places that a user names for what a command writes: refused before anything is computed for them."""

import os
from pathlib import Path

from fsspec.core import url_to_fs

from v4e.faults import Fault

JOB_FOLDER = "working_dir_files"  # below which Ray unpacks the code of a job, and drops it again


def check_dir(key: str, uri: str) -> None:
    """Refuses a place that cannot be written to, for `key` of the config: of URIs, only an unknown protocol's.

    Raises:
        Fault: a file is in the way, the folder may not be written to, no filesystem is there, or its name is none.
    """
    try:
        uri.encode()
    except UnicodeEncodeError as error:
        raise Fault("A09", f"{key}={uri!a} is not UTF-8: choose a name that is") from error
    if "://" in uri:
        try:
            url_to_fs(uri)
        except (ValueError, ImportError) as error:
            raise Fault("A02", f"{key}={uri} cannot be opened ({error}): choose another {key}") from error
        return
    check_job(key, uri)
    place = Path(uri).absolute()
    if uri.startswith("~"):
        raise Fault("A03", f"{key}={uri}: there is no such user: write the whole path")
    try:
        there = next(path for path in (place, *place.parents) if path.exists() or path.is_symlink())
    except OSError as error:  # a name that is too long
        raise Fault("A09", f"{key}={uri} is no place for a folder ({error.strerror}): choose another {key}") from error
    if not there.is_dir():
        kind = "file" if there.exists() else "link to nowhere"
        raise Fault("A02", f"{key}={uri}: {there} is a {kind}, expected a folder: choose another {key}")
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = f"choose another {key}, or change its permissions"
        raise Fault("A04", f"{key}={uri}: {there} may not be written to: {remedy}")


def check_job(key: str, place: str) -> None:
    """Refuses a relative path in a Ray job: it would lie in Ray's temporary copy of the code, and be lost.

    Raises:
        Fault: it is one; names where it would have been.
    """
    if place and "://" not in place and not Path(place).is_absolute() and JOB_FOLDER in Path.cwd().parts:
        raise Fault(
            "T07",
            f"{key}={place} is relative, and a Ray job runs in a temporary copy of its code, {Path.cwd()}: give a "
            f"whole path or a URI that all nodes can write to, such as {key}=/data/{Path(place).name}",
        )
