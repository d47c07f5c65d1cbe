"""Wan's causal 3D convolutions, frame by frame: exact up to the order of rounding.

A frame that comes out is one 2D convolution of the frames that it sees, laid side by side as channels. Frames before
the clip's first are zeros, and their taps are left out: two of three for a first frame. Where the cache holds a single
frame, it is one of three.

Shapes: B batch, C channels, F frames, H W height and width of a layer.
"""

from typing import cast

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from torch import Tensor


class FramewiseConv(WanCausalConv3d):
    """The same weights, names and results as its base."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        x_BCFHW = x
        left, _, top, _, before, _ = cast(tuple[int, ...], self._padding)
        if cache_x is not None and before:
            x_BCFHW, before = torch.cat([cache_x, x], 2), before - cache_x.shape[2]
        taps, stride = self.kernel_size[0], self.stride[0]
        frames = []
        for end in range(taps - before, x_BCFHW.shape[2] + 1, stride):
            start = max(0, end - taps)
            seen = x_BCFHW[:, :, start:end].flatten(1, 2)
            weight = self.weight[:, :, taps - (end - start) :].flatten(1, 2)
            frames.append(F.conv2d(seen, weight, self.bias, self.stride[1:], (top, left)))
        return torch.stack(frames, 2)


def framewise(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """`vae` with every causal convolution computed frame by frame."""
    for module in vae.modules():
        if type(module) is WanCausalConv3d:
            module.__class__ = FramewiseConv  # one method differs; weights, names and saved files do not
    return vae
