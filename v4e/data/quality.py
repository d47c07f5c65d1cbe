"""The checks that turn untrusted bytes into a triplet that all other code may rely on."""

import warnings
from functools import partial
from urllib.parse import quote

from PIL import Image, UnidentifiedImageError

from v4e.data.signs import sign_of
from v4e.data.sources import RawTriplet
from v4e.files.images import FORMATS, unpacked
from v4e.language.tasks import TASKS
from v4e.types import EditTriplet

READ = (*FORMATS, "TIFF", "BMP")
MOVING = ("PNG", "WEBP", "GIF", "AVIF", "TIFF")  # a JPEG with several pictures holds the same one for other screens
MAX_SIDE = 16_384  # pixels; wider files are panoramas or attacks
MAX_TEXT = 2_000  # characters of an instruction
MAX_ID = 180  # bytes: it becomes a file name


class BadTriplet(ValueError):
    """A triplet that cannot be used; the message says why."""


def decode_triplet(row: RawTriplet, max_pixels: int) -> EditTriplet:
    """Checks one row and decodes its images to RGB, turned upright, with transparency on white.

    Sizes are read from the files' headers and checked against `max_pixels` before anything is decoded.

    Raises:
        BadTriplet: the row cannot be used.
    """
    if reason := bad_id(row.id):
        raise BadTriplet(reason)
    instruction = row.instruction.strip()
    if not instruction:
        raise BadTriplet("empty instruction")
    if len(instruction) > MAX_TEXT:
        raise BadTriplet(f"instruction of {len(instruction)} characters: expected at most {MAX_TEXT}")
    source = decode_image(row.source, "source", max_pixels, row.source_instead)
    edit = decode_image(row.edit, "edit", max_pixels, row.edit_instead)
    if source.size != edit.size:
        raise BadTriplet(f"mismatched sizes: source {_size(source)}, edit {_size(edit)}")
    task = row.task if row.task in TASKS else ""
    return EditTriplet(id=row.id, instruction=instruction, source=source, edit=edit, task=task)


def bad_id(sample_id: str) -> str:
    """Returns the reason why an id cannot be used; empty if it can."""
    if sample_id and len(quote(sample_id, safe="")) <= MAX_ID:
        return ""
    return f"id of {len(sample_id)} characters: expected 1 to {MAX_ID} bytes"


def decode_image(data: bytes | None, name: str, max_pixels: int, instead: str = "") -> Image.Image:
    """Decodes an RGB image, turned as its EXIF says; `instead` is what was found where there is none.

    Raises:
        BadTriplet: the image is missing, too large or cannot be decoded.
    """
    if not data:
        raise BadTriplet(f"{name}: no image" + (f" but {instead}" if instead else ""))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked
            return unpacked(data, READ, partial(_check_still, name=name, max_pixels=max_pixels))
    except BadTriplet:
        raise
    except UnidentifiedImageError:
        if what := sign_of(data):
            raise BadTriplet(f"{name}: {what}") from None
        raise BadTriplet(f"{name}: corrupt image (none of {', '.join(READ)})") from None
    except Image.DecompressionBombError:
        raise BadTriplet(f"{name}: too large to be opened, limit {max_pixels} pixels") from None
    except Exception as error:  # whatever a decoder stumbles over in untrusted bytes, the bytes are bad
        raise BadTriplet(f"{name}: corrupt image ({type(error).__name__}: {error})") from error


def _check_still(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if max(width, height) > MAX_SIDE:
        raise BadTriplet(f"{name}: {_size(image)}, limit {MAX_SIDE} pixels a side")
    if width * height > max_pixels:
        raise BadTriplet(f"{name}: {_size(image)}, limit data.max_pixels={max_pixels}")
    if image.format in MOVING and getattr(image, "is_animated", False):
        raise BadTriplet(f"{name}: an animated {image.format}, expected a still image")
    if image.mode == "F":
        raise BadTriplet(f"{name}: an image of fractions, whose range nobody knows: save it with 8 or 16 bits")


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
