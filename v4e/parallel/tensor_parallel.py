"""Tensor parallelism of the whole Wan block, applied to diffusers' model from outside. For inference only.

    x ─▶ q, k, v: own heads     ─▶ attention ─▶ out:  own columns of the weight ─▶ all-reduce + bias ─▶ x
    x ─▶ FFN up:  own neurons   ─▶ GELU      ─▶ down: own columns of the weight ─▶ all-reduce + bias ─▶ x

Every rank of a group of `size` holds ``heads / size`` heads and ``ffn_dim / size`` neurons of each block, and all of
everything else; each rank's forward gives the whole result. Plain shards and explicit collectives: DTensor gives the
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

# Dimension along which each parameter of a kind of module is cut. What is not named is held whole, such as a row's
# bias, which is added once, after the reduction.
COLUMN = {"weight": 0, "bias": 0}
ROW = {"weight": 1}
NORM = {"weight": 0}

IN_ATTENTION = {
    "to_q": COLUMN,
    "to_k": COLUMN,
    "to_v": COLUMN,
    "add_k_proj": COLUMN,
    "add_v_proj": COLUMN,
    "norm_q": NORM,
    "norm_k": NORM,
    "norm_added_k": NORM,
    "to_out.0": ROW,
}
IN_BLOCK = {f"{attention}.{name}": cut for attention in ("attn1", "attn2") for name, cut in IN_ATTENTION.items()} | {
    "ffn.net.0.proj": COLUMN,
    "ffn.net.2": ROW,
}


def cut_dim(name: str) -> int | None:
    """Dimension along which the parameter `name` of a Wan DiT is cut; None where every rank holds all of it."""
    top, *rest = name.split(".", 2)
    if top != "blocks" or len(rest) < 2:
        return None
    module, _, leaf = rest[1].rpartition(".")
    return IN_BLOCK.get(module, {}).get(leaf)


def own_part(name: str, shape: tuple[int, ...] | list[int], rank: int, size: int) -> tuple[slice, ...]:
    """What `rank` of `size` holds of the parameter `name` of that `shape`, as an index into it."""
    index = [slice(None)] * len(shape)
    dim = cut_dim(name)
    if dim is not None:
        share = shape[dim] // size
        index[dim] = slice(rank * share, (rank + 1) * share)
    return tuple(index)


def check_degree(size: int, heads: int, ffn_dim: int) -> None:
    """Refuses to split a DiT of `heads` and `ffn_dim` over a number of ranks that does not divide both.

    Raises:
        ValueError: naming the degrees that do.
    """
    degrees = [n for n in range(1, heads + 1) if heads % n == 0 and ffn_dim % n == 0]
    if size not in degrees:
        raise ValueError(
            f"tensor parallelism over {size} ranks: the DiT has {heads} heads and {ffn_dim} FFN neurons, which must "
            f"both divide: set teacher.tp to one of {', '.join(map(str, degrees))}"
        )


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
