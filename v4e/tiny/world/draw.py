"""Scenes to pixels: signed distances on a grid, painter's order, twofold supersampling.

All coordinates are in units of the image side, x to the right and y down. Images are float RGB in [0, 1], (S, S, 3).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from v4e.tiny.world.scene import COLORS, EYES, HAIRS, INKS, SKINS, SLOTS, Face, Person, Scene, Sign, Thing

RADIUS = 0.20  # of a thing
OUTLINE = 0.030
OUTLINE_COLOR = np.array((0.08, 0.08, 0.10))
SUPERSAMPLE = 2
STARS = ((0.08, 0.10), (0.50, 0.06), (0.92, 0.14), (0.50, 0.50), (0.06, 0.52), (0.95, 0.52), (0.50, 0.92))
FONT = {  # 3 x 5 glyphs, rows from the top
    "A": "010101111101101",
    "B": "110101110101110",
    "C": "011100100100011",
    "E": "111100110100111",
    "F": "111100110100100",
    "I": "111010010010111",
    "O": "111101101101111",
    "R": "110101110101101",
    "S": "011100010001110",
    "T": "111010010010010",
    "U": "101101101101111",
    "X": "101101010101101",
    "Y": "101101010010010",
}


@dataclass(frozen=True)
class Blob:
    """A thing on its way: between two shapes, colors and places, `f` of the way along."""

    start: Thing
    end: Thing
    f: float


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    c = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(c, c)
    return x, y


def _shape(name: str, x: np.ndarray, y: np.ndarray, r: float) -> np.ndarray:
    """Signed distance (negative inside) to a shape of radius `r` round the origin; near enough to a true distance."""
    match name:
        case "circle":
            return np.hypot(x, y) - 0.92 * r
        case "square":
            return np.maximum(abs(x), abs(y)) - 0.80 * r
        case "triangle":
            return np.maximum((1.7 * abs(x) - (y + 0.95 * r)) / 1.97, y - 0.75 * r)
        case "star":
            angle = np.arctan2(x, -y)
            wave = np.abs((angle / (2 * np.pi) * 5) % 1 - 0.5) * 2  # 1 at a tip, 0 in a notch
            return np.hypot(x, y) - r * (0.46 + 0.66 * wave**1.3)
        case "heart":
            u, v = abs(x) / r, -y / r + 0.12
            lobes = np.hypot(u - 0.47, v - 0.35) - 0.52
            point = np.maximum(u + v * -0.92 - 0.78, v - 0.35)
            return np.minimum(lobes, point * 0.72) * r
        case "cross":
            a, b = abs(x), abs(y)
            return np.minimum(np.maximum(a - 0.33 * r, b - 0.95 * r), np.maximum(a - 0.95 * r, b - 0.33 * r))
    raise ValueError(f"unknown shape {name!r}")


def _cover(d: np.ndarray, size: int) -> np.ndarray:
    """Antialiased coverage of a signed distance, (S, S, 1)."""
    return np.clip(0.5 - d * size, 0, 1)[..., None]


def _paint(image: np.ndarray, d: np.ndarray, color) -> np.ndarray:
    cover = _cover(d, image.shape[0])
    return image + cover * (np.asarray(color) - image)


def _texture(material: str, color: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Color of each pixel of a thing, and its opacity. (x, y) from the thing's centre."""
    flat = np.broadcast_to(color, (*x.shape, 3))
    match material:
        case "plain":
            return flat, 1.0
        case "striped":
            band = ((y / 0.125 + 0.25) % 1 < 0.5)[..., None]
            return np.where(band, flat, 0.97), 1.0
        case "checkered":
            cell = ((np.floor(x / 0.094) + np.floor(y / 0.094)) % 2 == 0)[..., None]
            return np.where(cell, flat, 0.10), 1.0
        case "metal":
            shine = np.clip(1.25 - 4.5 * abs(x + 0.5 * y + 0.02) / (2 * RADIUS), 0, 1)[..., None] ** 1.5
            return flat * 0.45 + (1 - flat * 0.45) * shine, 1.0
        case "glass":
            rim = np.clip(np.hypot(x + 0.05, y + 0.06) / RADIUS * -1.8 + 1, 0, 1)[..., None]
            return flat + (1 - flat) * rim, 0.40
    raise ValueError(f"unknown material {material!r}")


def _thing(image: np.ndarray, blob: Blob) -> np.ndarray:
    size, f = image.shape[0], blob.f
    (x0, y0), (x1, y1) = SLOTS[blob.start.slot], SLOTS[blob.end.slot]
    gx, gy = _grid(size)
    x, y = gx - (x0 + f * (x1 - x0)), gy - (y0 + f * (y1 - y0))
    d = _shape(blob.start.shape, x, y, RADIUS)
    if blob.end.shape != blob.start.shape:
        d = (1 - f) * d + f * _shape(blob.end.shape, x, y, RADIUS)
    color_0, color_1 = np.array(COLORS[blob.start.color]), np.array(COLORS[blob.end.color])
    fill, alpha = _texture(blob.start.material, color_0 + f * (color_1 - color_0), x, y)
    if blob.end.material != blob.start.material:
        fill_1, alpha_1 = _texture(blob.end.material, color_1, x, y)
        fill, alpha = fill + f * (fill_1 - fill), alpha + f * (alpha_1 - alpha)
    inside = _cover(d, size) * alpha
    image = image + inside * (fill - image)
    return _paint(image, np.abs(d + OUTLINE / 2) - OUTLINE / 2, OUTLINE_COLOR)


@lru_cache(maxsize=64)
def _background(name: str, size: int) -> np.ndarray:
    x, y = _grid(size)

    def sky(top, bottom):
        return np.asarray(top) + y[..., None] * (np.asarray(bottom) - np.asarray(top))

    match name:
        case "beach":
            image = sky((0.45, 0.75, 1.0), (0.80, 0.92, 1.0))
            image = _paint(image, 0.45 - y, (0.10, 0.50, 0.75))
            return _paint(image, 0.66 + 0.03 * np.sin(9 * x) - y, (0.96, 0.86, 0.60))
        case "forest":
            image = sky((0.30, 0.55, 0.35), (0.10, 0.30, 0.12))
            for trunk in (0.06, 0.29, 0.50, 0.71, 0.94):
                image = _paint(image, abs(x - trunk) - 0.028, (0.33, 0.20, 0.10))
            return _paint(image, y - 0.16 - 0.05 * np.sin(22 * x), (0.05, 0.40, 0.12))
        case "night sky":
            image = sky((0.02, 0.02, 0.14), (0.16, 0.12, 0.34))
            for sx, sy in STARS:
                image = _paint(image, np.hypot(x - sx, y - sy) - 0.030, (1.0, 1.0, 0.85))
            return image
        case "desert":
            image = sky((1.0, 0.72, 0.42), (1.0, 0.86, 0.60))
            image = _paint(image, 0.52 + 0.08 * np.sin(5 * x + 1) - y, (0.88, 0.60, 0.28))
            return _paint(image, 0.76 + 0.06 * np.sin(7 * x + 3) - y, (0.74, 0.46, 0.18))
        case "snow":
            image = sky((0.62, 0.72, 0.86), (0.86, 0.90, 0.96))
            image = _paint(image, 0.55 - 0.22 * abs(np.sin(4.7 * x + 0.4)) - y, (0.48, 0.56, 0.68))
            return _paint(image, 0.62 + 0.04 * np.sin(8 * x) - y, (0.97, 0.98, 1.0))
        case "city":
            image = sky((0.72, 0.74, 0.80), (0.92, 0.84, 0.80))
            for i, height in enumerate((0.50, 0.30, 0.62, 0.40, 0.55, 0.34)):
                tone = 0.30 + 0.10 * (i % 2)
                image = _paint(image, np.maximum(abs(x - (i + 0.5) / 6) - 0.076, height - y), (tone, tone, tone + 0.06))
            return _paint(image, 0.90 - y, (0.22, 0.22, 0.24))
        case "ocean":
            image = sky((0.12, 0.50, 0.80), (0.02, 0.14, 0.42))
            for row in (0.12, 0.37, 0.62, 0.87):
                image = _paint(image, abs(y - row - 0.025 * np.sin(18 * x)) - 0.022, (0.45, 0.78, 0.95))
            return image
        case "meadow":
            image = sky((0.55, 0.82, 1.0), (0.88, 0.96, 1.0))
            image = _paint(image, 0.55 + 0.07 * np.sin(4 * x) - y, (0.45, 0.78, 0.25))
            return _paint(image, 0.80 + 0.05 * np.sin(6 * x + 2) - y, (0.28, 0.62, 0.16))
    raise ValueError(f"unknown background {name!r}")


def _limb(image: np.ndarray, x0: float, y0: float, x1: float, y1: float, r: float, color) -> np.ndarray:
    x, y = _grid(image.shape[0])
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    return _paint(image, np.hypot(x - x0 - along * dx, y - y0 - along * dy) - r, color)


def _person(image: np.ndarray, person: Person) -> np.ndarray:
    x, y = _grid(image.shape[0])
    skin, shirt = SKINS[1], np.array(COLORS[person.shirt])
    for foot in (0.42, 0.58):
        image = _limb(image, 0.5 + (foot - 0.5) * 0.7, 0.66, foot, 0.93, 0.050, (0.15, 0.15, 0.30))
    for side, up in ((-1, person.left_up), (1, person.right_up)):
        angle = np.pi * (0.12 + 0.72 * up)  # from straight down, outwards and up
        hand_x, hand_y = 0.5 + side * (0.12 + 0.30 * np.sin(angle)), 0.40 + 0.30 * np.cos(angle)
        image = _limb(image, 0.5 + side * 0.12, 0.40, hand_x, hand_y, 0.050, shirt * 0.75)
        image = _paint(image, np.hypot(x - hand_x, y - hand_y) - 0.062, skin)
    image = _paint(image, np.maximum(abs(x - 0.5) - 0.14, abs(y - 0.52) - 0.18), shirt)
    image = _paint(image, np.hypot(x - 0.5, y - 0.20) - 0.125, skin)
    return _paint(image, np.maximum(np.hypot(x - 0.5, y - 0.19) - 0.135, y - 0.15), (0.25, 0.15, 0.08))


def _face(image: np.ndarray, face: Face) -> np.ndarray:
    x, y = _grid(image.shape[0])
    skin = np.array(SKINS[face.skin])
    image = _paint(image, np.hypot(x - 0.5, (y - 0.48) * 0.92) - 0.43, HAIRS[face.hair])
    image = _paint(image, np.hypot((x - 0.5) * 1.08, (y - 0.56) * 0.92) - 0.34, skin)
    for side in (-1, 1):
        image = _paint(image, np.hypot((x - 0.5 - side * 0.15) * 0.85, y - 0.47) - 0.092, (1.0, 1.0, 1.0))
        image = _paint(image, np.hypot(x - 0.5 - side * 0.15, y - 0.47) - 0.070, EYES[face.eyes])
        image = _paint(image, np.hypot(x - 0.5 - side * 0.15, y - 0.47) - 0.026, (0.0, 0.0, 0.0))
    if face.freckles:
        for side in (-1, 1):
            for fx, fy in ((0.10, 0.62), (0.20, 0.60), (0.16, 0.68), (0.07, 0.34)):
                image = _paint(image, np.hypot(x - 0.5 - side * fx, y - fy) - 0.030, skin * (0.62, 0.45, 0.40))
    lips = (0.88, 0.05, 0.15) if face.lipstick else skin * (0.72, 0.55, 0.52)
    return _paint(image, np.hypot((x - 0.5) * 0.50, y - 0.78) - 0.060, lips)


def _sign(image: np.ndarray, sign: Sign) -> np.ndarray:
    """A white board with a three-letter word; glyph cells are 1/16 of the side, so that they stay crisp."""
    size = image.shape[0]
    x, y = _grid(size)
    cell = size // 16
    image = _paint(image, np.maximum(abs(x - 0.5) - 0.04, 0.6 - y), (0.40, 0.28, 0.16))
    image = _paint(image, np.maximum(abs(x - 0.5) - 0.46, abs(y - 0.5) - 0.25), OUTLINE_COLOR)
    image = _paint(image, np.maximum(abs(x - 0.5) - 0.43, abs(y - 0.5) - 0.22), (0.98, 0.98, 0.96))
    for i, letter in enumerate(sign.word):
        for j, bit in enumerate(FONT[letter]):
            if bit == "1":
                left, top = (2.5 + 4 * i + j % 3) * cell, (5.5 + j // 3) * cell
                image[int(top) : int(top) + cell, int(left) : int(left) + cell] = INKS[sign.ink]
    return image


def _blur(image: np.ndarray, radius: int) -> np.ndarray:
    for axis in (0, 1):
        padded = np.pad(image, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="edge")
        n = image.shape[axis]
        image = np.mean([padded.take(range(i, i + n), axis) for i in range(2 * radius + 1)], axis=0)
    return image


def _stylize(image: np.ndarray, style: str) -> np.ndarray:
    size = image.shape[0]
    match style:
        case "pencil sketch":
            grey = _blur(image, size // 32).mean(-1)
            edges = np.hypot(*np.gradient(grey)) * size / 32
            tone = np.clip(0.72 + 0.35 * grey - 2.6 * edges, 0, 1)
            return np.repeat(tone[..., None], 3, -1)
        case "watercolor":
            soft = _blur(_blur(image, size // 16), size // 16)
            return 0.42 + 0.58 * soft
        case "pixel art":
            cell = size // 8
            blocks = image.reshape(8, cell, 8, cell, 3).mean((1, 3))
            return blocks.repeat(cell, 0).repeat(cell, 1)
        case "pop art":
            grey = image.mean(-1, keepdims=True)
            ramp = np.array([(0.25, 0.0, 0.45), (0.95, 0.10, 0.45), (1.0, 0.85, 0.10)])
            level = np.clip((grey - 0.33) * 8, 0, 1), np.clip((grey - 0.66) * 8, 0, 1)
            return ramp[0] + level[0] * (ramp[1] - ramp[0]) + level[1] * (ramp[2] - ramp[1])
    raise ValueError(f"unknown style {style!r}")


def _grade(image: np.ndarray, tone: str) -> np.ndarray:
    grey = image.mean(-1, keepdims=True)
    match tone:
        case "warm":
            return np.clip(image * (1.15, 0.88, 0.50) + (0.12, 0.04, 0.0), 0, 1)
        case "cold":
            return np.clip(image * (0.55, 0.85, 1.10) + (0.0, 0.03, 0.12), 0, 1)
        case "dark":
            return image * (0.28, 0.30, 0.45)
        case "sepia":
            return np.clip(grey * (1.0, 0.80, 0.55) * 0.95 + 0.04, 0, 1)
        case "bright":
            return 1 - (1 - image) * 0.45
    raise ValueError(f"unknown tone {tone!r}")


def render(scene: Scene, size: int, blobs: tuple[Blob, ...] = ()) -> np.ndarray:
    """Draw `scene` with its things, or with `blobs` (things on their way) instead: float RGB (S, S, 3)."""
    fine = size * SUPERSAMPLE
    image = _background(scene.background, fine).copy()
    for blob in blobs or (Blob(thing, thing, 0.0) for thing in scene.things):
        image = _thing(image, blob)
    if scene.person:
        image = _person(image, scene.person)
    if scene.face:
        image = _face(image, scene.face)
    if scene.sign:
        image = _sign(image, scene.sign)
    if scene.style:
        image = _stylize(image, scene.style)
    if scene.tone:
        image = _grade(image, scene.tone)
    return image.reshape(size, SUPERSAMPLE, size, SUPERSAMPLE, 3).mean((1, 3))
