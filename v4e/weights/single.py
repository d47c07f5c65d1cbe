"""A transformer in one safetensors file under the names of Wan's original layout: what ComfyUI loads as a model.

Weights go over one at a time, so that a file of any size takes little memory.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from v4e.files.uri import open_atomic
from v4e.models.dtype import dtype_of
from v4e.weights.names import original_name
from v4e.weights.shard import read_part, weight_files

PREFIXES = ("model.diffusion_model.", "diffusion_model.")  # that some programs put before all names
STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "fp8": torch.float8_e4m3fn}  # as settings say it
KINDS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float8_e4m3fn: "F8_E4M3"}


@dataclass(frozen=True, kw_only=True)
class StoredWeight:
    """A weight in a file, with its name there."""

    file: Path
    name: str
    shape: torch.Size


def read_names(files: Iterable[Path]) -> dict[str, StoredWeight]:
    """The weights of `files` by their names in the original layout.

    Raises:
        FileNotFoundError: one of the files is not there.
    """
    found = {}
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"{file} is not there: expected a transformer's .safetensors file")
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118, it is no dict
                shape = torch.Size(opened.get_slice(name).get_shape())
                found[bare_name(name)] = StoredWeight(file=file, name=name, shape=shape)
    return found


def bare_name(name: str) -> str:
    """Returns the name without what some programs put before it."""
    prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    return name.removeprefix(prefix)


def read_weight(stored: StoredWeight) -> Tensor:
    """The weight, in the dtype of its file."""
    with safe_open(stored.file, framework="pt") as opened:
        return opened.get_tensor(stored.name)


def write_single(pipeline: str, out: str | Path, dtype: torch.dtype) -> None:
    """Writes the transformer of a diffusers pipeline as one file `out`, complete or not at all.

    In float8_e4m3fn only the matrices of the blocks are stored so, the rest in bfloat16. Modules that diffusers keeps
    in float32 stay so in every `dtype`.
    """
    files = weight_files(pipeline)
    shapes = {}
    for name, file in files.items():
        with safe_open(file, framework="pt") as opened:
            shapes[name] = opened.get_slice(name).get_shape()
    kinds = {name: _dtype(name, len(shape), dtype) for name, shape in shapes.items()}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * kinds[name].itemsize
        header[original_name(name)] = {"dtype": KINDS[kinds[name]], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open_atomic(str(out)) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in _read(files, kinds):
            file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def _read(files: dict[str, Path], kinds: dict[str, torch.dtype]) -> Iterator[Tensor]:
    for name, kind in kinds.items():
        tensor = read_part(files[name], name, 0, 1)
        if kind is torch.float8_e4m3fn:
            most = torch.finfo(kind).max
            tensor = tensor.float().clamp(-most, most)  # beyond it a cast makes nan
        yield tensor.to(kind)


def _dtype(name: str, dimensions: int, dtype: torch.dtype) -> torch.dtype:
    """The dtype to store a weight in."""
    if dtype is not torch.float8_e4m3fn:
        return dtype_of(name, dtype)
    matrix = name.startswith("blocks.") and name.endswith(".weight") and dimensions == 2
    return dtype if matrix and dtype_of(name, dtype) is dtype else dtype_of(name, torch.bfloat16)
