"""A picture of World 2 for people: the source of an edit, its middle, and all valid outcomes with their prior."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from v4e.tiny.world2 import Record

ZOOM = 3
HEAD, FOOT, GAP = 15, 13, 6  # pixels above a row, below a picture, between pictures
SHOWN = "#c2410c"


def sheet(records: Sequence[Record]) -> Image.Image:
    """Draws a row an edit: instruction, source, the middle of its clip, outcomes; the shown one has a frame."""
    side = records[0].source.shape[0] * ZOOM
    columns = 2 + max(len(record.prior) for record in records)
    width, height = columns * (side + GAP) + 2 * GAP, len(records) * (HEAD + side + FOOT + GAP)
    page = Image.new("RGB", (width, height), "white")
    for row, record in enumerate(records):
        _row(page, record, row * (HEAD + side + FOOT + GAP), side)
    return page


def _row(page: Image.Image, record: Record, top: int, side: int) -> None:
    pen = ImageDraw.Draw(page)
    pen.text((2, top + 1), f"{record.task}: {record.instruction}", fill="black")
    pictures = [record.source, record.frames[len(record.frames) // 2 - 1], *record.outcomes]
    names = ["source", "on the way", *(f"{prior:.0%}" for prior in record.prior)]
    for column, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left, upper = column * (side + GAP) + (2 * GAP if column > 1 else 0) + 2, top + HEAD
        page.paste(_enlarged(picture, side), (left, upper))
        if column == 2 + record.shown:
            pen.rectangle((left - 2, upper - 2, left + side + 1, upper + side + 1), outline=SHOWN, width=2)
        pen.text((left, upper + side + 1), name, fill="gray")


def _enlarged(picture: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
