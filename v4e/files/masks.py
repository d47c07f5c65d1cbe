"""Masks as files: where a picture is to be edited. In memory they are of mode L, 255 where to edit."""

from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from v4e.files.images import upright


def open_mask(path: str | Path, size: tuple[int, int]) -> Image.Image:
    """Reads a mask of `size` (width, height): transparent where to edit, or white where nothing is transparent.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no picture, a damaged one, or of another size.
    """
    try:
        picture = upright(Path(path).read_bytes())
        mask = transparent(picture) if picture.has_transparency_data else picture.convert("L")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file: expected a mask, such as mask.png") from None
    except (UnidentifiedImageError, IsADirectoryError):
        raise ValueError(f"{path}: it is no picture that Pillow reads: expected a PNG") from None
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:  # of damaged files
        raise ValueError(f"{path}: the mask cannot be decoded ({error})") from error
    if mask.size != size:
        got, expected = ("{}x{}".format(*sides) for sides in (mask.size, size))
        raise ValueError(f"{path}: the mask is {got}: expected the picture's size, {expected}")
    return mask


def transparent(picture: Image.Image) -> Image.Image:
    """Returns the mask that a picture's transparency is."""
    return ImageOps.invert(picture.convert("RGBA").getchannel("A"))


def as_picture(mask: Image.Image) -> Image.Image:
    """Returns a picture, white and transparent where to edit, that can be looked at and given as a mask again."""
    return Image.merge("LA", (mask, ImageOps.invert(mask)))
