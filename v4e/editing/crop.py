"""Crop, edit, stitch: the model sees the part around a mask at its own resolution, and the rest stays as it is.

A box is (left, top, right, bottom) in pixels of the source. A mask is of mode L and of the source's size.
"""

from collections.abc import Callable
from dataclasses import replace

from PIL import Image
from torch import Tensor

from v4e.editing.editor import Editor
from v4e.editing.finish import Edit
from v4e.editing.settings import EditSettings
from v4e.files.images import grid_size, rgb

AROUND = 0.5  # of the region's sides that the model sees on each side of it: half of a crop is context
THINNEST = 3  # times as long as wide a crop may be, for the model's sake

Box = tuple[int, int, int, int]


def edit_crop(
    editor: Editor,
    image: Image.Image,
    instruction: str,
    seed: int,
    settings: EditSettings,
    *,
    mask: Image.Image | None = None,
    negative: str | None = None,
    lora: str | None = None,
    on_step: Callable[[int, Tensor], bool | None] | None = None,
) -> Edit:
    """Edits the part of `image` around `mask`, or around what a first edit of the whole changed.

    The clip shows that part. The picture is the source's to the bit outside of the mask or region. If the first edit
    changed nothing, or is global, it is the result. `on_step` sees the steps of both.
    """

    def edited(part: Image.Image, settings: EditSettings, within: Image.Image | None, first: int) -> Edit:
        step = None if on_step is None else lambda at, x0_hat, told=on_step: told(first + at, x0_hat)
        negatives, masks = None if negative is None else [negative], None if within is None else [within]
        lists = [part], [instruction], [seed]
        [edit] = editor.edit(*lists, settings, negatives=negatives, lora=lora, masks=masks, on_step=step)
        return edit

    image, first = rgb(image), 0
    if mask is None:
        whole = edited(image, replace(settings, preserve="auto", hold=False), None, 0)
        assert whole.region is not None
        if whole.region.getextrema() in ((0, 0), (255, 255)):
            return whole
        mask, first = whole.region, settings.steps
    height, width = editor.sides([image], settings)
    box = crop_box(mask, height * width)
    part = image.crop(box)
    height, width = grid_size(part.width, part.height, height * width)
    inner = edited(part, replace(settings, height=height, width=width), mask.crop(box), first)
    assert inner.region is not None  # it has a mask
    stitched, region = image.copy(), Image.new("L", image.size)
    stitched.paste(inner.image, box)
    region.paste(inner.region, box)
    return replace(inner, image=stitched, region=region)


def crop_box(mask: Image.Image, pixels: int) -> Box:
    """Returns the box around a mask, with context, of at least `pixels` if the picture has as many.

    A smaller crop would be enlarged for the model, which adds no detail and takes context away.

    Raises:
        ValueError: the mask is 0 everywhere.
    """
    inner = mask.getbbox()
    if inner is None:
        raise ValueError("the mask is empty: expected a part of the picture to edit, 255 there")
    sides = [high - low for low, high in zip(inner[:2], inner[2:], strict=True)]
    wanted = [side * (1 + 2 * AROUND) for side in sides]
    grow = max(1.0, (pixels / (wanted[0] * wanted[1])) ** 0.5)
    wanted = [min(side * grow, limit) for side, limit in zip(wanted, mask.size, strict=True)]
    # What the picture's end takes from one side is given to the other, and no side is too short for its length.
    wide = min(mask.width, max(wanted[0], pixels / wanted[1], wanted[1] / THINNEST))
    tall = max(wanted[1], pixels / wide, wide / THINNEST)
    left, right = _span(inner[0], inner[2], round(wide), mask.width)
    top, bottom = _span(inner[1], inner[3], round(tall), mask.height)
    return left, top, right, bottom


def _span(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """Returns `length` pixels around those from `low` to `high`, moved into the picture, or all of it."""
    length = min(max(length, high - low), limit)
    start = min(max(0, (low + high - length) // 2), limit - length)
    return start, start + length
