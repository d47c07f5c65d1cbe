"""The DiT of a diffusers pipeline folder or hub id; safetensors only. The rest of it: :mod:`v4e.weights.frozen`."""

from typing import TypeVar

import torch
from diffusers import WanTransformer3DModel
from torch import nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from v4e.config import Config
from v4e.models.attention import fold_pads
from v4e.models.positions import place_frames
from v4e.parallel.fsdp import shard_student
from v4e.weights.gguf_file import load_gguf
from v4e.weights.hub import check_folder
from v4e.weights.lora import start_dtype, trainable
from v4e.weights.lora_merge import add_changes, read_changes
from v4e.weights.shard import empty_dit, fill_shards, load_shard, read_part, weight_files

M = TypeVar("M", bound=nn.Module)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # as configs spell them


def any_device() -> torch.device:
    """A GPU if torch finds one, else the CPU: for a process of its own, to which nobody lent a device."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def move(model: M, device: torch.device) -> M:
    """`model` on `device`. Said to any ``nn.Module``, since what decorates diffusers' own ``to`` hides its type."""
    return model.to(device)


def load_dit(
    folder: str,
    dtype: torch.dtype,
    attention: str = "native",
    fold_pad: bool = True,
    group: ProcessGroup | None = None,
    positions: tuple[int, ...] = (),
    gguf: str = "",
) -> WanTransformer3DModel:
    """The pipeline's transformer in `dtype`, with diffusers' `attention` backend, pad folding where asked for.

    Its latent frames are at `positions`, by default at those that its folder names, or 0, 1, 2, ... With a process
    `group` it is split over its ranks, for inference; each reads its own part only. `gguf` is a file that has the
    weights in place of the folder's.
    """
    check_folder(folder)
    if gguf:
        dit = load_gguf(gguf, folder, dtype)
    elif group is None:
        dit = WanTransformer3DModel.from_pretrained(
            folder, subfolder="transformer", torch_dtype=dtype, use_safetensors=True
        )
    else:
        dit = load_shard(folder, dtype, group)
    return set_attention(place_frames(dit, positions), attention, fold_pad)


def load_student(config: Config, device: torch.device, mesh: DeviceMesh | None) -> WanTransformer3DModel:
    """The student with its start weights, ready to be trained and sharded over `mesh` where there is one.

    With a mesh the whole model exists on the meta device only: each rank reads its own rows.
    """
    models, dtype = config.models, DTYPES[config.train.dtype]
    if mesh is None:
        kept = start_dtype(config.lora, dtype)
        dit = load_dit(models.student, kept, models.attention, models.fold_pad, positions=models.positions)
        if models.lora:
            files = weight_files(models.student)
            changes = read_changes(dit, models.lora, "models.lora")
            add_changes(dit, changes, lambda name: read_part(files[name], name, 0, 1))
        return move(dit, device)
    check_folder(models.student)
    dit = place_frames(empty_dit(models.student), models.positions)
    dit = set_attention(dit, models.attention, models.fold_pad)
    dit = trainable(dit, config.lora, dtype, config.run.seed)
    changes = read_changes(dit, models.lora, "models.lora")
    offload = config.train.offload == "all"
    shard_student(dit, mesh, dtype, offload=offload)
    fill_shards(dit, models.student, device, config.run.seed, offload=offload, changes=changes)
    return dit


def set_attention(dit: WanTransformer3DModel, attention: str, fold_pad: bool) -> WanTransformer3DModel:
    """`dit` with diffusers' `attention` backend, and pad folding where asked for.

    Raises:
        ValueError: the backend is none, or its package is not here.
    """
    if fold_pad:
        fold_pads(dit)
    if attention != "native":
        try:
            dit.set_attention_backend(attention)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"models.attention={attention} cannot be used here ({error}): install what it needs, or set "
                "models.attention=native"
            ) from error
    return dit
