"""Files of a pipeline, wherever it is: a folder of this machine, or a repository of the Hugging Face hub."""

import json
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

ORIGINAL = "WanModel"  # in config.json of the layout that Wan published first
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


def check_folder(folder: str) -> None:
    """Refuses what looks like a local path but is no pipeline folder.

    Raises:
        FileNotFoundError: naming the folder and what belongs there.
    """
    path = Path(folder)
    local = path.is_absolute() or folder.startswith(".") or folder.count("/") != 1 or path.exists()
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


def is_original(folder: Path) -> bool:
    """Returns whether `folder` holds a model in the layout that v4e/weights/convert.py reads."""
    config = folder / "config.json"
    return config.exists() and json.loads(config.read_text()).get("_class_name") == ORIGINAL
