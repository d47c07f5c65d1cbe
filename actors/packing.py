"""Tensors as arrays that Ray's object store moves without copying.

A bfloat16 tensor as it is takes Ray's slow path, and numpy has no bfloat16: the bits travel as uint16.
"""

import warnings

import numpy as np
import torch
from torch import Tensor


def pack(tensor: Tensor) -> np.ndarray:
    """Any float tensor to bfloat16 bits, uint16 of the same shape."""
    return tensor.to("cpu", torch.bfloat16).contiguous().view(torch.uint16).numpy()


def unpack(bits: np.ndarray) -> Tensor:
    """The bfloat16 tensor of :func:`pack`. It shares the array's memory, which may be read-only: never write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(bits).view(torch.bfloat16)
