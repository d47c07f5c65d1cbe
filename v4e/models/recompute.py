"""Activation checkpointing: what a DiT's blocks keep of a forward for the backward, applied from outside.

Shape letters: none; this file moves activations, whatever their shapes.
"""

from functools import partial
from typing import Literal

import torch
from diffusers import WanTransformer3DModel
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


def _policy(_context, op, *_args, **_kwargs) -> CheckpointPolicy:
    keep = op in MATMULS or any(word in str(op) for word in ATTENTION)
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE
