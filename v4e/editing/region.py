"""The region of an edit: where its picture differs from the source by more than the VAE's own error.

Pictures are uint8 RGB (h, w, 3) of the model's size; a core is bool (h, w), True where the edit changed something.
A mask is uint8 (H, W) of the source's size: 255 is the edit, 0 the source to the bit, between them is the rim.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from v4e.files.images import restore

ERRORS = 1.5  # mean errors of the VAE on this source that a change must exceed (ours, chosen on the validation split)
LEAST, MOST = 8.0, 32.0  # of 255: what no eye sees is no change, and what every eye sees is one, whatever the VAE
SURE = 1.5  # a part must reach this many thresholds somewhere: what stays just above one is noise
SPECK = 3  # pixels of the model's size: smaller parts are noise
WHOLE = 0.5  # share of a picture from which an edit is global: style, tone, background
RIM = 1 / 128  # of the longer side, at least a pixel: the width of the blend around the core
EVERY_SIDE = np.ones((3, 3), bool)  # pixels that touch by a corner are one part


def changed(edit: np.ndarray, still: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Returns the core of an edit.

    `still` is the VAE's reconstruction of `source`, what the edit would be if nothing changed. Edit and `still` are
    compared, since both have the VAE's error; its size on this source sets the threshold. Where the edit is as near to
    the source itself, the source's pixels show it as well: nothing changed there.
    """
    limit = np.clip(ERRORS * _distance(still, source).mean(), LEAST, MOST)
    change = np.minimum(_distance(edit, still), _distance(edit, source))
    parts, count = ndimage.label(change > limit, EVERY_SIDE)  # pyright: ignore[reportGeneralTypeIssues]
    numbers = np.arange(1, count + 1)
    peak = ndimage.maximum(change, parts, numbers)
    area = ndimage.sum_labels(np.ones_like(change), parts, numbers)
    kept = numbers[(np.asarray(peak) >= SURE * limit) & (np.asarray(area) >= SPECK)]
    return np.asarray(ndimage.binary_fill_holes(np.isin(parts, kept)))


def is_whole(core: np.ndarray) -> bool:
    """Returns True if the edit is global: it changes so much that nothing is left to be kept."""
    return bool(core.mean() > WHOLE)


def mask_of(core: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the mask of a core at `size` (width, height): 255 in the core, falling to 0 over the rim around it.

    A global edit's mask is 255 everywhere.
    """
    width, height = size
    if is_whole(core):
        return np.full((height, width), 255, np.uint8)
    image = Image.fromarray(core.astype(np.uint8) * 255)
    large = np.asarray(image.resize(size, Image.Resampling.BILINEAR)) >= 128 if image.size != size else core
    mask = np.zeros((height, width), np.uint8)
    if not large.any():
        return mask
    rim = max(1, round(max(size) * RIM))
    rows, columns = ndimage.find_objects(large.astype(np.uint8))[0]
    box = tuple(slice(max(0, side.start - rim), side.stop + rim) for side in (rows, columns))
    away = np.asarray(ndimage.distance_transform_edt(~large[box]))
    mask[box] = (255 * np.clip(1 - away / (rim + 1), 0, 1)).astype(np.uint8)
    return mask


def at_strength(clip: list[Image.Image], source: Image.Image, strength: float) -> Image.Image:
    """Returns the state of an evolution at `strength` in [0, 1], of the source's size.

    0 is the source itself and 1 the last of the P frames. Between two frames they are cross-faded.
    """
    before, *after = frames_at(len(clip), strength)
    first = source if before == 0 else restore(clip[before], source)
    return Image.blend(first, restore(clip[after[0]], source), strength * (len(clip) - 1) - before) if after else first


def frames_at(count: int, strength: float) -> tuple[int, ...]:
    """Returns the one or two of `count` frames that the state at `strength` is made of."""
    at = strength * (count - 1)
    return (int(at),) if at == int(at) else (int(at), int(at) + 1)


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The root mean square over the channels, (h, w)."""
    return np.sqrt(((a.astype(np.float32) - b) ** 2).mean(-1))
