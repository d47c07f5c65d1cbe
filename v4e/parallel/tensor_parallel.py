"""Tensor parallelism of the whole Wan block, applied to diffusers' model from outside. For inference only.

```
    x ─▶ q, k, v: own heads     ─▶ attention ─▶ out:  own columns of the weight ─▶ all-reduce + bias ─▶ x
    x ─▶ FFN up:  own neurons   ─▶ GELU      ─▶ down: own columns of the weight ─▶ all-reduce + bias ─▶ x
```

Every rank of a group of `size` holds ``heads / size`` heads and ``ffn_dim / size`` neurons of each block. It holds all
of everything else, and its forward gives the whole result. Plain shards and explicit collectives: DTensor gives the
same numbers at two to seven times the cost of a forward, measured on 4 small blocks.

Shapes: B batch, N tokens, D width, d = D / size.
"""

from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor, nn

from v4e.parallel.cuts import IN_BLOCK, NORM, ROW, check_degree, own_part


class RowLinear(nn.Module):
    """A linear layer of which each rank holds some input columns: x_BNd to y_BND, the same on every rank."""

    def __init__(self, linear: nn.Linear, group: dist.ProcessGroup) -> None:
        super().__init__()
        self.weight, self.bias, self.group = linear.weight, linear.bias, group

    def forward(self, x_BNd: Tensor) -> Tensor:
        y_BND = F.linear(x_BNd, self.weight)
        dist.all_reduce(y_BND, group=self.group)
        return y_BND.add_(self.bias)


class NormAcrossRanks(nn.Module):
    """Wan's RMSNorm of q and k, which runs over all heads: x_BNd to x_BNd. A rank's own mean square is not enough."""

    def __init__(self, norm: nn.RMSNorm, width: int, group: dist.ProcessGroup) -> None:
        super().__init__()
        self.weight, self.eps, self.width, self.group = norm.weight, cast(float, norm.eps), width, group

    def forward(self, x_BNd: Tensor) -> Tensor:
        x = x_BNd.float()
        squares_BN1 = x.pow(2).sum(-1, keepdim=True)
        dist.all_reduce(squares_BN1, group=self.group)
        return (x * torch.rsqrt(squares_BN1 / self.width + self.eps) * self.weight).type_as(x_BNd)


def split(dit: WanTransformer3DModel, group: dist.ProcessGroup) -> WanTransformer3DModel:
    """`dit` with this rank's part of every block, on any device, meta included. It has no gradients: the collectives
    would not carry them.

    Raises:
        ValueError: heads or FFN neurons do not divide over the group.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    heads, ffn_dim = dit.config["num_attention_heads"], dit.config["ffn_dim"]
    check_degree(size, heads, ffn_dim)
    width = heads * dit.config["attention_head_dim"]
    keep_own(dit, rank, size)
    for block in dit.blocks:
        for attention in cast(tuple[WanAttention, ...], (block.attn1, block.attn2)):
            attention.heads = heads // size  # the processors unflatten by it
        for path, module in list(block.named_modules()):
            cut = IN_BLOCK.get(path)
            if cut is ROW:
                block.set_submodule(path, RowLinear(cast(nn.Linear, module), group))
            elif cut is NORM:
                block.set_submodule(path, NormAcrossRanks(cast(nn.RMSNorm, module), width, group))
    return dit


def keep_own(dit: nn.Module, rank: int, size: int) -> None:
    """Replaces each parameter by the part of it that `rank` of `size` holds."""
    for name, parameter in list(dit.named_parameters()):
        index = own_part(name, parameter.shape, rank, size)
        put(dit, name, parameter.detach()[index].clone(memory_format=torch.contiguous_format))


def put(dit: nn.Module, name: str, value: Tensor) -> None:
    """Makes `value` the frozen parameter `name`."""
    path, _, leaf = name.rpartition(".")
    setattr(dit.get_submodule(path), leaf, nn.Parameter(value, requires_grad=False))
