"""The precision that a weight of a Wan DiT is kept in."""

import torch

from v4e.compat import kept_in_float32


def dtype_of(name: str, dtype: torch.dtype) -> torch.dtype:
    """`dtype`, but float32 for the weight `name` of a module that diffusers keeps so in every dtype."""
    return torch.float32 if kept_in_float32(name) else dtype
