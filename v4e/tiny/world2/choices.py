"""The values that an open instruction leaves to choose from, in an order, the likeliest first.

The prior over those that remain for a scene is Zipf's. So valid outcomes can be listed and drawn, and the choices of a
model can be compared with them.
"""

from collections.abc import Mapping, Sequence
from random import Random

from v4e.tiny.world2.scene import EXTRAS, EYES, HAIRS, STYLES

COMMON = ("red", "blue", "yellow", "green", "pink", "turquoise")  # colors that nobody named
USUAL = ("ball", "star", "heart", "block", "ring")  # shapes likewise
FREE = ("bottom right", "top left", "bottom left", "top right")  # places likewise
PLACE_GROUPS = {
    "somewhere with water": ("beach", "ocean", "sunset"),
    "somewhere warm": ("desert", "beach", "meadow"),
    "somewhere in nature": ("forest", "meadow", "snow", "desert", "ocean"),
    "somewhere far from people": ("snow", "night sky", "ocean", "desert", "forest"),
    "somewhere with a beautiful sky": ("sunset", "night sky", "beach", "meadow"),
}
COLOR_GROUPS = {
    "another color": COMMON,
    "a warm color": ("red", "yellow", "pink"),
    "a cold color": ("blue", "green", "turquoise"),
}
MATERIAL_GROUPS = {
    "a pattern": ("striped", "dotted", "checkered"),
    "another material": ("metal", "striped", "glass", "dotted", "checkered"),
    "a smooth finish": ("metal", "glass"),
}
TONE_GROUPS = {
    "the mood": ("warm", "dark", "cold", "bright", "black and white"),
    "the brightness": ("dark", "bright"),
    "the colors": ("warm", "cold", "black and white"),
}
WAYS = {"up": "top", "down": "bottom"}
HAIR_ORDER, EYE_ORDER, EXTRA_ORDER, STYLE_ORDER = tuple(HAIRS), tuple(EYES), tuple(EXTRAS), STYLES


def zipf(count: int) -> tuple[float, ...]:
    """Returns the prior of `count` outcomes, likeliest first: proportional to 1, 1/2, 1/3 and so on."""
    weights = [1 / (rank + 1) for rank in range(count)]
    return tuple(weight / sum(weights) for weight in weights)


def likelier(rng: Random, groups: Mapping[str, Sequence[str]]) -> str:
    """Returns the name of a group: larger ones are likelier, so that there is more to choose."""
    return rng.choices(list(groups), [len(values) ** 2 for values in groups.values()])[0]
