"""Cross-attention that computes the pad tokens of a text once.

Wan attends to 512 text tokens, of which an edit instruction fills about 20; the others are the same zero vector, so
they all have the same key and value. Attention over n equal keys is attention over one of them with log(n) added to
its logit: exact, at a fraction of the cost.
"""

import math

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor


class FoldedTextProcessor:
    """Drop-in for diffusers' ``WanAttnProcessor`` in cross-attention over ``[image tokens, text tokens]``.

    `text_len` text tokens are given, the last of which stands for `pads` equal ones; set by :func:`set_fold` before
    each forward, because it differs from batch to batch.
    """

    def __init__(self) -> None:
        self.text_len, self.pads = 512, 1

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        image_kv, text = None, encoder_hidden_states
        if attn.add_k_proj is not None and attn.add_v_proj is not None:
            split = encoder_hidden_states.shape[1] - self.text_len
            image, text = encoder_hidden_states[:, :split], encoder_hidden_states[:, split:]
            image_kv = attn.norm_added_k(attn.add_k_proj(image)), attn.add_v_proj(image)
        heads = (attn.heads, -1)
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, heads)
        key = attn.norm_k(attn.to_k(text)).unflatten(2, heads)
        value = attn.to_v(text).unflatten(2, heads)
        bias = torch.zeros(text.shape[1], dtype=query.dtype, device=query.device)
        bias[-1] = math.log(self.pads)
        out = dispatch_attention_fn(query, key, value, attn_mask=bias.expand(1, 1, query.shape[1], -1)).flatten(2, 3)
        if image_kv is not None:
            key, value = (states.unflatten(2, heads) for states in image_kv)
            out = out + dispatch_attention_fn(query, key, value).flatten(2, 3)
        return attn.to_out[1](attn.to_out[0](out.type_as(query)))


def fold_pads(dit) -> None:
    """Give every cross-attention of `dit` the folding processor."""
    for block in dit.blocks:
        block.attn2.set_processor(FoldedTextProcessor())


def set_fold(dit, text_len: int, pads: int) -> None:
    """Tell the folding processors what the next forward's text looks like; nothing to do for the stock ones."""
    for block in dit.blocks:
        if isinstance(block.attn2.processor, FoldedTextProcessor):
            block.attn2.processor.text_len, block.attn2.processor.pads = text_len, pads


def folds(dit) -> bool:
    return isinstance(dit.blocks[0].attn2.processor, FoldedTextProcessor)
