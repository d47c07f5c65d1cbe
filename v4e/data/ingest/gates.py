"""The gates that a pair of images must pass before it is trained on. The thresholds are ours."""

import numpy as np
from PIL import Image
from scipy import ndimage

from v4e.config import Ingest

GRID = 64  # cells a side that images are compared in: coarse, so that resampling and noise do not count
SAME_ASPECT = 0.02  # images whose aspects differ by less are two sizes of one frame
EDGES = 256  # longest side, in pixels, at which edges are compared
CHANGED = 0.1  # of 0..1: a pixel that differs by more has changed
FEWEST, MOST = 4, 0.6  # changed pixels, and share of the image: with fewer or with more no border is to be seen
SURE = 0.2  # of -1..1: the least gain of edges that tells the direction
KEPT = {  # the share of an image that an edit of its task leaves alone; style and tone change all of it
    "addition": 0.5,
    "removal": 0.5,
    "replacement": 0.4,
    "background": 0.05,
    "color": 0.5,
    "material": 0.4,
    "text": 0.5,
    "motion": 0.4,
    "portrait": 0.5,
}


def bad_size(width: int, height: int, ingest: Ingest) -> str:
    """Returns the reason why an image of this size cannot be used; empty if it can.

    The reason names no numbers, so that equal reasons can be counted.
    """
    if min(width, height) < ingest.min_side:
        return "a side is below ingest.min_side"
    if max(width, height) > ingest.max_aspect * min(width, height):
        return "longer than ingest.max_aspect"
    return ""


def same_frame(source: Image.Image, edit: Image.Image) -> bool:
    """Returns True if both have one aspect, so that one may be resized to the other's size."""
    ratio = source.width * edit.height / (source.height * edit.width)
    return abs(ratio - 1) <= SAME_ASPECT


def bad_change(source: Image.Image, edit: Image.Image, task: str, ingest: Ingest) -> str:
    """Returns why the change from `source` to `edit`, of one size, does not teach `task`; empty if it does."""
    change = np.sort(cell_changes(source, edit))
    if change[-1] < ingest.min_change:
        return "no visible edit: ingest.min_change"
    if task in KEPT and outside(change, task) > ingest.max_outside:
        return "changed outside the edit: ingest.max_outside"
    if ingest.swapped == "drop" and turned_round(source, edit, task):
        return "source and edit are swapped: ingest.swapped"
    return ""


def outside(change: np.ndarray, task: str) -> float:
    """Returns the mean change, in 0..1, of the cells that an edit of `task` should not change.

    `change` is sorted, rising.
    """
    return float(change[: max(1, int(KEPT[task] * len(change)))].mean())


def cell_changes(source: Image.Image, edit: Image.Image) -> np.ndarray:
    """Returns the mean absolute change of each cell of a coarse grid, in 0..1, as one row."""
    small = [np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX), np.float32) / 255 for image in (source, edit)]
    return np.abs(small[0] - small[1]).mean(-1).ravel()


def edge_gain(source: Image.Image, edit: Image.Image) -> float | None:
    """Returns how much sharper the border of what changed is in the edit than in the source, in -1..1.

    An object has edges where it ends; the ground that was there before has none. None where nothing has a border: too
    little changed, or most of the image.
    """
    images = []
    for image in (source, edit):
        small = image.convert("RGB")
        small.thumbnail((EDGES, EDGES), Image.Resampling.BOX)
        images.append(np.asarray(small, np.float32) / 255)
    changed = np.abs(images[0] - images[1]).max(-1) > CHANGED
    if min(changed.shape) > GRID:
        changed = ndimage.binary_opening(changed)  # without specks of compression
    if changed.sum() < FEWEST or changed.mean() > MOST:
        return None
    ring = ndimage.binary_dilation(changed) & ~np.asarray(ndimage.binary_erosion(changed), bool)
    before, after = (_edges(pixels)[ring].mean() for pixels in images)
    return float((after - before) / max(1e-6, after + before))


def _edges(pixels: np.ndarray) -> np.ndarray:
    slopes = np.stack(np.gradient(pixels, axis=(0, 1)))
    return np.sqrt((slopes**2).sum((0, -1)))


def turned_round(source: Image.Image, edit: Image.Image, task: str) -> bool:
    """Returns True where an addition takes something away, or a removal adds something: source and edit are swapped."""
    sign = {"addition": 1, "removal": -1}.get(task, 0)
    gain = edge_gain(source, edit) if sign else None
    return gain is not None and sign * gain < -SURE
