"""A rank's part of a DiT, read from its checkpoint without the rest of it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import safe_open
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from v4e.files.uri import read_json
from v4e.models.dtype import dtype_of
from v4e.parallel.cuts import own_part
from v4e.parallel.local import local
from v4e.parallel.tensor_parallel import put, split
from v4e.weights.hub import TRANSFORMER, local_folder
from v4e.weights.lora import base_name, is_adapter, start_value
from v4e.weights.lora_merge import NO_CHANGES, Changes, changed


def load_shard(folder: str, dtype: torch.dtype, group: dist.ProcessGroup) -> WanTransformer3DModel:
    """The transformer of a pipeline folder or hub id, split over `group`, in `dtype` as diffusers casts it.

    The whole model exists on the meta device only.

    Raises:
        ValueError: its heads do not divide over the group, or the checkpoint is not of its config.
    """
    dit = split(empty_dit(folder), group)
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    files = weight_files(folder)
    for name, parameter in list(dit.named_parameters()):
        value = read_part(file_of(files, name), name, rank, size)
        check_shape(name, value, parameter)
        put(dit, name, value.to(dtype_of(name, dtype)))
    return dit.eval()


def fill_shards(
    dit: WanTransformer3DModel,
    folder: str,
    device: torch.device,
    seed: int,
    *,
    offload: bool = False,
    changes: Changes = NO_CHANGES,
) -> None:
    """Gives a `dit` that FSDP2 has sharded on the meta device its weights from a pipeline folder or hub id.

    Each rank reads its own rows, straight into its shard: neither the model nor a second copy of the shard is ever in
    memory. Shards lie on `device`, or with `offload` in host memory; what is not sharded lies on `device` in any case.
    Adapters are in no file: they start as `seed` has it. To the weights that `changes` name these are added.

    Raises:
        ValueError: the checkpoint is not of the model's config.
    """

    def place(tensor: Tensor) -> Tensor:
        where = "cpu" if offload and isinstance(tensor, DTensor) else device
        return torch.empty_like(tensor, device=where) if tensor.is_meta else tensor

    dit._apply(place)
    files = weight_files(folder)
    for name, parameter in dit.named_parameters():
        own = local(parameter.detach())
        mesh = parameter.device_mesh if isinstance(parameter, DTensor) else None
        if is_adapter(name):
            value = start_value(name, tuple(parameter.shape), seed)[own_rows(parameter.shape, mesh)]
        else:
            stored = base_name(name)
            value = read_slice(file_of(files, stored), stored, lambda shape, mesh=mesh: own_rows(shape, mesh))
            value = changed(value, changes.get(stored, ()), *own_rows(parameter.shape, mesh))
        check_shape(name, value, own)
        own.copy_(value)


def own_rows(shape: Sequence[int], mesh: DeviceMesh | None) -> tuple[slice]:
    """The rows that this rank of `mesh` holds of a weight of that `shape`: FSDP2 cuts as ``torch.chunk`` does.

    The last dimension of the mesh shards; one before it replicates. Without a mesh the weight is whole on each rank.
    """
    if mesh is None:
        return (slice(0, shape[0]),)
    share = math.ceil(shape[0] / mesh.size(mesh.ndim - 1))
    start = min(shape[0], share * mesh.get_local_rank(mesh.ndim - 1))
    return (slice(start, min(shape[0], start + share)),)


def empty_dit(folder: str) -> WanTransformer3DModel:
    """The transformer of a pipeline folder or hub id, its parameters on the meta device.

    Its buffers are real: the rotary tables are no part of a checkpoint.
    """
    from accelerate import init_empty_weights  # here: the checks of a GPU do without it

    config = cast(dict[str, Any], WanTransformer3DModel.load_config(folder, subfolder="transformer"))
    with init_empty_weights():
        return cast(WanTransformer3DModel, WanTransformer3DModel.from_config(config))


def weight_files(folder: str) -> dict[str, Path]:
    """The file that holds each weight of the transformer; of a hub id they are fetched first.

    Raises:
        FileNotFoundError: they are neither here nor to be had.
    """
    root = local_folder(folder, TRANSFORMER) / "transformer"
    index = root / SAFE_WEIGHTS_INDEX_NAME
    if index.exists():
        return {name: root / file for name, file in read_json(str(index))["weight_map"].items()}
    path = root / SAFETENSORS_WEIGHTS_NAME
    with safe_open(path, framework="pt") as file:
        return dict.fromkeys(file.keys(), path)


def file_of(files: dict[str, Path], name: str) -> Path:
    """Returns that of `files` which has the weight `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in files:
        folder = next(iter(files.values())).parent
        raise ValueError(f"{folder} has no weight {name}, which its config.json asks for")
    return files[name]


def check_shape(name: str, value: Tensor, expected: Tensor) -> None:
    """Refuses a part that does not fill its place.

    Raises:
        ValueError: naming the weight and both shapes.
    """
    if value.shape != expected.shape:
        raise ValueError(
            f"{name}: this rank reads a part of shape {tuple(value.shape)} where config.json asks for "
            f"{tuple(expected.shape)}: the checkpoint is not of this config"
        )


def read_part(path: Path, name: str, rank: int, size: int) -> Tensor:
    """Reads the part of the weight `name` that `rank` of `size` holds under tensor parallelism, as a copy."""
    return read_slice(path, name, lambda shape: own_part(name, shape, rank, size))


def read_slice(path: Path, name: str, index: Callable[[list[int]], tuple[slice, ...]]) -> Tensor:
    """The part of the weight `name` that `index` makes of its whole shape, in memory of its own.

    A slice is a view of the mapped file, whose pages count as this process's memory once they are read. So the file
    is mapped anew for each weight: else a rank would end up with twice its part, or with the whole file.
    """
    with safe_open(path, framework="pt") as file:
        weight = file.get_slice(name)
        return weight[index(weight.get_shape())].clone(memory_format=torch.contiguous_format)
