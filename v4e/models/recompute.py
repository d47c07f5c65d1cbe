"""Activation checkpointing: what a DiT's or a VAE's blocks keep of a forward for the backward, applied from outside.

Shape letters: none; this file moves activations, whatever their shapes.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, WanResidualBlock
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
    noop_context_fn,
)

Recompute = Literal["none", "full", "selective"]

aten = torch.ops.aten
MATMULS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default}
MEMORIES = 2  # of a block of the VAE at most: one a causal convolution
ATTENTION = ("attention", "flash_attn")  # in the names of SDPA's and the attention packages' operators


def recompute_blocks(dit: WanTransformer3DModel, mode: Recompute) -> None:
    """Makes each block of `dit` keep less in training; no number changes.

    ``none`` keeps everything. ``full`` keeps a block's input and runs the block again in the backward: a second
    forward. ``selective`` keeps the results of matrix products and attention too, so that only what is cheap is run
    again: norms, modulation, rotation, GELU.
    """
    if mode == "none":
        return
    contexts = noop_context_fn if mode == "full" else partial(create_selective_checkpoint_contexts, _policy)

    def run(block: nn.Module, *args: Tensor) -> Tensor:
        return checkpoint(block, *args, use_reentrant=False, context_fn=contexts)

    dit.enable_gradient_checkpointing(run)


def recompute_vae(vae: AutoencoderKLWan) -> None:
    """Makes each block of the encoder and the decoder of `vae` keep its inputs alone; no number changes.

    A block's inputs are its frames, and what its convolutions remember of those before. diffusers keeps that memory in
    a list which blocks write to. Here each run of a block writes to a copy, which is put back once.
    """
    for module in vae.modules():
        if isinstance(module, WanResidualBlock | WanResample):
            setattr(module, "forward", partial(_remembering, module.forward))  # noqa: B010  (of this one module)


def _remembering(forward: Callable[..., Tensor], x: Tensor, feat_cache: list, feat_idx: list[int]) -> Tensor:
    start = feat_idx[0]

    def run(x: Tensor, *before: Tensor | str | None) -> tuple[Tensor, list]:
        memory, place = list(before), [0]
        return forward(x, feat_cache=memory, feat_idx=place), memory[: place[0]]

    out, after = checkpoint(run, x, *feat_cache[start : start + MEMORIES], use_reentrant=False)
    feat_idx[0] = start + len(after)
    feat_cache[start : feat_idx[0]] = after
    return out


def _policy(_context, op, *_args, **_kwargs) -> CheckpointPolicy:
    keep = op in MATMULS or any(word in str(op) for word in ATTENTION)
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE
