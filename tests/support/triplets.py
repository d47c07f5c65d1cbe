"""Triplets for tests of data: small images, and bytes of all kinds."""

import io

import numpy as np
from PIL import Image

from v4e.types import EditTriplet


def image(number: int, width: int = 32, height: int = 32) -> Image.Image:
    """Noise of its own for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def triplet(number: int, task: str = "color") -> EditTriplet:
    return EditTriplet(
        id=f"t/{number:03d}",  # a slash: ids of corpora are no file names
        instruction=f"make the circle color {number}",
        source=image(2 * number),
        edit=image(2 * number + 1),
        task=task,
    )


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()
