"""A rank's part of a DiT, read from its checkpoint without the rest of it."""

import json
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from huggingface_hub import snapshot_download
from safetensors import safe_open
from torch import Tensor

from v4e.tensor_parallel import own_part, put, split


def load_shard(folder: str, dtype: torch.dtype, group: dist.ProcessGroup) -> WanTransformer3DModel:
    """The transformer of a pipeline folder or hub id, split over `group`, in `dtype` as diffusers casts it.

    The whole model exists on the meta device only.

    Raises:
        ValueError: its heads do not divide over the group, or the checkpoint is not of its config.
    """
    config = cast(dict[str, Any], WanTransformer3DModel.load_config(folder, subfolder="transformer"))
    with init_empty_weights():  # parameters only: buffers such as the rotary tables are no part of a checkpoint
        dit = cast(WanTransformer3DModel, WanTransformer3DModel.from_config(config))
    split(dit, group)
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    files = weight_files(folder)
    exact = set(dit._keep_in_fp32_modules)
    for name, parameter in list(dit.named_parameters()):
        if name not in files:
            raise ValueError(f"the transformer of {folder} has no weight {name}, which its config.json asks for")
        value = read_part(files[name], name, rank, size)
        if value.shape != parameter.shape:
            raise ValueError(
                f"{name} in {files[name]}: rank {rank} of {size} reads a part of shape {tuple(value.shape)} where "
                f"config.json asks for {tuple(parameter.shape)}: the checkpoint is not of this config"
            )
        put(dit, name, value.to(torch.float32 if exact & set(name.split(".")) else dtype))
    return dit.eval()


def weight_files(folder: str) -> dict[str, Path]:
    """The file that holds each weight of the transformer; of a hub id they are fetched first."""
    root = Path(folder)
    if not root.exists():
        root = Path(snapshot_download(folder, allow_patterns=["transformer/*.json", "transformer/*.safetensors"]))
    root = root / "transformer"
    index = root / SAFE_WEIGHTS_INDEX_NAME
    if index.exists():
        return {name: root / file for name, file in json.loads(index.read_text())["weight_map"].items()}
    path = root / SAFETENSORS_WEIGHTS_NAME
    with safe_open(path, framework="pt") as file:
        return dict.fromkeys(file.keys(), path)


def read_part(path: Path, name: str, rank: int, size: int) -> Tensor:
    """What `rank` of `size` holds of the weight `name`, in memory of its own.

    A slice is a view of the mapped file, whose pages count as this process's memory once they are read. So the file
    is mapped anew for each weight: else a rank would end up with twice its part, or with the whole file.
    """
    with safe_open(path, framework="pt") as file:
        weight = file.get_slice(name)
        part = weight[own_part(name, weight.get_shape(), rank, size)]
        return part.clone(memory_format=torch.contiguous_format)
