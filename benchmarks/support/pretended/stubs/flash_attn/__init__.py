"""A stand-in for flash-attn 2.8.3: its signature and its demands on inputs, over torch's own flash operator.

Shape letters: B batch, N tokens, A heads, E width of a head.
"""

import torch
from torch import Tensor

__version__ = "2.8.3"
SEEN: set[tuple[int, int]] = set()  # tokens of queries and of keys, of every call


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Tensor:
    """Attention of (B, N, A, E)."""
    if not (q.dtype == k.dtype == v.dtype and q.dtype in (torch.bfloat16, torch.float16)):
        raise RuntimeError(f"FlashAttention only support fp16 and bf16 data type, got {q.dtype}, {k.dtype}, {v.dtype}")
    if not q.device.type == k.device.type == v.device.type == "cuda":
        raise RuntimeError(f"FlashAttention only supports CUDA, got {q.device}, {k.device}, {v.device}")
    if not q.stride(-1) == k.stride(-1) == v.stride(-1) == 1:
        raise RuntimeError("Input tensor must have contiguous last dimension")
    SEEN.add((q.shape[1], k.shape[1]))
    heads_first = (t.transpose(1, 2) for t in (q, k, v))
    out, *_ = torch.ops.aten._scaled_dot_product_flash_attention(*heads_first, dropout_p, causal, scale=softmax_scale)
    return out.transpose(1, 2)


def flash_attn_varlen_func(*_arguments: object, **_options: object) -> None:
    raise NotImplementedError
