"""The gates that a pair of images must pass before it is trained on. The thresholds are ours."""

import numpy as np
from PIL import Image

from v4e.config import Ingest

GRID = 64  # cells a side that images are compared in: coarse, so that resampling and noise do not count
SAME_ASPECT = 0.02  # images whose aspects differ by less are two sizes of one frame
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
