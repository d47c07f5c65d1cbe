"""The contents of a scene of World 2: plain data, named as people name things.

Places are in units of the image side, x to the right and y down.
"""

from dataclasses import dataclass, replace

# Near the corners of the color cube: no two are so alike that one could pass for the other.
COLORS = {
    "red": (0.90, 0.15, 0.13),
    "yellow": (0.98, 0.86, 0.14),
    "green": (0.14, 0.72, 0.24),
    "turquoise": (0.12, 0.84, 0.86),
    "blue": (0.12, 0.24, 0.90),
    "pink": (0.96, 0.36, 0.80),
    "white": (0.96, 0.96, 0.94),
    "black": (0.11, 0.11, 0.13),
}
SHAPES = ("ball", "block", "triangle", "star", "heart", "moon", "ring", "kite", "flower", "cross")
MATERIALS = ("plain", "striped", "checkered", "dotted", "metal", "glass")
SLOTS = {  # centre of a thing
    "top left": (0.26, 0.27),
    "top right": (0.74, 0.27),
    "bottom left": (0.26, 0.73),
    "bottom right": (0.74, 0.73),
}
RADIUS = 0.21  # of a thing
PLACES = ("beach", "forest", "night sky", "desert", "snow", "city", "ocean", "meadow", "sunset")
WORDS = {  # by what they are
    "an animal": ("CAT", "DOG", "FOX", "PIG", "APE"),
    "a vehicle": ("BUS", "CAR", "VAN", "SUB", "SUV"),
    "something to eat or drink": ("TEA", "ICE", "PIE", "NUT", "EGG"),
}
INKS = {"black": COLORS["black"], "red": COLORS["red"], "blue": COLORS["blue"]}
SKINS = ((0.98, 0.82, 0.70), (0.87, 0.66, 0.48), (0.62, 0.42, 0.28), (0.42, 0.27, 0.18))
HAIRS = {
    "black": (0.10, 0.09, 0.11),
    "brown": (0.45, 0.26, 0.11),
    "blond": (0.98, 0.84, 0.38),
    "red": (0.84, 0.28, 0.08),
    "blue": (0.20, 0.40, 0.95),
    "white": (0.93, 0.93, 0.95),
}
EYES = {"brown": (0.34, 0.18, 0.07), "blue": (0.10, 0.45, 1.00), "green": (0.05, 0.75, 0.22)}
EXTRAS = {"glasses": "glasses", "hat": "a hat", "lipstick": "lipstick", "beard": "a beard"}  # what a face can wear
STYLES = ("pencil sketch", "watercolor", "pixel art", "pop art", "negative")
TONES = ("warm", "cold", "dark", "bright", "black and white")
ARMS = ("left", "right")  # as seen in the picture


@dataclass(frozen=True)
class Thing:
    """A thing at a place; `where` is a name of SLOTS."""

    shape: str
    color: str
    where: str
    material: str = "plain"


@dataclass(frozen=True)
class Person:
    """A person, seen whole. An arm hangs at 0 and is raised at 1."""

    shirt: str  # a name of COLORS
    hair: str
    skin: int  # of SKINS
    left: float = 0.0
    right: float = 0.0


@dataclass(frozen=True)
class Face:
    """A portrait."""

    skin: int  # of SKINS
    hair: str
    eyes: str
    extras: frozenset[str] = frozenset()  # names of EXTRAS


@dataclass(frozen=True)
class Sign:
    """A board with a word of three letters."""

    word: str
    ink: str


@dataclass(frozen=True)
class Scene:
    """The contents of a picture. A thing that is None is one that the other end of an edit has."""

    place: str
    variant: int = 0  # of the place: 0 to 3
    things: tuple[Thing | None, ...] = ()
    person: Person | None = None
    face: Face | None = None
    sign: Sign | None = None
    style: str = ""
    tone: str = ""


def with_thing(scene: Scene, at: int, thing: Thing | None) -> Scene:
    """Returns `scene` with another thing, or none, at the index `at` of its things."""
    return replace(scene, things=(*scene.things[:at], thing, *scene.things[at + 1 :]))


def held_out(color: str, shape: str) -> bool:
    """Returns whether a combination is drawn in the held-out split only: one color for each shape."""
    return (3 * list(COLORS).index(color) + SHAPES.index(shape)) % len(COLORS) == 2
