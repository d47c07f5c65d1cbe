"""Things as small pictures with opacity, from signed distances, with outline, shading and shadow.

A sprite is float32 (s, s, 4), color times opacity, then opacity. Coordinates are in units of the thing's radius, x to
the right and y down; distances are negative inside.
"""

from functools import lru_cache

import numpy as np

from v4e.tiny.world2.scene import COLORS, RADIUS

FINE = 4  # samples along a pixel's side
REACH = 1.45  # side of a sprite over the thing's diameter: there is room for its shadow
Image = np.ndarray


def distance(shape: str, x: Image, y: Image) -> Image:
    """Returns about the signed distance to `shape`, which lies within the unit circle.

    Raises:
        ValueError: there is no such shape.
    """
    a, b = np.abs(x), np.abs(y)
    match shape:
        case "ball":
            return np.hypot(x, y) - 0.90
        case "block":
            return np.hypot(np.maximum(a - 0.62, 0), np.maximum(b - 0.62, 0)) - 0.16
        case "triangle":
            return np.maximum((1.75 * a - (y + 0.92)) / 2.02, y - 0.72)
        case "star":
            turn = np.arctan2(x, -y) / (2 * np.pi) * 5
            wave = np.abs(turn % 1 - 0.5) * 2  # 1 at a tip, 0 in a notch
            return (np.hypot(x, y) - (0.44 + 0.56 * wave**1.4)) * 0.85
        case "heart":
            u, v = a, -y + 0.10
            lobes = np.hypot(u - 0.45, v - 0.34) - 0.50
            return np.minimum(lobes, np.maximum((u - 0.92 * v - 0.80) * 0.74, v - 0.36))
        case "moon":
            return np.maximum(np.hypot(x, y) - 0.92, 0.70 - np.hypot(x - 0.48, y + 0.16))
        case "ring":
            return np.abs(np.hypot(x, y) - 0.66) - 0.27
        case "kite":
            return (1.25 * a + 0.95 * b - 0.90) / 1.57
        case "flower":
            petals = np.hypot(x, y) - (0.66 + 0.24 * np.cos(5 * np.arctan2(x, -y)))
            return petals * 0.75
        case "cross":
            return np.minimum(np.maximum(a - 0.32, b - 0.90), np.maximum(a - 0.90, b - 0.32))
    raise ValueError(f"unknown shape {shape!r}")


def _fill(material: str, color: Image, x: Image, y: Image) -> tuple[Image, float]:
    """Returns the color of each point of a thing, and its opacity."""
    flat = np.broadcast_to(color, (*x.shape, 3))
    other = np.array((0.97, 0.97, 0.95)) if color.sum() < 2.4 else np.array((0.20, 0.20, 0.24))
    match material:
        case "plain":
            light = np.clip(0.16 - 0.20 * (x + y), -0.22, 0.30)[..., None]
            return np.where(light > 0, flat + (1 - flat) * light, flat * (1 + light)), 1.0
        case "striped":
            return np.where(((y / 0.70 + 0.25) % 1 < 0.5)[..., None], flat, other), 1.0
        case "checkered":
            cell = (np.floor(x / 0.55) + np.floor(y / 0.55)) % 2 == 0
            return np.where(cell[..., None], flat, np.array((0.10, 0.10, 0.12)) if color.sum() > 0.6 else 0.62), 1.0
        case "dotted":
            u, v = (x / 0.75) % 1 - 0.5, (y / 0.75 + 0.5 * (np.floor(x / 0.75) % 2)) % 1 - 0.5
            return np.where((np.hypot(u, v) < 0.36)[..., None], other, flat), 1.0
        case "metal":
            bands = 0.5 + 0.5 * np.cos(4.2 * (y + 0.35 * x) + 0.6)
            grey = 0.24 + 0.72 * bands[..., None] ** 2
            return 0.30 * flat + 0.70 * grey, 1.0
        case "glass":
            shine = np.exp(-((x + 0.35) ** 2 + (y + 0.38) ** 2) / 0.06)[..., None]
            return np.clip(0.55 * flat + 0.40 + 0.5 * shine, 0, 1), 0.42
    raise ValueError(f"unknown material {material!r}")


@lru_cache(maxsize=4096)
def sprite(start: str, end: str, along: float, color: str, material: str, scale: float, size: int) -> Image:
    """Draws a thing of an image of `size`: float32 (s, s, 4), s odd, its centre in the middle.

    Args:
        start: its shape where `along` is 0.
        end: its shape where `along` is 1; between them the outline morphs.
        along: in [0, 1].
        color: a name of COLORS.
        material: a name of MATERIALS.
        scale: its size over a whole thing's.
        size: pixels along the image's side.
    """
    radius = RADIUS * size * scale
    half = int(np.ceil(RADIUS * size * REACH))
    points = (np.arange((2 * half + 1) * FINE) + 0.5) / FINE - half - 0.5
    x, y = np.meshgrid(points / radius, points / radius)
    pixel = 1 / (radius * FINE)

    def outline(x: Image, y: Image) -> Image:
        d = distance(start, x, y)
        return d if start == end else (1 - along) * d + along * distance(end, x, y)

    d = outline(x, y)
    rgb = np.array(COLORS[color])
    fill, opacity = _fill(material, rgb, x, y)
    edge = rgb * 0.42 if rgb.sum() > 0.6 else np.array((0.40, 0.40, 0.44))
    rim = np.clip(0.5 - (np.abs(d + 0.06) - 0.06) / pixel, 0, 1)[..., None]
    inside = np.clip(0.5 - d / pixel, 0, 1)[..., None]
    fill = fill + rim * (edge - fill)
    alpha = inside * np.maximum(opacity, rim)
    shade = 0.30 * np.clip(0.5 - outline(x - 0.16, y - 0.22) / 0.36, 0, 1)[..., None]
    alpha, rgb = alpha + (1 - alpha) * shade, fill * alpha
    picture = np.concatenate([np.broadcast_to(rgb, (*x.shape, 3)), alpha], -1)
    side = 2 * half + 1
    return picture.reshape(side, FINE, side, FINE, 4).mean((1, 3)).astype(np.float32)


def paste(image: Image, sprite: Image, x: float, y: float, opacity: float = 1.0) -> None:
    """Lays a sprite over `image`, float (S, S, 3), in place, its centre at (x, y) in units of the side."""
    size, side = image.shape[0], sprite.shape[0]
    left, top = round(x * size - 0.5) - side // 2, round(y * size - 0.5) - side // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, size), min(top + side, size)
    if x0 >= x1 or y0 >= y1:
        return
    part = opacity * sprite[y0 - top : y1 - top, x0 - left : x1 - left]
    image[y0:y1, x0:x1] *= 1 - part[..., 3:]
    image[y0:y1, x0:x1] += part[..., :3]
