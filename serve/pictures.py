"""Bytes of strangers to pictures and back: limits before decoding, nothing of the file but its pixels is kept."""

import io
import warnings
from typing import Literal

from PIL import Image, ImageOps

from serve.errors import ApiError, invalid
from v4e.images import rgb

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
    return rgb(_opened(blob, param, most_pixels))


def decode_mask(blob: bytes, size: tuple[int, int], most_pixels: int) -> Image.Image:
    """Where to edit, L: 255 where the mask's alpha is 0, as OpenAI has it.

    Raises:
        ApiError: 400, also for a mask without alpha or of another size than the source's.
    """
    image = _opened(blob, "mask", most_pixels)
    if not image.has_transparency_data:
        raise invalid("mask", "mask: it has no alpha channel: expected a PNG that is transparent where to edit.")
    if image.size != size:
        got, expected = ("{}x{}".format(*s) for s in (image.size, size))
        raise invalid("mask", f"mask: it is {got}: expected the image's size, {expected}.")
    return ImageOps.invert(image.convert("RGBA").getchannel("A"))


def _opened(blob: bytes, param: str, most_pixels: int) -> Image.Image:
    """Pixels unpacked and turned as EXIF says, all else dropped."""
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
            turned = ImageOps.exif_transpose(image)
    except ApiError:
        raise
    except Image.DecompressionBombError:
        message = f"{param}: it unpacks to more pixels than this server takes."
        raise ApiError(413, message, code="image_too_large", param=param) from None
    except Exception:  # decoders raise anything on bytes that were made to break them
        message = f"{param}: these bytes are no PNG, JPEG, WebP or GIF that can be read."
        raise invalid(param, message, "invalid_image") from None
    return turned


def sized(image: Image.Image, size: str) -> Image.Image:
    """`image`, or for WIDTHxHEIGHT its centre of that aspect brought to that size.

    Raises:
        ApiError: 400 of sides or an aspect that OpenAI's clients may not ask for either.
    """
    if size == "auto":
        return image
    width, height = map(int, size.split("x"))
    if width % 16 or height % 16:
        raise invalid("size", f"size: {size}: expected sides that are multiples of 16.")
    if max(width, height) > 3 * min(width, height):
        raise invalid("size", f"size: {size}: expected an aspect between 1:3 and 3:1.")
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def composite(edited: Image.Image, source: Image.Image, where: Image.Image | None) -> Image.Image:
    """`edited` where the mask says so and, to the bit, `source` elsewhere."""
    return edited if where is None else Image.composite(edited, source, where)


def encode(image: Image.Image, form: Literal["png", "jpeg", "webp"], compression: int) -> bytes:
    """A file of nothing but the pixels."""
    file = io.BytesIO()
    bare = Image.frombytes(image.mode, image.size, image.tobytes()) if image.info else image
    if form == "png":
        bare.save(file, "PNG", compress_level=1)
    elif form == "jpeg":
        bare.save(file, "JPEG", quality=max(1, compression))
    else:
        bare.save(file, "WEBP", lossless=compression == 100, quality=compression, method=2)
    return file.getvalue()
