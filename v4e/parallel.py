"""Parallel plans, applied to a diffusers model from outside.

Shape letters: none; this file moves parameters, not activations.
"""

import torch
from diffusers import WanTransformer3DModel
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard


def shard_student(dit: WanTransformer3DModel, mesh: DeviceMesh | None, dtype: torch.dtype) -> WanTransformer3DModel:
    """Shards parameters, gradients and optimizer state over `mesh` with FSDP2: each block, then the rest.

    Master weights and gradient reductions stay float32; a block computes in `dtype`. Without a mesh there is
    nothing to shard, and the model is left as it is: then `dtype` must be float32, since the cast is FSDP's.

    Raises:
        ValueError: `dtype` is not float32 and there is no mesh.
    """
    if mesh is None:
        if dtype != torch.float32:
            raise ValueError(
                f"a student that computes in {dtype} over float32 master weights needs a device mesh, got none: "
                "start it in a process group (one process is enough)"
            )
        return dit
    # The default would cast the rotary tables and the float32 time projection to `dtype` at each block.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    exact = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    fully_shard(dit.condition_embedder.time_embedder, mesh=mesh, mp_policy=exact)
    for block in dit.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(dit, mesh=mesh, mp_policy=policy)
    return dit
