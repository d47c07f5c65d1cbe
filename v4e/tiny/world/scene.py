"""The contents of a scene of the evolution world: plain data, named as people name things."""

from dataclasses import dataclass

COLORS = {
    "red": (0.90, 0.14, 0.14),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (1.00, 0.90, 0.15),
    "green": (0.10, 0.70, 0.22),
    "blue": (0.12, 0.30, 0.95),
    "purple": (0.58, 0.16, 0.80),
    "pink": (1.00, 0.50, 0.75),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
MATERIALS = ("plain", "striped", "checkered", "metal", "glass")
SLOTS = {  # centre (x, y) of a thing, in units of the image side
    "top left": (0.27, 0.27),
    "top right": (0.73, 0.27),
    "bottom left": (0.27, 0.73),
    "bottom right": (0.73, 0.73),
}
BACKGROUNDS = ("beach", "forest", "night sky", "desert", "snow", "city", "ocean", "meadow")
WORDS = ("YES", "BUS", "CAR", "ICE", "FOX", "TEA")
INKS = {"black": (0.05, 0.05, 0.05), "red": COLORS["red"], "blue": COLORS["blue"]}
SKINS = ((0.97, 0.80, 0.66), (0.85, 0.63, 0.45), (0.58, 0.39, 0.26))
HAIRS = {
    "black": (0.08, 0.07, 0.08),
    "brown": (0.42, 0.24, 0.10),
    "blond": (0.96, 0.82, 0.38),
    "red": (0.78, 0.24, 0.08),
}
EYES = {"brown": (0.36, 0.20, 0.08), "blue": (0.15, 0.45, 1.00), "green": (0.10, 0.75, 0.25)}
STYLES = ("pencil sketch", "watercolor", "pixel art", "pop art")
TONES = ("warm", "cold", "dark", "sepia", "bright")
ARMS = ("left", "right")  # as seen in the picture


@dataclass(frozen=True)
class Thing:
    shape: str
    color: str
    material: str
    slot: str


@dataclass(frozen=True)
class Person:
    shirt: str  # a color
    left_up: float = 0.0  # 0 = arm hangs, 1 = arm raised
    right_up: float = 0.0


@dataclass(frozen=True)
class Face:
    skin: int  # of SKINS
    hair: str
    eyes: str
    freckles: bool = True
    lipstick: bool = False


@dataclass(frozen=True)
class Sign:
    word: str
    ink: str


@dataclass(frozen=True)
class Scene:
    background: str
    things: tuple[Thing, ...] = ()
    person: Person | None = None
    face: Face | None = None
    sign: Sign | None = None
    style: str = ""
    tone: str = ""


def held_out(color: str, shape: str) -> bool:
    """Combinations never drawn outside the held-out split: one color for each shape."""
    return (3 * list(COLORS).index(color) + SHAPES.index(shape)) % 7 == 2
