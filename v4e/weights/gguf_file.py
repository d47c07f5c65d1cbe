"""A DiT whose weights a GGUF file has: quantized as the file says, and unpacked layer by layer as they compute."""

from importlib.util import find_spec
from pathlib import Path

import torch
from diffusers import GGUFQuantizationConfig, WanTransformer3DModel

MAGIC = b"GGUF"  # the first bytes of such a file


def check_gguf(file: str) -> None:
    """Refuses, before a model is read, a file that is none, or a machine that cannot read it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it names the file and what was expected.
    """
    if find_spec("gguf") is None:
        raise ValueError(f"gguf={file} needs the package gguf: pip install -e '.[icg]', or leave it out")
    if not Path(file).is_file():
        raise FileNotFoundError(f"gguf={file}: no such file: expected the transformer of a Wan pipeline as .gguf")
    with open(file, "rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"gguf={file}: it is no GGUF file: expected the transformer of a Wan pipeline as .gguf")


def load_gguf(file: str, folder: str, dtype: torch.dtype) -> WanTransformer3DModel:
    """Returns the DiT that `folder` describes with the weights of `file`, computing in `dtype`.

    Raises:
        ValueError: the file is damaged, or of another model.
    """
    packed = GGUFQuantizationConfig(compute_dtype=dtype)
    where = {"config": folder, "subfolder": "transformer"}
    try:
        dit = WanTransformer3DModel.from_single_file(file, **where, quantization_config=packed, torch_dtype=dtype)
    except (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"gguf={file}: it does not hold the transformer of {folder} ({told})") from error
    empty = next((name for name, weight in dit.named_parameters() if weight.is_meta), None)
    if empty:
        raise ValueError(f"gguf={file}: it lacks {empty} of {folder}: expected all weights of its transformer")
    return dit
