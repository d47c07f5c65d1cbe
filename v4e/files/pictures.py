"""Images put together, and as bytes or data URIs for a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

ZOOM = 3  # an image of the tiny world is enlarged by
QUALITY = 85  # of WebP, in percent
CLEAR = (0, 0, 0, 0)
HEAD = 14  # pixels above a named image, for its name


def strip(frames: Sequence[np.ndarray], gap: int = 2, zoom: int = ZOOM) -> Image.Image:
    """Returns images side by side on transparent ground, enlarged without smoothing; each is uint8 RGB (h, w, 3)."""
    page = beside([Image.fromarray(frame) for frame in frames], gap)
    return page.resize((page.width * zoom, page.height * zoom), Image.Resampling.NEAREST)


def beside(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Returns images side by side, tops aligned, on transparent ground."""
    width = sum(i.width + gap for i in images) - gap
    page, x = Image.new("RGBA", (width, max(i.height for i in images)), CLEAR), 0
    for image in images:
        page.paste(image, (x, 0))
        x += image.width + gap
    return page


def stack(rows: Sequence[Image.Image], gap: int = 6) -> Image.Image:
    """Returns strips below each other, left sides aligned, on transparent ground."""
    height = sum(row.height + gap for row in rows) - gap
    page, y = Image.new("RGBA", (max(row.width for row in rows), height), CLEAR), 0
    for row in rows:
        page.paste(row, (0, y))
        y += row.height + gap
    return page


def named_strip(images: Sequence[Image.Image], names: Sequence[str]) -> Image.Image:
    """Returns images side by side on white at the height of the largest, each below its name."""
    height = max(image.height for image in images)
    cells = [image.resize((max(1, image.width * height // image.height), height)) for image in images]
    page = Image.new("RGB", (sum(cell.width for cell in cells) + 4 * (len(cells) - 1), height + HEAD), "white")
    draw, left = ImageDraw.Draw(page), 0
    for cell, name in zip(cells, names, strict=True):
        draw.text((left + 2, 1), name, fill="black")
        page.paste(cell, (left, HEAD))
        left += cell.width + 4
    return page


def encoded(image: Image.Image, form: str, **options: int) -> bytes:
    """Returns an image in a file format of Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, form.upper(), **options)
    return buffer.getvalue()


def png(image: Image.Image, *, optimize: bool = False) -> bytes:
    """Returns an image as PNG, the same bytes for the same pixels."""
    return encoded(image, "PNG", optimize=optimize)


def webp(image: Image.Image) -> bytes:
    """Returns an image as WebP, compressed with loss."""
    return encoded(image, "WEBP", quality=QUALITY)


def data_uri(data: bytes, kind: str) -> str:
    """Returns the bytes of an image file as a data URI; `kind` is its media type after ``image/``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
