"""Pictures of any kind and size to what a model edits, and back to their own size."""

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from v4e.wan import GRID, on_grid


def open_image(path: str | Path) -> Image.Image:
    """The first frame of a picture file, RGB, turned as the camera held it, transparency on white.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no picture, or a damaged one.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file: expected a picture, such as photo.jpg") from None
    except (UnidentifiedImageError, IsADirectoryError):
        raise ValueError(f"{path}: it is no picture that Pillow reads: expected PNG, JPEG, WebP or the like") from None
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:  # of damaged files
        raise ValueError(f"{path}: the picture cannot be decoded ({error})") from error


def rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB of 8 bits, transparency on white. It is a copy of nothing but the pixels.

    What else a file says would go on into the files that are made of it: comments, or options of the next encoder.

    Raises:
        TypeError, ValueError: its transparency is no transparency.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = image.convert("F").point(lambda value: value / 257).convert("L")  # 16 bits to 8
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    bare = image.convert("RGB")
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
    """The images as a model sees them, RGB, brought to its size."""
    return [image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS) for image in images]


def restore(edited: Image.Image, source: Image.Image) -> Image.Image:
    """An edit at the size of its source."""
    return edited if edited.size == source.size else edited.resize(source.size, Image.Resampling.LANCZOS)
