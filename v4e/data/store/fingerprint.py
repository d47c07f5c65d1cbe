"""The settings that made a store, and hashes of the weights that encoded it."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download

from v4e.config import Config, decided_by
from v4e.files.uri import write_atomic
from v4e.weights.hub import local_folder, lora_file, named_loras

SCHEMA = 1  # of the files below a store: raise it when their meaning changes
REMEMBER = 64 << 20  # bytes from which a file's hash is kept in the user's cache
SAMPLE, SAMPLES = 1 << 16, 256  # bytes of one sample of a weights file, and how many of them
ENCODERS = {  # part of a pipeline folder to the subfolders that decide what it computes
    "vae": ("vae",),
    "text_encoder": ("text_encoder", "tokenizer"),
    "image_encoder": ("image_encoder", "image_processor"),
}
ADDED = {  # settings that an older store's manifest may lack, and their values there
    "data.aspect": "fixed",
    "data.max_aspect": 4.0,
    "data.resolutions": 1,
}


def store_settings(config: Config) -> dict[str, object]:
    """Returns everything that decides a sample's features, by its name in the config or in the pipeline folder."""
    hashes = {name: folder_hash(config.models.student, parts) for name, parts in ENCODERS.items()}
    return decided_by(config, "features", models=False) | hashes


def rollout_settings(config: Config) -> dict[str, object]:
    """Returns everything that decides a rollout, except the store it lies in.

    ``run.seed`` is not among them: a rollout's noise depends on the sample alone, so that runs can share it.
    """
    found = decided_by(config, "rollouts", models=False)
    if "teacher.lora" in found:
        found["teacher.lora"] = lora_hash(config.teacher.lora)
    return found | {"teacher": folder_hash(config.models.teacher, ("transformer",))}


def lora_hash(place: str) -> str:
    """Returns the sha256 in hex of ``teacher.lora``, a file or the folder that holds it.

    Raises:
        FileNotFoundError: it is not there.
    """
    path = lora_file(place)
    if not path.is_file():
        raise FileNotFoundError(f"teacher.lora: there is no {path}: expected a .safetensors file or a folder with one")
    return file_hash(path)


def loras_hash(setting: Sequence[str]) -> str:
    """Returns the hash of each LoRA of ``models.lora`` with its weight; empty where one is not on this machine."""
    named = named_loras(setting, "models.lora")
    there = all(lora_file(file).is_file() for file, _ in named)
    return " ".join(f"{lora_hash(file)}:{weight}" for file, weight in named) if there else ""


def rollout_fingerprint(config: Config) -> str:
    """Returns a hash of :func:`rollout_settings`, in hex."""
    return hashlib.sha256(json.dumps(rollout_settings(config), sort_keys=True).encode()).hexdigest()


def folder_hash(model: str, parts: tuple[str, ...]) -> str:
    """Returns the sha256 in hex of all files in the subfolders `parts` of a pipeline folder or hub id.

    Raises:
        FileNotFoundError: `model` lacks one of these subfolders.
    """
    root = Path(model)
    if not root.is_dir():
        if root.is_absolute() or model.startswith(".") or model.count("/") != 1:
            raise FileNotFoundError(
                f"{model} does not exist: set models.student and models.teacher to pipeline folders"
            )
        root = local_folder(model, tuple(f"{part}/*" for part in parts))
    total = hashlib.sha256()
    for part in parts:
        files = sorted(path for path in (root / part).glob("*") if path.is_file())
        if not files:
            raise FileNotFoundError(
                f"{model} has no {part}/: expected a diffusers pipeline folder of Wan image to video"
            )
        for path in files:
            total.update(f"{part}/{path.name}\0{file_hash(path)}\0".encode())
    return total.hexdigest()


def sketch(model: str) -> str:
    """Returns a hash of a transformer's config and of samples of its weights, to know a model in another place again.

    It takes a second at 14B. Empty where the model is no folder here and was not fetched from the hub yet.
    """
    try:
        root = Path(model) if Path(model).is_dir() else Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):
        return ""
    total = hashlib.sha256()
    files = sorted(path for path in (root / "transformer").glob("*") if path.is_file())
    for path in files:
        if path.suffix == ".json":
            total.update(file_hash(path).encode())
            continue
        size = path.stat().st_size
        with path.open("rb") as file:
            for at in range(0, size, max(SAMPLE, size // SAMPLES)):
                file.seek(at)
                total.update(file.read(SAMPLE))
    return total.hexdigest() if files else ""


def file_hash(path: Path, remember: int = REMEMBER) -> str:
    """Returns the sha256 in hex of a file; a JSON object counts without its origin (``_name_or_path``, versions).

    Hashes of files of at least `remember` bytes are kept below ``~/.cache/v4e`` until size or time changes: 14B's
    text encoder is hashed once per machine.
    """
    if path.suffix == ".json":
        value = json.loads(path.read_text())
        if isinstance(value, dict):
            value = {k: v for k, v in value.items() if not k.startswith("_") and k != "transformers_version"}
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
    stat = path.stat()
    if stat.st_size < remember:
        return _sha256(path)
    key = hashlib.sha256(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "v4e" / "sha256" / key
    if not cache.exists():
        write_atomic(str(cache), _sha256(path).encode())
    return cache.read_text()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
