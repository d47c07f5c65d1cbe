"""The conversion of untrusted bytes to pictures and back: limits apply before decoding, and only pixels are kept."""

import io
import warnings
from collections.abc import Callable
from functools import partial

from PIL import Image

from serve.errors import ApiError, invalid
from v4e.files.images import FORMATS, rgb, upright
from v4e.files.masks import transparent
from v4e.wan import GRID, on_grid

WHITE = "expected a PNG that is transparent where to edit; if yours is white there instead, send mask_from=white"
ASPECT = 8  # at most: beyond it the model's grid would be a line of cells
MIME = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
}


def decode(blob: bytes, param: str, most_pixels: int) -> Image.Image:
    """Decodes the first frame of a file of one of `FORMATS` to RGB of sRGB, turned upright, with transparency on white.

    The bytes decide the format, not a name or a declared type. The size is checked before pixels are unpacked.

    Raises:
        ApiError: 400, or 413 for too many pixels.
    """
    return _opened(blob, param, most_pixels, rgb)


def decode_mask(blob: bytes, size: tuple[int, int], most_pixels: int, *, white: bool = False) -> Image.Image:
    """Decodes a mask to L: 255, to be edited, where its alpha is 0, as in OpenAI's API, or where it is `white`.

    Raises:
        ApiError: 400, also for a mask without alpha or of another size than the source.
    """
    where = _opened(blob, "mask", most_pixels, _light if white else partial(_transparent, param="mask", words=WHITE))
    if where.size != size:
        got, expected = ("{}x{}".format(*s) for s in (where.size, size))
        raise invalid("mask", f"mask: it is {got}: expected the image's size, {expected}.")
    return where


def transparency(blob: bytes, most_pixels: int) -> Image.Image:
    """Decodes the source's own transparency as a mask.

    Raises:
        ApiError: 400, also for a source that has none.
    """
    words = "mask_from=image needs one, or send a mask"
    return _opened(blob, "image", most_pixels, partial(_transparent, param="image", words=words))


def _light(image: Image.Image) -> Image.Image:
    return rgb(image).convert("L")


def _transparent(image: Image.Image, param: str, words: str) -> Image.Image:
    if not image.has_transparency_data:
        raise invalid(param, f"{param}: it has no alpha channel: {words}.")
    return transparent(image)


def _opened(blob: bytes, param: str, most_pixels: int, to: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Unpacks the pixels, turns them as EXIF says and converts them by `to`."""
    if not blob:
        raise invalid(param, f"{param}: the file is empty.", "invalid_image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes, which are checked
            return to(upright(blob, FORMATS, partial(_check_size, param=param, most_pixels=most_pixels)))
    except ApiError:
        raise
    except Image.DecompressionBombError:
        message = f"{param}: it unpacks to more pixels than this server takes."
        raise ApiError(413, message, code="image_too_large", param=param) from None
    except Exception:  # decoders raise any error on hostile bytes
        raise invalid(param, f"{param}: {_unreadable(blob)}.", "invalid_image") from None


def _check_size(image: Image.Image, param: str, most_pixels: int) -> None:
    """Refuses a picture by its header, before it is unpacked."""
    got = f"{image.width}x{image.height}"
    if image.width * image.height > most_pixels:
        message = f"{param}: {got} is more than the {most_pixels} pixels that this server takes: scale it down."
        raise ApiError(413, message, code="image_too_large", param=param)
    if max(image.size) > ASPECT * min(image.size):
        message = f"{param}: {got}: expected an aspect between 1:{ASPECT} and {ASPECT}:1."
        raise invalid(param, message, "unsupported_value")


def _unreadable(blob: bytes) -> str:
    """Says what the bytes of a file are not, and what to do if they are of a phone's format."""
    if blob[4:8] == b"ftyp" and b"hei" in blob[8:48] and "HEIF" not in FORMATS:
        return "this server reads no HEIC: send a JPEG, or install pillow-heif beside the server"
    return f"these bytes are no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} that can be read"


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
        near = "x".join(str(on_grid(side)) for side in (width, height))
        raise invalid("size", f"size: {text}: expected sides that are multiples of {GRID}, such as {near}.")
    if max(width, height) > 3 * min(width, height):
        raise invalid("size", f"size: {text}: expected an aspect between 1:3 and 3:1.")
    if width * height > most_pixels:
        raise invalid("size", f"size: {text} is more than {most_pixels} pixels.")
    return width, height


def composite(edited: Image.Image, source: Image.Image, where: Image.Image | None) -> Image.Image:
    """Returns `edited` inside the mask and `source`, equal to the bit, elsewhere."""
    return edited if where is None else Image.composite(edited, source, where)
