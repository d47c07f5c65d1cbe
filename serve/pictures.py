"""Bytes of strangers to pictures and back: limits before decoding, nothing of the file but its pixels is kept."""

import io
import warnings
from collections.abc import Callable
from typing import Literal

from PIL import Image, ImageOps

from serve.errors import ApiError, invalid
from v4e.files.images import rgb
from v4e.wan import GRID

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
ASPECT = 8  # at most: beyond it the model's grid would be a line of cells
MIME = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
}


def decode(blob: bytes, param: str, most_pixels: int) -> Image.Image:
    """The first frame of a PNG, JPEG, WebP or GIF as the camera held it, RGB; transparency on white.

    What it is the bytes say, not a name or a declared type. Size is checked before pixels are unpacked.

    Raises:
        ApiError: 400, or 413 of too many pixels.
    """
    return _opened(blob, param, most_pixels, rgb)


def decode_mask(blob: bytes, size: tuple[int, int], most_pixels: int) -> Image.Image:
    """Where to edit, L: 255 where the mask's alpha is 0, as OpenAI has it.

    Raises:
        ApiError: 400, also for a mask without alpha or of another size than the source's.
    """
    where = _opened(blob, "mask", most_pixels, _transparent)
    if where.size != size:
        got, expected = ("{}x{}".format(*s) for s in (where.size, size))
        raise invalid("mask", f"mask: it is {got}: expected the image's size, {expected}.")
    return where


def _transparent(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        raise invalid("mask", "mask: it has no alpha channel: expected a PNG that is transparent where to edit.")
    return ImageOps.invert(image.convert("RGBA").getchannel("A"))


def _opened(blob: bytes, param: str, most_pixels: int, to: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Pixels unpacked, turned as EXIF says and brought `to` what is wanted of them."""
    if not blob:
        raise invalid(param, f"{param}: the file is empty.", "invalid_image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked next
            image = Image.open(io.BytesIO(blob), formats=FORMATS)
            if image.width * image.height > most_pixels:
                got = f"{image.width}x{image.height}"
                message = f"{param}: {got} is more than the {most_pixels} pixels that this server takes: scale it down."
                raise ApiError(413, message, code="image_too_large", param=param)
            if max(image.size) > ASPECT * min(image.size):
                message = (
                    f"{param}: {image.width}x{image.height}: expected an aspect between 1:{ASPECT} and {ASPECT}:1."
                )
                raise invalid(param, message, "unsupported_value")
            image.load()
            return to(ImageOps.exif_transpose(image))
    except ApiError:
        raise
    except Image.DecompressionBombError:
        message = f"{param}: it unpacks to more pixels than this server takes."
        raise ApiError(413, message, code="image_too_large", param=param) from None
    except Exception:  # decoders raise anything on bytes that were made to break them
        message = f"{param}: these bytes are no PNG, JPEG, WebP or GIF that can be read."
        raise invalid(param, message, "invalid_image") from None


def is_clip(mime: str, blob: bytes) -> bool:
    """Of a result that is kept here."""
    return not mime.startswith("image/") or getattr(Image.open(io.BytesIO(blob)), "is_animated", False)


def size_of(text: str, most_pixels: int) -> tuple[int, int] | None:
    """(width, height) of WIDTHxHEIGHT, None of auto.

    Raises:
        ApiError: 400 of sides or an aspect that OpenAI's clients may not ask for either, or of too many pixels.
    """
    if text == "auto":
        return None
    width, height = map(int, text.split("x"))
    if width % GRID or height % GRID:
        raise invalid("size", f"size: {text}: expected sides that are multiples of {GRID}.")
    if max(width, height) > 3 * min(width, height):
        raise invalid("size", f"size: {text}: expected an aspect between 1:3 and 3:1.")
    if width * height > most_pixels:
        raise invalid("size", f"size: {text} is more than {most_pixels} pixels.")
    return width, height


def sized(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """`image`, or its centre of the aspect of `size` brought to it."""
    return image if size is None else ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def composite(edited: Image.Image, source: Image.Image, where: Image.Image | None) -> Image.Image:
    """`edited` where the mask says so and, to the bit, `source` elsewhere."""
    return edited if where is None else Image.composite(edited, source, where)


def encode(image: Image.Image, form: Literal["png", "jpeg", "webp"], compression: int) -> bytes:
    """A file of `image`, whose pixels are all that there is of it."""
    file = io.BytesIO()
    if form == "png":
        image.save(file, "PNG", compress_level=1)
    elif form == "jpeg":
        image.save(file, "JPEG", quality=max(1, compression))
    else:
        image.save(file, "WEBP", lossless=compression == 100, quality=compression, method=2)
    return file.getvalue()
