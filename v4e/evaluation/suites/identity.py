"""The identity of a judge: all that must be equal for two replies to be of one judge."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from v4e.config import Judge
from v4e.data.store.fingerprint import file_hash

THEIRS = "the default of OpenAI's client"  # the address, where none is set


def identity(judge: Judge) -> dict[str, str]:
    """Returns the kind of judge, its model, and its address or the hash of its weights and adapters.

    One name may mean two models: at another address, in a folder that was trained on, or with adapters.
    """
    if judge.kind == "fake":
        return {"kind": "fake"}
    found = {"kind": judge.kind, "model": judge.model}
    if judge.parameters:
        found["parameters"] = ",".join(judge.parameters)
    if judge.kind == "openai":
        return found | {"url": _address(judge.url or os.environ.get("OPENAI_BASE_URL", ""))}
    places = {"weights": judge.model, "lora": judge.lora}
    return found | {name: _weights(place) for name, place in places.items() if place}


def name_of(result: Mapping) -> str:
    """Returns the name of the judge of a scores.json."""
    return title(result.get("by") or {}, result["judge"])


def title(who: Mapping[str, str], model: str) -> str:
    """Returns the judge's name for a reader: its model, and what else tells it from others of that name."""
    lora = f" with adapters {who['lora']}" if "lora" in who else ""
    return f"{model}{lora}" + (f" at {who['url']}" if who.get("url", THEIRS) != THEIRS else "")


def _address(url: str) -> str:
    """The address without a key in it."""
    if not url:
        return THEIRS
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path.rstrip('/')}"


def _weights(place: str) -> str:
    """A hash of a folder's files; a hub id is what it is."""
    folder = Path(place)
    if not folder.is_dir():
        return place
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in (".json", ".safetensors"))
    told = "".join(f"{path.relative_to(folder)}\0{file_hash(path)}\0" for path in files)
    return f"{folder.name} {hashlib.sha256(told.encode()).hexdigest()[:16]}"
