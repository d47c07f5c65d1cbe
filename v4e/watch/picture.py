"""The picture of a strip: a row a sample, a column a model, with their names."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 96  # pixels that a small image is enlarged to, at least, without smoothing
WIDEST = 192  # that a large one is brought down to
GAP, MARGIN, LINE = 4, 84, 18  # between cells; left of them, for the task; above them, for the models
GREY = (136, 136, 136, 255)  # to be read on light and on dark ground


def rows(columns: Mapping[str, Sequence[np.ndarray]], labels: Sequence[str], group: int = 1) -> Image.Image:
    """The page on transparent ground, its rows in two blocks side by side where there are many.

    Args:
        columns: name to N images, uint8 RGB (h, w, 3), all of one size.
        labels: one a row.
        group: rows that stay in one block.
    """
    cell_width, cell_height = cell_size(next(iter(columns.values()))[0].shape)
    per_block = len(labels) if len(labels) <= 6 else -(-len(labels) // (2 * group)) * group
    blocks = -(-len(labels) // per_block)
    width = MARGIN + len(columns) * (cell_width + GAP)
    page = Image.new("RGBA", (blocks * width, LINE + per_block * (cell_height + GAP)), (0, 0, 0, 0))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for block in range(blocks):
        for at, name in enumerate(columns):
            x = block * width + MARGIN + at * (cell_width + GAP) + cell_width // 2
            draw.text((x, LINE // 2), name, GREY, font, anchor="mm")
    for row, label in enumerate(labels):
        x, y = row // per_block * width, LINE + row % per_block * (cell_height + GAP)
        draw.text((x + MARGIN - 8, y + cell_height // 2), label, GREY, font, anchor="rm")
        for at, images in enumerate(columns.values()):
            smaller = cell_width < images[row].shape[1]
            how = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
            cell = Image.fromarray(images[row]).resize((cell_width, cell_height), how)
            page.paste(cell, (x + MARGIN + at * (cell_width + GAP), y))
    return page


def cell_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of a cell for images of `shape` (h, w, 3): a whole multiple of small ones."""
    height, width = shape[:2]
    if width > WIDEST:
        return WIDEST, round(height * WIDEST / width)
    zoom = max(1, round(CELL / width))
    return width * zoom, height * zoom
