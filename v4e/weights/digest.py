"""A hash of all files that decide what a model computes."""

import hashlib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from v4e.weights.hub import local_folder
from v4e.weights.student import BASE, CHANGE

REPLACED = "transformer/*.safetensors*"  # by a GGUF file
KINDS = (".safetensors", ".json", ".model", ".txt")


@cache
def weights_sha256(model: str, gguf: str = "") -> str:
    """Returns a hash of the weights and settings in a pipeline folder or hub id; "" is the student of v4e.

    Where a file `gguf` has the weights of the transformer, it is hashed in their place. Files of the same names and
    bytes have the same hash, wherever they lie. It is computed once in a process.

    Raises:
        FileNotFoundError: there is no such folder or file.
    """
    root = local_folder(model or BASE, ignore=(REPLACED,) if gguf else None)
    files = sorted(path for path in root.rglob("*") if path.suffix in KINDS and path.is_file())
    named = [(path.relative_to(root).as_posix(), path) for path in files]
    if gguf:
        named = [(name, path) for name, path in named if not fnmatch(name, REPLACED)]
        named.append(("gguf", Path(gguf)))
    if not model:
        named.append(("change", CHANGE))
    lines = [f"{file_sha256(path)}  {name}\n" for name, path in named]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def adapter_sha256(place: str) -> str:
    """Returns the hash of a LoRA's file, or of all of its folder's."""
    path = Path(place)
    return weights_sha256(place) if path.is_dir() else file_sha256(path)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
