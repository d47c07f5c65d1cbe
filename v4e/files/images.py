"""Pictures of any kind and size to what a model edits, and back to their own size."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from v4e.files.colours import to_srgb
from v4e.wan import GRID, on_grid

with suppress(ImportError):
    from pillow_heif import register_heif_opener  # pyright: ignore[reportMissingImports]

    register_heif_opener()
Image.init()
# What strangers may send. Files of one's own may have any format that Pillow reads.
FORMATS = tuple(name for name in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "HEIF") if name in Image.OPEN)
JPEGS = ("JPEG", "MPO")  # MPO: a JPEG of several pictures, as some phones write
ANY = "application/octet-stream"
MISSING = 0.02  # share of a picture's pixels


def open_image(path: str | Path) -> Image.Image:
    """The first frame of a picture file, RGB of sRGB, turned as the camera held it, transparency on white.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no picture, or a damaged one.
    """
    with _named(path):
        return unpacked(Path(path).read_bytes())


def open_upright(path: str | Path) -> Image.Image:
    """The first frame of a picture file, turned as the camera held it, in its own mode; raises as `open_image` does."""
    with _named(path):
        return upright(Path(path).read_bytes())


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Names the file in the errors of decoding it."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file: expected a picture, such as photo.jpg") from None
    except (UnidentifiedImageError, IsADirectoryError):
        read = ", ".join(FORMATS)
        more = "" if "HEIF" in FORMATS else "; for HEIC, pip install pillow-heif"
        raise ValueError(f"{path}: it is no picture that Pillow reads: expected {read} or the like{more}") from None
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:  # of damaged files
        raise ValueError(f"{path}: the picture cannot be decoded ({error})") from error


def unpacked(
    blob: bytes, formats: tuple[str, ...] | None = None, check: Callable[[Image.Image], None] | None = None
) -> Image.Image:
    """The picture in the bytes of a file, as :func:`rgb` makes it; any format that Pillow reads unless `formats` say.

    `check` sees the picture before its pixels are unpacked, and may raise.

    Raises:
        UnidentifiedImageError: it is of no such format.
        Exception: whatever decoders raise on hostile bytes.
    """
    return rgb(upright(blob, formats, check))


def upright(
    blob: bytes, formats: tuple[str, ...] | None = None, check: Callable[[Image.Image], None] | None = None
) -> Image.Image:
    """The picture in the bytes of a file, turned as its EXIF says, in its own mode: see :func:`unpacked`."""
    image = Image.open(io.BytesIO(blob), formats=formats)
    if check is not None:
        check(image)
    try:
        image.load()
    except OSError:
        if image.format not in JPEGS:
            raise
        image = _whole_jpeg(blob)
    return ImageOps.exif_transpose(image)


def _whole_jpeg(blob: bytes) -> Image.Image:
    """A JPEG whose last bytes are missing, if nearly all of its pixels are there. Every viewer shows such a file.

    Raises:
        OSError: more is missing.
    """
    begun = blob.rstrip(b"\xff")
    noise = bytes(range(1, 255)) * (len(blob) // 254 + 1)  # pixels that it changes were not in the file
    whole, other = (Image.open(io.BytesIO(begun + more + b"\xff\xd9"), formats=("JPEG",)) for more in (b"", noise))
    differ = ImageChops.difference(whole, other).convert("L").histogram()
    if 1 - differ[0] / sum(differ) > MISSING:
        raise OSError("the end of the file is missing, and too much of the picture with it")
    return whole


def rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB of 8 bits, sRGB, transparency on white. It is a copy of nothing but the pixels.

    What else a file says would go on into the files that are made of it: comments, or options of the next encoder.

    Raises:
        TypeError, ValueError: its transparency is no transparency.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = image.convert("F").point(lambda value: value / 257).convert("L")  # 16 bits to 8
    bare = to_srgb(image)
    if image.has_transparency_data:
        bare.putalpha(image.convert("RGBA").getchannel("A"))
        bare = Image.alpha_composite(Image.new("RGBA", image.size, "white"), bare).convert("RGB")
    bare.info.clear()
    return bare


def grid_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """(height, width) on the 16-pixel grid, of the aspect of a picture of `width` x `height`.

    No side is longer than the picture's own, down to one cell, and the area is at most `max_pixels`.

    Raises:
        ValueError: not even one cell fits into `max_pixels`.
    """
    if max_pixels < GRID * GRID:
        raise ValueError(
            f"max_pixels={max_pixels}: expected at least {GRID * GRID}, one cell of {GRID} x {GRID} pixels"
        )
    scale = min(1.0, (max_pixels / (width * height)) ** 0.5)
    tall, wide = (on_grid(side * scale) for side in (height, width))
    longest = on_grid(max_pixels // GRID)  # where the other side is one cell
    return min(tall, longest), min(wide, longest)


def fit(images: list[Image.Image], height: int, width: int) -> list[Image.Image]:
    """The images as a model sees them, RGB of sRGB, brought to its size."""
    return [rgb(image).resize((width, height), Image.Resampling.LANCZOS) for image in images]


def restore(edited: Image.Image, source: Image.Image) -> Image.Image:
    """An edit at the size of its source."""
    return edited if edited.size == source.size else edited.resize(source.size, Image.Resampling.LANCZOS)


def mime_of(blob: bytes) -> str:
    """The media type of a picture file, by its bytes; of a format without one, that of any bytes.

    Raises:
        UnidentifiedImageError: it is no picture.
    """
    form = Image.open(io.BytesIO(blob)).format
    return "image/jpeg" if form in JPEGS else Image.MIME.get(form or "", ANY)


def sized(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """`image`, or its center, cropped to the aspect of `size` (width, height) and resized to it."""
    return image if size in (None, image.size) else ImageOps.fit(image, size, Image.Resampling.LANCZOS)
