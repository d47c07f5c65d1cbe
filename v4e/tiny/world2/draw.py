"""Scenes to pixels, and the clip that leads from one scene to another."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from v4e.tiny.world2 import people
from v4e.tiny.world2.looks import grade, stylize
from v4e.tiny.world2.places import backdrop
from v4e.tiny.world2.scene import SLOTS, Person, Scene, Thing
from v4e.tiny.world2.sprites import paste, sprite

STILL = 4  # pixel frames of the last latent frame, in which the edit is at rest
ANGLES = 24  # places of an arm on its way
Image = np.ndarray


@lru_cache(maxsize=512)
def render(scene: Scene, size: int) -> Image:
    """Draws a scene: float32 RGB (S, S, 3) in [0, 1]. The picture is shared: do not write to it."""
    return _look(scene, _things(_ground(scene, size), scene, scene, 0.0))


def clip(before: Scene, after: Scene, frames: int, size: int, reach: float = 1.0) -> np.ndarray:
    """Draws the evolution from `before` to `after`: uint8 (P, S, S, 3).

    Frame 0 is the source. With 9 frames or more the last four, which are the last latent frame, show the edit at rest.
    With a smaller `reach` the evolution stops at that share of the way.
    """
    first, last = render(before, size), render(after, size)
    pictures = []
    for f in reach * ways(frames):
        if f in (0.0, 1.0):
            pictures.append(last if f else first)
        elif before.things != after.things or before.person != after.person:
            pictures.append(_look(before, _things(_ground(_between(before, after, f), size), before, after, f)))
        else:
            pictures.append(first + f * (last - first))
    return to_bytes(np.stack(pictures))


def ways(frames: int) -> np.ndarray:
    """Returns how far a clip's frames are on their way, from 0 to 1, slowly at both ends."""
    moving = frames - STILL + 1 if frames > STILL + 1 else frames
    steps = np.concatenate([np.linspace(0, 1, moving), np.ones(frames - moving)])
    return steps * steps * (3 - 2 * steps)


def to_bytes(image: Image) -> np.ndarray:
    """Returns a picture or clip as uint8; in float32, so that one picture has the same bytes alone and in a clip."""
    return (np.clip(image.astype(np.float32), 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _ground(scene: Scene, size: int) -> Image:
    """Draws all but the things, without style and tone."""
    image = backdrop(scene.place, scene.variant, size)
    if scene.person:
        image = people.over(image, people.person(scene.person, size))
    if scene.face:
        image = people.over(image, people.face(scene.face, size))
    if scene.sign:
        image = people.over(image, people.sign(scene.sign, size))
    return image.copy()


def _look(scene: Scene, image: Image) -> Image:
    image = stylize(image, scene.style) if scene.style else image
    return grade(image, scene.tone) if scene.tone else image


def _between(before: Scene, after: Scene, f: float) -> Scene:
    """Returns the scene whose person is `f` of the way between two."""
    if before.person is None or after.person is None or before.person == after.person:
        return before

    def arm(start: float, end: float) -> float:
        return round((start + f * (end - start)) * ANGLES) / ANGLES

    one, other = before.person, after.person
    moved: Person = replace(one, left=arm(one.left, other.left), right=arm(one.right, other.right))
    return replace(before, person=moved)


def _things(image: Image, before: Scene, after: Scene, f: float) -> Image:
    """Lays the things over an image, in place, each `f` of the way between two scenes."""
    for start, end in zip(before.things, after.things, strict=True):
        if start is None and end is None:
            continue
        if start is None or end is None:
            _appear(image, start or end, f if start is None else 1 - f)
        else:
            _change(image, start, end, f)
    return image


def _appear(image: Image, thing: Thing | None, f: float) -> None:
    """Draws a thing that has grown to `f` of its size."""
    assert thing is not None
    if f > 0:
        scale = max(0.2, round(f * 8) / 8)
        made = sprite(thing.shape, thing.shape, 0.0, thing.color, thing.material, scale, image.shape[0])
        paste(image, made, *SLOTS[thing.where], opacity=min(1.0, 2 * f))


def _change(image: Image, start: Thing, end: Thing, f: float) -> None:
    """Draws a thing that moves, morphs, or changes its color or material."""
    (x0, y0), (x1, y1) = SLOTS[start.where], SLOTS[end.where]
    x, y = x0 + f * (x1 - x0), y0 + f * (y1 - y0)
    size, along = image.shape[0], round(8 * f) / 8 if start.shape != end.shape else 0.0
    made = sprite(start.shape, end.shape, along, start.color, start.material, 1.0, size)
    if f and (start.color, start.material) != (end.color, end.material):
        other = sprite(start.shape, end.shape, along, end.color, end.material, 1.0, size)
        made = made + f * (other - made)
    paste(image, made, x, y)
