"""Parallel plans, applied to a diffusers model from outside.

Shape letters: none; this file moves parameters, not activations.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor

from v4e.compat import kept_in_float32
from v4e.config import Train


def student_mesh(train: Train, device_type: str, world: int) -> DeviceMesh | None:
    """The mesh of all `world` ranks that `train` asks for; None where there is nothing for FSDP to do.

    One dimension: parameters are sharded over all ranks. Two (HSDP): sharded over ``train.shard`` ranks each,
    replicated across those groups.

    Raises:
        ValueError: the ranks cannot be grouped by ``train.shard``, or have no way to reduce what is in host memory.
    """
    if world == 1 and train.dtype == "float32" and train.offload != "all":
        return None
    shard = train.shard or world
    if world % shard:
        raise ValueError(
            f"train.shard={shard} does not divide the {world} workers into groups: "
            "set train.shard to a divisor of their number, or to 0 to shard over all of them"
        )
    if train.offload == "all" and "cpu:" not in dist.get_backend_config():
        raise ValueError(
            "train.offload=all keeps gradients in host memory, and this process group reduces on the device alone: "
            "start it with backend cpu:gloo,cuda:nccl, or set train.offload=none"
        )
    if shard == world:
        return init_device_mesh(device_type, (world,), mesh_dim_names=("shard",))
    return init_device_mesh(device_type, (world // shard, shard), mesh_dim_names=("replicate", "shard"))


def shard_student(
    dit: WanTransformer3DModel, mesh: DeviceMesh | None, dtype: torch.dtype, *, offload: bool = False
) -> WanTransformer3DModel:
    """Shards parameters, gradients and optimizer state over `mesh` with FSDP2: each block, then the rest.

    Master weights and gradient reductions stay float32; a block computes in `dtype`. With `offload` the shards live
    in host memory, gradients and optimizer with them, and visit the device a block at a time. Parameters on the meta
    device stay there. Without a mesh the model is left as it is. Then `dtype` must be float32, since the cast
    is FSDP's.

    FSDP casts all parameters of a block, so those that diffusers keeps in float32 are left out of it. They are tables
    of the modulation and affine norms, 41 thousand numbers a block at 14B. Each rank has them whole, and
    :func:`average_whole` averages their gradients. The time embedding is larger, and a group of its own.

    Raises:
        ValueError: there is no mesh, and `dtype` is not float32 or `offload` is asked for.
    """
    if mesh is None:
        if dtype != torch.float32 or offload:
            raise ValueError(
                f"a student that computes in {dtype} over float32 master weights, or offloads them, needs a device "
                "mesh, got none: start it in a process group (one process is enough)"
            )
        return dit
    # Pinned memory is an accelerator's affair: without one it cannot be had.
    host = CPUOffloadPolicy(pin_memory=mesh.device_type != "cpu") if offload else OffloadPolicy()
    # The default would cast the rotary tables and the float32 time projection to `dtype` at each block.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    exact = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    fully_shard(dit.condition_embedder.time_embedder, mesh=mesh, mp_policy=exact, offload_policy=host)
    whole = set() if dtype == torch.float32 else {p for name, p in dit.named_parameters() if _is_whole(name)}
    for module in (*dit.blocks, dit):
        fully_shard(module, mesh=mesh, mp_policy=policy, offload_policy=host, ignored_params=whole)
    return dit


def _is_whole(name: str) -> bool:
    return kept_in_float32(name) and "time_embedder" not in name


def average_whole(parameters: Iterable[Tensor], world: int) -> None:
    """Averages, over all `world` ranks, the gradients of the parameters that FSDP does not shard, in one exchange."""
    gradients = [p.grad for p in parameters if p.grad is not None and not isinstance(p, DTensor)]
    if world == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
