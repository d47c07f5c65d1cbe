"""Edits as files of pixels alone, in the formats that the server and the command line offer."""

import io
from typing import Literal

from PIL import Image

Form = Literal["png", "jpeg", "webp"]
LONGEST = {"webp": 16_383, "jpeg": 65_500}  # pixels a side that files of a format can have


def check_holds(form: str, width: int, height: int, name: str) -> None:
    """Refuses a size that files of the format `form` cannot have; `name` is the setting that chose the format.

    Raises:
        ValueError: it names the longest side and a format that can.
    """
    most = LONGEST.get(form, max(width, height))
    if max(width, height) > most:
        raise ValueError(f"{name}: {form} holds at most {most} pixels a side, this is {width}x{height}: choose png")


def encode(image: Image.Image, form: Form, quality: int = 100) -> bytes:
    """`image` as a file without any metadata. `quality` is of jpeg and webp, in percent; webp at 100 is lossless."""
    file = io.BytesIO()
    if form == "png":
        image.save(file, "PNG", compress_level=1)
    elif form == "jpeg":
        # Above 90, colours keep the resolution of the grey values.
        image.save(file, "JPEG", quality=max(1, quality), subsampling=0 if quality > 90 else 2)
    else:
        image.save(file, "WEBP", lossless=quality == 100, quality=quality, method=2)
    return file.getvalue()
