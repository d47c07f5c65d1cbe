"""PIE-Bench's figures, as cure-lab/PnPInversion's evaluation/ computes them.

Images are uint8 RGB (h, w, 3) of one size; a mask is bool (h, w) and True where the edit may change pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from transformers import ViTModel

from v4e.evaluation.metrics.preservation import Lpips, psnr, to_tensor
from v4e.evaluation.metrics.reference import Encoders, cosine, loading

SIDE = 512  # of its images
DINO_SIDE = 224  # they are resized to
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's

Structure = Callable[[np.ndarray], Tensor]  # an image to its self-similarity (N, N), of N tokens


def pie_mask(encoded: Sequence[int], side: int = SIDE) -> np.ndarray:
    """PIE-Bench's run-length code [start, length, ...] as a mask; the border counts as edited, as officially."""
    flat = np.zeros(side * side, bool)
    for start, length in zip(encoded[::2], encoded[1::2], strict=True):
        flat[start : start + length] = True
    mask = flat.reshape(side, side)
    mask[[0, -1], :] = mask[:, [0, -1]] = True
    return mask


def background(
    source: np.ndarray, edit: np.ndarray, mask: np.ndarray, lpips: Lpips | None = None
) -> dict[str, float] | None:
    """``{"psnr", "mse", "ssim"}`` and, with `lpips`, ``"lpips"``, of both images times (1 - mask), then means over
    *all* pixels; None where the mask covers all. The black that both share lifts PSNR and SSIM: compare them with
    PIE-Bench's tables alone.
    """
    if mask.all():
        return None
    a, b = (to_tensor(image * ~mask[..., None]) for image in (source, edit))
    mse = float(((a - b) ** 2).mean())
    ssim = structural_similarity_index_measure(b, a, data_range=1.0)
    found = {"psnr": psnr(mse), "mse": mse, "ssim": float(ssim)}  # type: ignore[arg-type]
    return found if lpips is None else found | {"lpips": float(lpips(b * 2 - 1, a * 2 - 1))}


def load_structure(folder: str) -> Structure:
    """Self-similarity by a DINO ViT in transformers' layout; officially ViT-B/8.

    Cosines between the keys, all heads together, of all tokens in the last block. The official code normalises values
    of 0 to 255 as if they were of 0 to 1, and resizes without antialiasing: both are followed, so that figures compare.

    Raises:
        FileNotFoundError: the folder is not there.
    """
    with loading("pie_dino", folder):
        vit = ViTModel.from_pretrained(folder, add_pooling_layer=False)
    keys: list[Tensor] = []
    cast(Any, vit.layers[-1]).attention.k_proj.register_forward_hook(
        lambda module, inputs, output: keys.append(output[0])
    )

    @torch.no_grad()
    def similarity(image: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
        pixels = torch.nn.functional.interpolate(pixels, (DINO_SIDE, DINO_SIDE), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values)[None, :, None, None] for values in (MEAN, STD))
        vit((pixels - mean) / std, interpolate_pos_encoding=True)
        unit = torch.nn.functional.normalize(keys.pop(), dim=1)
        return unit @ unit.T

    return similarity


def structure_distance(source: np.ndarray, edit: np.ndarray, structure: Structure) -> float:
    """Mean squared difference of the self-similarities of two whole images."""
    return float(torch.nn.functional.mse_loss(structure(edit), structure(source)))


def clip_similarity(
    source: np.ndarray,
    edit: np.ndarray,
    mask: np.ndarray,
    source_caption: str,
    target_caption: str,
    encoders: Encoders,
) -> dict[str, float]:
    """Returns 100 times the cosine of image and caption, at least 0, of the source, the edit and its masked part.

    The source is compared with its own caption, the others with the target's. Outside the masked part pixels are
    black. The result is empty without CLIP (officially ViT-L/14).
    """
    clip_image, clip_text = encoders.clip_image, encoders.clip_text
    if clip_image is None or clip_text is None:
        return {}
    asked = {
        "clip_source": (source, source_caption),
        "clip_target": (edit, target_caption),
        "clip_target_part": (edit * mask[..., None], target_caption),
    }
    return {
        name: max(0.0, 100 * cosine(clip_image(Image.fromarray(image)), clip_text(caption)))
        for name, (image, caption) in asked.items()
    }
