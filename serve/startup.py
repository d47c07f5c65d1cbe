"""The checks of a server's settings before anything is loaded: files, keys, names."""

import os
from pathlib import Path

from serve.keys import Keys
from serve.settings import Settings
from serve.signing import check_signing
from v4e.compat import attention_backends
from v4e.config.checks import require
from v4e.editing import away
from v4e.faults import Fault
from v4e.files.database import check_database, on_server
from v4e.training.checks import HALF_ONLY
from v4e.weights.gguf_file import check_gguf, stored_names
from v4e.weights.hub import check_folder, check_trained_frames, is_hub_id
from v4e.weights.student import BASE


def check(settings: Settings) -> None:
    """Refuses settings that would fail only when a replica starts, minutes later and in another process.

    Raises:
        ValueError: one line that names the setting, what was got and what was expected.
    """
    try:
        check_folder(settings.model or BASE)
    except FileNotFoundError as error:
        raise ValueError(f"settings.model: {error}") from None
    check_trained_frames("settings.frames", settings.frames, settings.model or BASE)
    for name, file in settings.adapters.items():
        there = Path(file).is_dir() or (file.endswith(".safetensors") and Path(file).is_file())
        require(there, f"settings.loras: {name}={file}: expected a .safetensors file that exists, or its folder")
    _check_packed(settings)
    name = settings.attention
    if name != "native":
        names = attention_backends()
        require(name in names, f"settings.attention={name}: expected one of {', '.join(names)}")
    message = f"settings.attention={name} computes in 16 bits, settings.dtype=float32: set dtype=bfloat16"
    require(settings.dtype != "float32" or not any(word in name for word in HALF_ONLY), message)
    # The replica checks the rest: this machine may be of another kind.
    message = f"settings.weights={settings.weights} needs a CUDA GPU: set gpus=1, or leave it out"
    require(not settings.weights or settings.gpus > 0, message)
    if settings.sign != "off" or settings.signer:
        check_signing(settings)
    try:
        Keys(settings)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        message = f"settings.keys_file={settings.keys_file}: {why}: expected what `python -m serve.keys NAME` prints"
        raise ValueError(message) from None
    if on_server(settings.state):
        try:
            check_database(settings.state)
        except Fault as fault:
            raise ValueError(f"settings.state={fault.message}") from None
    else:
        _check_writable(Path(settings.state))


def _check_packed(settings: Settings) -> None:
    """Refuses weights that are no file of this model, or that cannot go away block by block."""
    file, loras = settings.gguf, bool(settings.adapters)
    try:
        away.check(settings.away, loras, bool(settings.weights or file or settings.compile))
        if file:
            check_gguf(file, settings.model, loras)
        if file and not is_hub_id(settings.model):
            stored_names(file, settings.model)
    except (OSError, ValueError) as error:
        raise ValueError(f"settings.{error}") from None


def _check_writable(folder: Path) -> None:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    message = f"settings.state={folder}: {there} cannot be written to: expected a folder for jobs and results"
    require(there.is_dir() and os.access(there, os.W_OK | os.X_OK), message)
