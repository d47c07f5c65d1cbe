"""Wan's cross-attention without its repeated work: exact up to the order of rounding.

Wan attends to 512 text tokens, of which an edit instruction fills about 20. The others are the same zero vector, so
they all have the same key and value. Attention over n equal keys is attention over one of them with log(n) added to
its logit. Keys and values depend on text and image alone: the steps of an edit can share them (models/reuse.py).
"""

import math
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_wan import WanAttention
from torch import Tensor

from v4e.wan import TEXT_LEN

KeyValue = tuple[Tensor, Tensor]


class CrossAttention:
    """Drop-in for diffusers' ``WanAttnProcessor`` in cross-attention over ``[image tokens, text tokens]``.

    `text_len` text tokens are given, the last of which stands for `pads` equal ones; set by :func:`set_fold` before
    each forward, because it differs from batch to batch. With `kept` keys and values are looked up there first: the
    image's, and those of the texts called `branch`.
    """

    _attention_backend: Any = None  # diffusers' set_attention_backend writes here

    def __init__(self, *, fold: bool) -> None:
        self.fold, self.text_len, self.pads = fold, TEXT_LEN, 1
        self.kept: dict[str, KeyValue] | None = None
        self.branch = ""

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        heads, backend = (attn.heads, -1), self._attention_backend
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, heads)
        image, text = self._keys_values(attn, encoder_hidden_states)
        key, value = (states.unflatten(2, heads) for states in text)
        bias = None
        if self.pads > 1:
            bias = torch.zeros(key.shape[1], dtype=query.dtype, device=query.device)
            bias[-1] = math.log(self.pads)
            bias = bias.expand(1, 1, query.shape[1], -1)
        out = dispatch_attention_fn(query, key, value, attn_mask=bias, backend=backend).flatten(2, 3)
        if image is not None:
            key, value = (states.unflatten(2, heads) for states in image)
            out = out + dispatch_attention_fn(query, key, value, backend=backend).flatten(2, 3)
        return attn.to_out[1](attn.to_out[0](out.type_as(query)))

    def _keys_values(self, attn: WanAttention, context: Tensor) -> tuple[KeyValue | None, KeyValue]:
        """Returns keys and values of the image, if the model sees one, and of the text."""
        kept = self.kept
        split = context.shape[1] - self.text_len if attn.add_k_proj is not None else 0
        image = None
        if attn.add_k_proj is not None and attn.add_v_proj is not None:
            if kept is not None and "image" in kept:
                image = kept["image"]
            else:
                states = context[:, :split]
                image = attn.norm_added_k(attn.add_k_proj(states)), attn.add_v_proj(states)
        if kept is not None and self.branch in kept:
            text = kept[self.branch]
        else:
            states = context[:, split:]
            text = attn.norm_k(attn.to_k(states)), attn.to_v(states)
        if kept is not None:
            kept[self.branch] = text
            if image is not None:
                kept["image"] = image
        return image, text


def blocks(dit: WanTransformer3DModel) -> list[Any]:
    """The blocks of `dit`. Untyped, since diffusers lists its own processors and takes any."""
    return list(dit.blocks)


def fold_pads(dit: WanTransformer3DModel) -> None:
    """Lets every cross-attention of `dit` compute the pad tokens of a text once."""
    for block in blocks(dit):
        block.attn2.set_processor(CrossAttention(fold=True))


def set_fold(dit: WanTransformer3DModel, text_len: int, pads: int) -> None:
    """Tells the cross-attentions what the next forward's text looks like; nothing to do for the stock ones."""
    for block in blocks(dit):
        if isinstance(block.attn2.processor, CrossAttention):
            block.attn2.processor.text_len, block.attn2.processor.pads = text_len, pads


def folds(dit: WanTransformer3DModel) -> bool:
    processor = blocks(dit)[0].attn2.processor
    return isinstance(processor, CrossAttention) and processor.fold
