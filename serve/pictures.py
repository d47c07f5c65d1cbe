"""The conversion of untrusted bytes to pictures and back: limits apply before decoding, and only pixels are kept."""

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
    """Decodes the first frame of a PNG, JPEG, WebP or GIF to RGB, turned upright, with transparency on white.

    The bytes decide the format, not a name or a declared type. The size is checked before pixels are unpacked.

    Raises:
        ApiError: 400, or 413 for too many pixels.
    """
    return _opened(blob, param, most_pixels, rgb)


def decode_mask(blob: bytes, size: tuple[int, int], most_pixels: int) -> Image.Image:
    """Decodes a mask to L: 255, to be edited, where its alpha is 0, as in OpenAI's API.

    Raises:
        ApiError: 400, also for a mask without alpha or of another size than the source.
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
    """Unpacks the pixels, turns them as EXIF says and converts them by `to`."""
    if not blob:
        raise invalid(param, f"{param}: the file is empty.", "invalid_image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes, which are checked next
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
    except Exception:  # decoders raise any error on hostile bytes
        message = f"{param}: these bytes are no PNG, JPEG, WebP or GIF that can be read."
        raise invalid(param, message, "invalid_image") from None


def is_clip(mime: str, blob: bytes) -> bool:
    """Returns True if a stored result is a clip."""
    return not mime.startswith("image/") or getattr(Image.open(io.BytesIO(blob)), "is_animated", False)


def size_of(text: str, most_pixels: int) -> tuple[int, int] | None:
    """Parses WIDTHxHEIGHT as (width, height), and auto as None.

    Raises:
        ApiError: 400 for sides or an aspect outside OpenAI's limits, or for too many pixels.
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
    """Returns `image`, or its center, cropped to the aspect of `size` and resized to it."""
    return image if size is None else ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def composite(edited: Image.Image, source: Image.Image, where: Image.Image | None) -> Image.Image:
    """Returns `edited` inside the mask and `source`, equal to the bit, elsewhere."""
    return edited if where is None else Image.composite(edited, source, where)


def encode(image: Image.Image, form: Literal["png", "jpeg", "webp"], compression: int) -> bytes:
    """Encodes `image` as a file without any metadata."""
    file = io.BytesIO()
    if form == "png":
        image.save(file, "PNG", compress_level=1)
    elif form == "jpeg":
        image.save(file, "JPEG", quality=max(1, compression))
    else:
        image.save(file, "WEBP", lossless=compression == 100, quality=compression, method=2)
    return file.getvalue()
