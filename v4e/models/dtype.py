"""The precision that a weight of a Wan DiT is kept in."""

import torch
from diffusers import WanTransformer3DModel


def dtype_of(name: str, dtype: torch.dtype) -> torch.dtype:
    """`dtype`, but float32 for the weight `name` of a module that diffusers keeps so in every dtype."""
    exact = set(WanTransformer3DModel._keep_in_fp32_modules)
    return torch.float32 if exact & set(name.split(".")) else dtype
