"""A target as one contiguous tensor of bits, in the precision of teacher.payload.

bf16: the bits as uint16, (K, B, N, D); numpy, in which the object store keeps it, has no bfloat16.
fp8: uint8, (K, B, N, D + 4): a token's D values as e4m3, then its float32 scale, amax / 448. Each token has a scale,
because the magnitudes of a Wan block's tokens are far apart. The dtype of the bits tells the two formats apart.

Shape letters: K taps, B batch, N DiT tokens, D width.
"""

import torch
from torch import Tensor

from v4e.wire import SCALE, Payload

E4M3 = torch.float8_e4m3fn
E4M3_MAX = torch.finfo(E4M3).max  # 448


def pack(h_KBND: Tensor, payload: Payload = "bf16") -> Tensor:
    """Converts any float tensor to its bits, on the same device; see the head of this file for their layout.

    bf16 carries infinities and NaN as they are.

    Raises:
        ValueError: a value is not finite, for which fp8 has no scale.
    """
    if payload == "bf16":
        return h_KBND.to(torch.bfloat16).contiguous().view(torch.uint16)
    h_KBND = h_KBND.float()
    amax_KBN1 = h_KBND.abs().amax(-1, keepdim=True)
    if not amax_KBN1.isfinite().all():
        tap, sample, token, _ = (~amax_KBN1.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"teacher.payload=fp8: the teacher's hidden state of tap {tap}, sample {sample}, token {token} (counted "
            "from 0) is not finite, so it has no scale; see why the teacher overflows: try models.dtype=float32"
        )
    # A token of zeros would have scale 0, and one of subnormal values a scale that is too coarse to divide by.
    scale_KBN1 = (amax_KBN1 / E4M3_MAX).clamp(min=torch.finfo(torch.float32).tiny)
    values_KBND = (h_KBND / scale_KBN1).to(E4M3)
    return torch.cat([values_KBND.view(torch.uint8), scale_KBN1.view(torch.uint8)], -1)


def unpack(bits: Tensor) -> Tensor:
    """The bfloat16 ``h_KBND`` of :func:`pack`.

    From bf16 it shares the memory of `bits`, which may be read-only: never write to it. From fp8 it is new memory.
    """
    if bits.dtype == torch.uint16:
        return bits.view(torch.bfloat16)
    values_KBND = bits[..., :-SCALE].view(E4M3)
    # A copy, because a float32 has to begin at a multiple of 4 bytes.
    scale_KBN1 = bits[..., -SCALE:].clone(memory_format=torch.contiguous_format).view(torch.float32)
    # Tap by tap, because the float32 product is twice as large as the result.
    taps = [(values.float() * scale).bfloat16() for values, scale in zip(values_KBND, scale_KBN1, strict=True)]
    return torch.stack(taps)
