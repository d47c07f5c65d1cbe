"""Masks of edits as people draw them: white, or one, where the edit may change pixels."""

import numpy as np
from PIL import Image

from v4e.files.images import open_upright, rgb

SAME_ASPECT = 0.02  # aspects that differ by less are of two sizes of one picture


def same_aspect(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Returns whether pictures of two sizes (width, height) may show one frame; a pixel more or less does not count."""
    (w, h), (v, g) = size, other
    return abs(w * g / (h * v) - 1) <= max(SAME_ASPECT, 1 / min(w, h), 1 / min(v, g))


def read_mask(path: str, size: tuple[int, int]) -> np.ndarray:
    """The mask at `path` at a picture's `size` (width, height): bool (h, w), True where the edit may change pixels.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no picture, or of another aspect, or lies in the alpha channel. Or it is neither black and
            white nor zeros and ones.
    """
    image = open_upright(path)
    if not same_aspect(image.size, size):
        raise ValueError(
            "another aspect: mask {} x {}, source {} x {}: draw it on the source".format(*image.size, *size)
        )
    grey = np.asarray(rgb(image.convert("RGBA").convert("RGB") if image.has_transparency_data else image).convert("L"))
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 128 and not ((alpha > 127) == (grey > 127)).all():
            raise ValueError(
                f"{path}: the mask lies in the alpha channel, which programs read in two ways: save it without one, "
                "white where the edit may change pixels"
            )
    if grey.max() == 1:
        grey = 255 * grey  # zeros and ones
    unsure = float(((grey > 63) & (grey < 192)).mean())
    if unsure > 0.5 or 0 < grey.max() <= 127:
        raise ValueError(
            f"{path}: neither black nor white: a mask is white where the edit may change pixels, black elsewhere, got "
            f"grey levels {grey.min()} to {grey.max()}"
        )
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.NEAREST)) > 127
