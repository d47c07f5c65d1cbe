"""The size an image is resized to: the recipe's own, or the bucket on the 16-pixel grid nearest to its aspect."""

from fractions import Fraction
from functools import lru_cache
from math import isqrt

from PIL import Image

from v4e.config import Data
from v4e.data.quality import BadTriplet
from v4e.wan import GRID

Size = tuple[int, int]  # (height, width), pixels


@lru_cache
def sizes(data: Data, resolution: int = 0) -> tuple[Size, ...]:
    """Returns the buckets of one resolution, portrait and landscape; 0 is the recipe's, 1 has half its sides, ...

    Each short side has the longest long side within the area of ``data.height x data.width``, so that no clip has more
    tokens than the recipe's. `resolution` must be below ``data.resolutions``.
    """
    cells = data.height * data.width // (GRID << resolution) ** 2
    found: set[Size] = set()
    for short in range(isqrt(cells), 0, -1):
        long = cells // short
        if found and long / short > data.max_aspect:  # the quotient, as Data checks it: a product rounds otherwise
            break
        found |= {(GRID * short, GRID * long), (GRID * long, GRID * short)}
    return tuple(sorted(found))


@lru_cache(maxsize=1 << 16)
def size_of(width: int, height: int, data: Data) -> Size:
    """Returns the size that an image of `width` x `height` pixels is resized to; it depends on nothing else.

    With buckets, this is the one that loses least of the image, at the largest resolution whose area the image has.

    Raises:
        BadTriplet: the image is longer than ``data.max_aspect``.
    """
    if data.aspect == "fixed":
        return data.height, data.width
    if max(width, height) / min(width, height) > data.max_aspect:
        raise BadTriplet(
            f"{width} x {height}: the long side is more than data.max_aspect={data.max_aspect} times the short one"
        )
    resolution = 0
    while resolution < data.resolutions - 1 and width * height << 2 * resolution < data.height * data.width:
        resolution += 1

    def lost(size: Size) -> Fraction:  # exact: a square image is as near to one bucket as to its twin
        ends = width * size[0], height * size[1]
        return Fraction(max(ends), min(ends))

    return min(sizes(data, resolution), key=lost)


def to_bucket(image: Image.Image, data: Data) -> Image.Image:
    """Resizes `image` to its size: stretched, or with its aspect kept and the excess cut off evenly.

    Raises:
        BadTriplet: as :func:`size_of`.
    """
    height, width = size_of(*image.size, data)
    box = None if data.aspect == "fixed" else kept(*image.size, (height, width))
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def kept(width: int, height: int, size: Size) -> tuple[float, float, float, float]:
    """Returns left, top, right, bottom of the largest centered part of an image that has the aspect of `size`."""
    if width * size[0] > height * size[1]:
        cut = (width - height * size[1] / size[0]) / 2
        return cut, 0, width - cut, height
    cut = (height - width * size[0] / size[1]) / 2
    return 0, cut, width, height - cut
