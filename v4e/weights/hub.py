"""Files of a pipeline, wherever it is: a folder of this machine, or a repository of the Hugging Face hub."""

import math
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from v4e.faults import Fault
from v4e.files.uri import read_json
from v4e.wan import TRAINED_FRAMES

ORIGINAL = "WanModel"  # in config.json of the layout that Wan published first
LORA = "pytorch_lora_weights.safetensors"
TRANSFORMER = ("transformer/*.json", "transformer/*.safetensors")


def local_folder(folder: str, allow: tuple[str, ...] | None = None, ignore: tuple[str, ...] | None = None) -> Path:
    """`folder`, or for a hub id its snapshot, fetched as far as `allow` and `ignore` say where it is not here yet.

    Raises:
        FileNotFoundError: it is neither here nor to be had.
    """
    if Path(folder).is_dir():
        return Path(folder)
    try:
        return Path(
            snapshot_download(
                folder,
                allow_patterns=list(allow) if allow else None,
                ignore_patterns=list(ignore) if ignore else None,
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise FileNotFoundError(
            f"{folder} is no folder here, and could not be fetched from the Hugging Face hub ({reason}): on a machine "
            f"with access run `hf download {folder}`, copy its folder here, and name that folder instead"
        ) from error


def is_hub_id(folder: str) -> bool:
    """Returns whether `folder` reads as a repository of the hub, ``owner/name``, and is no folder here."""
    path = Path(folder)
    return folder.count("/") == 1 and not (path.is_absolute() or folder.startswith(".") or path.exists())


def check_folder(folder: str) -> None:
    """Refuses what looks like a local path but is no pipeline folder.

    Raises:
        FileNotFoundError: naming the folder and what belongs there.
    """
    path, local = Path(folder), not is_hub_id(folder)
    if local and is_original(path):
        raise FileNotFoundError(
            f"{folder} is a model in Wan's original layout: v4e convert {folder} "
            "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers OUT makes a diffusers pipeline folder of it"
        )
    if local and not (path / "model_index.json").exists():
        raise FileNotFoundError(
            f"{folder} is no diffusers pipeline folder (no model_index.json there): "
            "expected a folder that save_pretrained wrote, or a hub id such as Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
        )


def lora_file(place: str) -> Path:
    """Returns the file of a LoRA: `place` itself, or what diffusers calls it in a folder."""
    path = Path(place)
    return path / LORA if path.is_dir() else path


def named_loras(setting: Sequence[str], key: str) -> list[tuple[str, float]]:
    """File and weight of each LoRA that the setting `key` names; FILE alone has the weight 1.

    Raises:
        Fault: a weight is not finite.
    """
    found = []
    for one in setting:
        file, _, end = one.rpartition(":")
        try:
            weight = float(end) if file else 1.0
        except ValueError:  # a colon of the file's own name
            file, weight = one, 1.0
        if not math.isfinite(weight):
            raise Fault("T19", f"{key}={one}: a weight of {end}: expected a number, such as {file}:0.8")
        found.append((file or one, weight))
    return found


def trained_frames(folder: str) -> tuple[int, ...]:
    """Returns the clip lengths that the family in `folder` was trained on.

    There are none for one that knows all lengths, as Wan's own and those of the hub do.
    """
    config = Path(folder) / "vae" / "config.json"
    return tuple(read_json(str(config)).get(TRAINED_FRAMES, [])) if config.exists() else ()


def check_trained_frames(key: str, frames: int, folder: str) -> None:
    """Refuses a clip length that the family in `folder` was not trained on: its clips would be noise.

    Raises:
        ValueError: names the setting `key`, the family and its lengths.
    """
    known = trained_frames(folder)
    if known and frames not in known:
        lengths = " or ".join(map(str, known))
        raise ValueError(
            f"{key}={frames}: {folder} was trained on clips of {lengths} frames only, as its vae/config.json says: "
            f"set {key}={known[0]}, or choose another model"
        )


def is_original(folder: Path) -> bool:
    """Returns whether `folder` holds a model in the layout that v4e/weights/convert.py reads."""
    config = folder / "config.json"
    return config.exists() and read_json(str(config)).get("_class_name") == ORIGINAL
