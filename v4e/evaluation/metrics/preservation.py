"""Metrics of the part that an edit should not change: PSNR, SSIM and MSE outside the edit, LPIPS, sharpness.

Images are uint8 RGB (h, w, 3) of one size; a mask is bool (h, w) and True where the edit may change pixels.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

THRESHOLD = 12  # of 255: a larger difference to the ground truth is an edit, not compression (ours)
DILATE = 0.01  # of the longer side: what an edit may touch around it (ours)
BACKBONES = {"squeeze": "squeezenet1_1-b8a52dc0.pth", "alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
Lpips = Callable[[Tensor, Tensor], Tensor]  # images (1, 3, h, w) in [-1, 1]


def derived_mask(
    source: np.ndarray, truth: np.ndarray, threshold: int = THRESHOLD, dilate: float = DILATE
) -> np.ndarray:
    """Returns where a ground truth, or the teacher's edit, differs from the source; grown by `dilate` of the longer
    side.

    Never derive it from the edit that is to be scored: what that changes by mistake would count as the edit.
    """
    changed = np.abs(source.astype(np.int16) - truth).max(-1) > threshold
    steps = round(dilate * max(changed.shape))
    return ndimage.binary_dilation(changed, iterations=steps) if steps and changed.any() else changed


def outside(source: np.ndarray, edit: np.ndarray, mask: np.ndarray) -> dict[str, float] | None:
    """``{"psnr", "mse", "ssim"}`` over the pixels outside the mask alone; None where it covers all.

    PSNR is of values in [0, 1] and 100 for equal pixels. SSIM is the mean of its map outside the mask, whose windows
    see up to 5 pixels of the edit.
    """
    if mask.all():
        return None
    a, b = to_tensor(source), to_tensor(edit)
    keep = torch.from_numpy(~mask)
    mse = float(((a - b) ** 2)[0][:, keep].mean())
    _, map_BCHW = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)  # type: ignore[misc]
    return {"psnr": psnr(mse), "mse": mse, "ssim": float(map_BCHW[0][:, keep].mean())}


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian of the grey values in [0, 255]: what blurred frames lack."""
    grey = image.astype(float) @ (0.299, 0.587, 0.114)
    return float(ndimage.laplace(grey, mode="nearest").var())


def load_lpips(folder: str, net: str = "squeeze") -> Lpips:
    """LPIPS of torchmetrics over a backbone of torchvision, whose weights lie in ``{folder}/checkpoints``.

    Raises:
        FileNotFoundError: the weights, or torchvision, are not there.
    """
    file = Path(folder) / "checkpoints" / BACKBONES[net]
    if not folder or not file.is_file():
        raise FileNotFoundError(
            f"bench.lpips={folder}: no checkpoints/{BACKBONES[net]}; expected a folder as torch.hub keeps it, with "
            "torchvision's ImageNet weights, or leave bench.lpips empty to go without LPIPS"
        )
    before = torch.hub.get_dir()
    torch.hub.set_dir(folder)  # where torchvision looks before it would download
    try:
        return LearnedPerceptualImagePatchSimilarity(net_type=net).eval()  # type: ignore[arg-type]
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            "bench.lpips needs torchvision: pip install torchvision, of torch's own build"
        ) from error
    finally:
        torch.hub.set_dir(before)


def to_tensor(image: np.ndarray) -> Tensor:
    """(1, 3, h, w) in [0, 1]."""
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]


def psnr(mse: float) -> float:
    return float(10 * np.log10(1 / mse)) if mse else 100.0
