"""The latents that a mask holds.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width. A mask is a picture of mode L and of
its source's size: 255 where to edit, 0 where nothing may change.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from v4e.method.sampler import Held


def held(z_BCFHW: Tensor, masks: Sequence[Image.Image]) -> Held:
    """Returns what the masks hold of the sources' latents: each cell without any part of a pixel to edit."""
    pixels = [torch.from_numpy(np.asarray(mask, np.float32))[None] for mask in masks]
    free = torch.stack([adaptive_max_pool2d(pixels_1hw, z_BCFHW.shape[-2:]) > 0 for pixels_1hw in pixels])
    return Held(z_BCFHW=z_BCFHW.float(), free_B11HW=free[:, None].to(z_BCFHW.device))
