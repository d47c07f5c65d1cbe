"""People, portraits and signs, laid over a place. Images are float32 RGB (S, S, 3) in [0, 1].

A layer is float32 (S, S, 4): color times opacity, then opacity.
"""

from functools import lru_cache

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from v4e.tiny.world2.scene import COLORS, EYES, HAIRS, INKS, SKINS, Face, Person, Sign

FINE = 4  # samples along a pixel's side
GLYPHS = {  # 3 x 5, rows from the top
    "A": "010101111101101", "B": "110101110101110", "C": "011100100100011", "D": "110101101101110",
    "E": "111100110100111", "F": "111100110100100", "G": "011100101101011", "I": "111010010010111",
    "N": "110101101101101", "O": "111101101101111", "P": "110101110100100", "R": "110101110101101",
    "S": "011100010001110", "T": "111010010010010", "U": "101101101101111", "V": "101101101101010",
    "X": "101101010101101", "Y": "101101010010010",
}  # fmt: skip
DARK = (0.10, 0.10, 0.13)
HAT, BRIM, LIPS = (0.72, 0.10, 0.14), (0.52, 0.05, 0.09), (0.86, 0.04, 0.18)
WOOD, PAPER = (0.42, 0.29, 0.16), (0.98, 0.97, 0.92)
Image = np.ndarray


class Canvas:
    """A picture that is painted from back to front; coordinates are in units of its side."""

    def __init__(self, size: int) -> None:
        self.side = size * FINE
        self.picture = Picture.new("RGBA", (self.side, self.side))
        self.pen = ImageDraw.Draw(self.picture)

    def disc(self, x: float, y: float, wide: float, tall: float, color, start: float = 0, end: float = 360) -> None:
        """Paints an ellipse of radii `wide` and `tall`, or its part between two angles, in degrees clockwise."""
        self.pen.chord(self._box(x, y, wide, tall), start, end, fill=_bytes(color))

    def ring(self, x: float, y: float, radius: float, thick: float, color) -> None:
        """Paints a circle's line."""
        self.pen.ellipse(self._box(x, y, radius, radius), outline=_bytes(color), width=round(thick * self.side))

    def box(self, x: float, y: float, wide: float, tall: float, color, corner: float = 0.0) -> None:
        """Paints a box of half sides `wide` and `tall` with round corners."""
        self.pen.rounded_rectangle(self._box(x, y, wide, tall), corner * self.side, fill=_bytes(color))

    def limb(self, x0: float, y0: float, x1: float, y1: float, radius: float, color) -> None:
        """Paints a line with round ends."""
        ends = [at * self.side for at in (x0, y0, x1, y1)]
        self.pen.line(ends, fill=_bytes(color), width=round(2 * radius * self.side))
        for x, y in ((x0, y0), (x1, y1)):
            self.disc(x, y, radius, radius, color)

    def layer(self) -> Image:
        """Returns the picture as a layer. Its points are opaque or empty, so their means are color times opacity."""
        size = self.side // FINE
        samples = np.asarray(self.picture).reshape(size, FINE, size, FINE, 4)
        return samples.mean((1, 3), dtype=np.float32) / np.float32(255)

    def _box(self, x: float, y: float, wide: float, tall: float) -> tuple[float, ...]:
        return tuple(at * self.side for at in (x - wide, y - tall, x + wide, y + tall))


def _bytes(color) -> tuple[int, ...]:
    return tuple(round(255 * min(1.0, max(0.0, float(part)))) for part in color)


def over(image: Image, layer: Image) -> Image:
    """Returns a layer laid over an image."""
    return image * (1 - layer[..., 3:]) + layer[..., :3]


@lru_cache(maxsize=2048)
def person(one: Person, size: int) -> Image:
    """Draws a person as a layer."""
    canvas, skin, shirt, hair = Canvas(size), SKINS[one.skin], np.array(COLORS[one.shirt]), HAIRS[one.hair]
    canvas.disc(0.5, 0.945, 0.21, 0.035, (0.20, 0.20, 0.22))
    for side in (-1, 1):
        canvas.limb(0.5 + side * 0.06, 0.64, 0.5 + side * 0.085, 0.90, 0.052, (0.16, 0.18, 0.36))
        canvas.limb(0.5 + side * 0.085, 0.925, 0.5 + side * 0.125, 0.925, 0.030, DARK)
    for side, up in ((-1, one.left), (1, one.right)):
        angle = np.pi * (0.10 + 0.74 * up)  # from straight down, outwards and up
        hand_x, hand_y = 0.5 + side * (0.12 + 0.29 * np.sin(angle)), 0.42 + 0.29 * np.cos(angle)
        canvas.limb(0.5 + side * 0.12, 0.42, hand_x, hand_y, 0.048, shirt * 0.72 + 0.02)
        canvas.disc(hand_x, hand_y, 0.058, 0.058, skin)
    canvas.box(0.5, 0.53, 0.145, 0.17, shirt, 0.06)
    canvas.disc(0.5, 0.215, 0.138, 0.138, hair)
    canvas.disc(0.5, 0.245, 0.112, 0.112, skin)
    for side in (-1, 1):
        canvas.disc(0.5 + side * 0.045, 0.245, 0.017, 0.017, DARK)
    canvas.disc(0.5, 0.298, 0.030, 0.015, (0.70, 0.25, 0.25))
    return canvas.layer()


@lru_cache(maxsize=2048)
def face(one: Face, size: int) -> Image:
    """Draws a portrait as a layer."""
    canvas, skin, hair = Canvas(size), np.array(SKINS[one.skin]), np.array(HAIRS[one.hair])
    canvas.box(0.5, 1.00, 0.40, 0.14, (0.36, 0.42, 0.56), 0.12)
    canvas.disc(0.5, 0.44, 0.39, 0.40, hair)
    canvas.box(0.5, 0.62, 0.385, 0.22, hair, 0.10)
    canvas.box(0.5, 0.84, 0.10, 0.10, skin * 0.90)
    canvas.disc(0.5, 0.52, 0.305, 0.345, skin)
    canvas.disc(0.5, 0.42, 0.355, 0.36, hair, 200, 340)
    if "beard" in one.extras:
        canvas.disc(0.5, 0.54, 0.30, 0.335, hair, 18, 162)
    for side in (-1, 1):
        at = 0.5 + side * 0.135
        canvas.disc(at, 0.47, 0.080, 0.068, (1.0, 1.0, 1.0))
        canvas.disc(at, 0.47, 0.060, 0.060, EYES[one.eyes])
        canvas.disc(at, 0.47, 0.024, 0.024, (0.02, 0.02, 0.03))
        canvas.box(at, 0.365, 0.075, 0.014, hair * 0.6, 0.012)
    canvas.disc(0.5, 0.585, 0.034, 0.030, skin * 0.84)
    painted = "lipstick" in one.extras
    canvas.disc(0.5, 0.715, 0.105 if painted else 0.085, 0.042, LIPS if painted else skin * (0.78, 0.58, 0.55))
    if "glasses" in one.extras:
        for side in (-1, 1):
            canvas.ring(0.5 + side * 0.135, 0.47, 0.138, 0.042, DARK)
        canvas.box(0.5, 0.46, 0.035, 0.018, DARK)
    if "hat" in one.extras:
        canvas.box(0.5, 0.11, 0.27, 0.16, HAT, 0.05)
        canvas.box(0.5, 0.225, 0.44, 0.045, BRIM, 0.04)
    return canvas.layer()


@lru_cache(maxsize=512)
def sign(one: Sign, size: int) -> Image:
    """Draws a board with a word as a layer. The cells of its letters are whole pixels and stay crisp."""
    canvas = Canvas(size)
    canvas.box(0.5, 0.86, 0.045, 0.20, WOOD)
    canvas.box(0.5, 0.48, 0.465, 0.27, WOOD, 0.05)
    canvas.box(0.5, 0.48, 0.430, 0.235, PAPER, 0.03)
    picture = canvas.layer()
    cell = size // 16
    left, top = (size - 11 * cell) // 2, round(0.48 * size) - 5 * cell // 2
    for i, letter in enumerate(one.word):
        for j, bit in enumerate(GLYPHS[letter]):
            if bit == "1":
                x, y = left + (4 * i + j % 3) * cell, top + j // 3 * cell
                picture[y : y + cell, x : x + cell] = (*INKS[one.ink], 1.0)
    return picture
