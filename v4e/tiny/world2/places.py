"""The places behind a scene, float32 RGB (S, S, 3) in [0, 1]. Later kinds of backgrounds join :func:`backdrop`."""

from functools import lru_cache

import numpy as np

FINE = 3  # samples along a pixel's side
STARS = ((0.08, 0.10), (0.34, 0.20), (0.62, 0.07), (0.93, 0.30), (0.06, 0.50), (0.66, 0.48), (0.92, 0.72), (0.36, 0.55))
Image = np.ndarray


@lru_cache(maxsize=8)
def grid(size: int, fine: int = FINE) -> tuple[Image, Image]:
    """Returns x and y of the centres of `fine` x `fine` samples a pixel, in units of the side."""
    points = (np.arange(size * fine) + 0.5) / (size * fine)
    x, y = np.meshgrid(points, points)
    return x, y


def paint(image: Image, d: Image, color, soft: float = 0.0) -> Image:
    """Returns `image` with `color` where the signed distance `d` is negative; `soft` widens the edge."""
    cover = np.clip(0.5 - d / max(1 / image.shape[0], soft), 0, 1)[..., None]
    return image + cover * (np.asarray(color) - image)


def shrink(image: Image, fine: int = FINE) -> Image:
    """Returns the means of `fine` x `fine` samples, as float32."""
    size = image.shape[0] // fine
    return image.reshape(size, fine, size, fine, -1).mean((1, 3)).astype(np.float32)


def _sky(y: Image, top, bottom, end: float = 1.0) -> Image:
    along = np.clip(y / end, 0, 1)[..., None]
    return np.asarray(top) + along * (np.asarray(bottom) - np.asarray(top))


def _place(name: str, x: Image, y: Image) -> Image:
    match name:
        case "beach":
            image = _sky(y, (0.42, 0.74, 0.98), (0.84, 0.95, 1.00), 0.46)
            image = paint(image, np.hypot(x - 0.84, y - 0.13) - 0.085, (1.0, 0.95, 0.62))
            image = paint(image, 0.46 - y, (0.10, 0.52, 0.78))
            image = paint(image, 0.63 + 0.025 * np.sin(9 * x) - y, (0.86, 0.96, 0.97))
            return paint(image, 0.66 + 0.025 * np.sin(9 * x) - y, (0.96, 0.86, 0.62))
        case "forest":
            image = _sky(y, (0.62, 0.80, 0.62), (0.30, 0.54, 0.32))
            for at, wide in ((0.04, 0.030), (0.27, 0.022), (0.52, 0.034), (0.74, 0.022), (0.95, 0.030)):
                image = paint(image, np.abs(x - at) - wide, (0.36, 0.22, 0.12))
            image = paint(image, y - 0.20 - 0.05 * np.sin(21 * x), (0.07, 0.42, 0.16))
            return paint(image, 0.88 + 0.02 * np.sin(17 * x) - y, (0.20, 0.38, 0.14))
        case "night sky":
            image = _sky(y, (0.03, 0.03, 0.16), (0.22, 0.16, 0.42))
            for sx, sy in STARS:
                image = paint(image, np.hypot(x - sx, y - sy) - 0.018, (1.0, 1.0, 0.86))
            return paint(image, 0.86 + 0.05 * np.sin(6 * x + 1) - y, (0.05, 0.06, 0.12))
        case "desert":
            image = _sky(y, (0.98, 0.70, 0.42), (1.00, 0.90, 0.68), 0.55)
            image = paint(image, 0.50 + 0.09 * np.sin(5 * x + 1) - y, (0.90, 0.62, 0.32))
            return paint(image, 0.74 + 0.07 * np.sin(7 * x + 3) - y, (0.76, 0.48, 0.22))
        case "snow":
            image = _sky(y, (0.58, 0.70, 0.86), (0.88, 0.93, 0.98), 0.6)
            image = paint(image, 0.54 - 0.30 * np.abs(np.sin(4.7 * x + 0.4)) - y, (0.46, 0.55, 0.68))
            image = paint(image, 0.32 - 0.30 * np.abs(np.sin(4.7 * x + 0.4)) + 0.10 - y + 0.0 * x, (0.46, 0.55, 0.68))
            return paint(image, 0.60 + 0.04 * np.sin(8 * x) - y, (0.97, 0.98, 1.0))
        case "city":
            image = _sky(y, (0.70, 0.74, 0.84), (0.96, 0.86, 0.80))
            for i, top in enumerate((0.46, 0.26, 0.58, 0.36, 0.50, 0.30)):
                tone = 0.30 + 0.10 * (i % 2)
                middle = (i + 0.5) / 6
                image = paint(image, np.maximum(np.abs(x - middle) - 0.078, top - y), (tone, tone, tone + 0.08))
                lit = (np.abs((x - middle) / 0.05 % 1 - 0.5) < 0.2) & (np.abs(y / 0.09 % 1 - 0.5) < 0.22)
                lit &= (np.abs(x - middle) < 0.055) & (y > top + 0.05)
                image = np.where(lit[..., None], (0.98, 0.88, 0.50), image)
            return paint(image, 0.90 - y, (0.22, 0.22, 0.25))
        case "ocean":
            image = _sky(y, (0.14, 0.58, 0.84), (0.02, 0.16, 0.46))
            for row in (0.14, 0.38, 0.62, 0.86):
                image = paint(image, np.abs(y - row - 0.025 * np.sin(14 * x + 9 * row)) - 0.016, (0.50, 0.80, 0.95))
            return image
        case "meadow":
            image = _sky(y, (0.50, 0.80, 1.00), (0.90, 0.97, 1.00), 0.6)
            for cx, cy in ((0.22, 0.14), (0.33, 0.11), (0.42, 0.15)):
                image = paint(image, np.hypot(x - cx, (y - cy) * 1.4) - 0.085, (1.0, 1.0, 1.0))
            image = paint(image, 0.54 + 0.07 * np.sin(4 * x) - y, (0.50, 0.80, 0.28))
            return paint(image, 0.78 + 0.05 * np.sin(6 * x + 2) - y, (0.30, 0.64, 0.18))
        case "sunset":
            image = _sky(y, (0.42, 0.16, 0.46), (1.00, 0.56, 0.24), 0.62)
            image = paint(image, np.hypot(x - 0.5, y - 0.58) - 0.19, (1.0, 0.88, 0.40))
            image = paint(image, 0.62 - y, (0.38, 0.14, 0.34))
            for row, wide in ((0.68, 0.20), (0.76, 0.15), (0.84, 0.11)):
                image = paint(image, np.maximum(np.abs(y - row) - 0.014, np.abs(x - 0.5) - wide), (1.0, 0.66, 0.32))
            return image
    raise ValueError(f"unknown place {name!r}")


@lru_cache(maxsize=256)
def backdrop(name: str, variant: int, size: int) -> Image:
    """Draws a place. An odd `variant` is mirrored, from 2 on it is dimmer: an edit's own place is variant 0.

    Raises:
        ValueError: there is no such place.
    """
    x, y = grid(size)
    image = shrink(_place(name, x, y))
    if variant % 2:
        image = image[:, ::-1]
    return np.ascontiguousarray(image * (0.84 if variant // 2 else 1.0))
