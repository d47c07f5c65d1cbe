"""The 11 atomic edits of Table 1: each has one right answer, and a clip that shows how it comes about."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np

from v4e.language.tasks import TASKS
from v4e.tiny.world.draw import Blob, render
from v4e.tiny.world.scene import (
    ARMS,
    BACKGROUNDS,
    COLORS,
    EYES,
    HAIRS,
    INKS,
    MATERIALS,
    SHAPES,
    SKINS,
    SLOTS,
    STYLES,
    TONES,
    WORDS,
    Face,
    Person,
    Scene,
    Sign,
    Thing,
    held_out,
)


@dataclass(frozen=True)
class WorldEdit:
    """An edit before it is drawn.

    `between(f)` gives the scene and things at `f` of the way. It is None where a cross-fade of the two ends is the
    evolution, as it is not for motion and morphing.
    """

    task: str
    kind: str  # phrasing group of v4e.tiny.world.language
    slots: dict[str, str]
    before: Scene
    after: Scene
    between: Callable[[float], tuple[Scene, tuple[Blob, ...]]] | None = None

    def frames(self, count: int, size: int, reach: float = 1.0) -> np.ndarray:
        """The ground-truth clip, uint8 (P, S, S, 3): frame 0 is the source, the last one the edit.

        With a smaller `reach` it stops at that share of the way.
        """
        steps = np.linspace(0, reach, count)
        if self.between:
            clip = np.stack([render(scene, size, blobs) for scene, blobs in map(self.between, steps)])
        else:
            first, last = render(self.before, size), render(self.after, size)
            clip = first + steps[:, None, None, None] * (last - first)
        return (clip.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _thing(rng: Random, slot: str, taken: tuple[Thing, ...], *, novel: bool, material: str = "plain") -> Thing:
    """A thing of a shape not yet `taken`; `novel` asks for a held-out combination, else they are avoided."""
    shapes = [s for s in SHAPES if s not in {t.shape for t in taken}]
    pairs = [(c, s) for c in COLORS for s in shapes if held_out(c, s) == novel]
    color, shape = rng.choice(pairs)
    return Thing(shape, color, material, slot)


def _name(thing: Thing) -> str:
    return f"{thing.color} {thing.shape}"


def _things(rng: Random, count: int, *, novel: bool) -> tuple[Thing, ...]:
    """`count` things in different slots, the first of which the edit is about (the only `novel` one)."""
    things: tuple[Thing, ...] = ()
    for i, slot in enumerate(rng.sample(list(SLOTS), count)):
        material = rng.choice(MATERIALS) if i and rng.random() < 0.4 else "plain"
        things += (_thing(rng, slot, things, novel=novel and i == 0, material=material),)
    return things


def _other(rng: Random, options, current):
    return rng.choice([o for o in options if o != current])


def _scene(rng: Random, *, novel: bool) -> Scene:
    """Any scene: what the global edits (background, style, tone) are made on."""
    background = rng.choice(BACKGROUNDS)
    match rng.choice(("things", "things", "person", "face", "sign")):
        case "things":
            return Scene(background, _things(rng, rng.choice((1, 2)), novel=novel))
        case "person":
            return Scene(background, person=_person(rng))
        case "face":
            return Scene(background, face=_face(rng))
    return Scene(background, sign=Sign(rng.choice(WORDS), rng.choice(list(INKS))))


def _person(rng: Random) -> Person:
    return Person(rng.choice(list(COLORS)), float(rng.random() < 0.5), float(rng.random() < 0.5))


def _face(rng: Random) -> Face:
    return Face(
        rng.randrange(len(SKINS)),
        rng.choice(list(HAIRS)),
        rng.choice(list(EYES)),
        freckles=rng.random() < 0.6,
        lipstick=rng.random() < 0.3,
    )


def _swap(scene: Scene, thing: Thing) -> Scene:
    return dataclasses.replace(scene, things=(thing, *scene.things[1:]))


def _blobs(before: Scene, after: Scene) -> Callable[[float], tuple[Scene, tuple[Blob, ...]]]:
    return lambda f: (before, tuple(Blob(a, b, f) for a, b in zip(before.things, after.things, strict=True)))


def _motion(rng: Random, novel: bool) -> WorldEdit:
    if rng.random() < 0.5:
        before = Scene(rng.choice(BACKGROUNDS), _things(rng, rng.choice((1, 2)), novel=novel))
        thing = before.things[0]
        free = [s for s in SLOTS if s not in {t.slot for t in before.things}]
        after = _swap(before, dataclasses.replace(thing, slot=rng.choice(free)))
        slots = {"old": _name(thing), "slot": after.things[0].slot}
        return WorldEdit("motion", "motion", slots, before, after, _blobs(before, after))
    person, side = _person(rng), rng.choice(ARMS)
    start = getattr(person, f"{side}_up")
    before = Scene(rng.choice(BACKGROUNDS), person=person)

    def at(f: float) -> Scene:
        moved = dataclasses.replace(person, **{f"{side}_up": start + f * (1 - 2 * start)})
        return dataclasses.replace(before, person=moved)

    kind = "lower" if start else "raise"
    return WorldEdit("motion", kind, {"side": side}, before, at(1.0), lambda f: (at(f), ()))


def _portrait(rng: Random) -> WorldEdit:
    face, kind = _face(rng), rng.choice(("skin", "lips", "eyes", "hair"))
    slots: dict[str, str] = {}
    match kind:
        case "skin":
            face = dataclasses.replace(face, freckles=True)
            after = dataclasses.replace(face, freckles=False)
        case "lips":
            face = dataclasses.replace(face, lipstick=False)
            after = dataclasses.replace(face, lipstick=True)
        case "eyes":
            slots["color"] = _other(rng, EYES, face.eyes)
            after = dataclasses.replace(face, eyes=slots["color"])
        case _:
            slots["color"] = _other(rng, HAIRS, face.hair)
            after = dataclasses.replace(face, hair=slots["color"])
    background = rng.choice(BACKGROUNDS)
    return WorldEdit("portrait", kind, slots, Scene(background, face=face), Scene(background, face=after))


def make_edit(rng: Random, task: str, *, novel: bool = False) -> WorldEdit:
    """Draw an edit of `task`. `novel`: the thing it is about is a held-out combination of color and shape."""
    background = rng.choice(BACKGROUNDS)
    match task:
        case "addition":
            things = _things(rng, rng.choice((1, 1, 2)), novel=novel)
            before, after = Scene(background, things[1:]), Scene(background, things)
            return WorldEdit(task, task, {"new": _name(things[0]), "slot": things[0].slot}, before, after)
        case "removal":
            things = _things(rng, rng.choice((1, 2)), novel=novel)
            return WorldEdit(
                task, task, {"old": _name(things[0])}, Scene(background, things), Scene(background, things[1:])
            )
        case "replacement":
            before = Scene(background, _things(rng, rng.choice((1, 2)), novel=False))
            new = _thing(rng, before.things[0].slot, before.things, novel=novel)
            slots = {"old": _name(before.things[0]), "new": _name(new)}
            after = _swap(before, new)
            return WorldEdit(task, task, slots, before, after, _blobs(before, after))
        case "background":
            before = _scene(rng, novel=novel)
            name = _other(rng, BACKGROUNDS, before.background)
            return WorldEdit(task, task, {"background": name}, before, dataclasses.replace(before, background=name))
        case "color":
            before = Scene(background, _things(rng, rng.choice((1, 2)), novel=False))
            thing = before.things[0]
            # Every shape has one held-out color, and the thing, which is not novel, never has it already.
            color = rng.choice([c for c in COLORS if c != thing.color and held_out(c, thing.shape) == novel])
            after = _swap(before, dataclasses.replace(thing, color=color))
            return WorldEdit(task, task, {"old": _name(thing), "color": color}, before, after)
        case "material":
            before = Scene(background, _things(rng, rng.choice((1, 2)), novel=novel))
            material = _other(rng, MATERIALS, "plain")
            after = _swap(before, dataclasses.replace(before.things[0], material=material))
            return WorldEdit(task, task, {"old": _name(before.things[0]), "material": material}, before, after)
        case "text":
            sign = Sign(rng.choice(WORDS), rng.choice(list(INKS)))
            word = _other(rng, WORDS, sign.word)
            slots = {"old_word": sign.word, "word": word}
            after = Scene(background, sign=Sign(word, sign.ink))
            return WorldEdit(task, task, slots, Scene(background, sign=sign), after)
        case "motion":
            return _motion(rng, novel)
        case "portrait":
            return _portrait(rng)
        case "style":
            before, style = _scene(rng, novel=novel), rng.choice(STYLES)
            return WorldEdit(task, task, {"style": style}, before, dataclasses.replace(before, style=style))
        case "tone":
            before, tone = _scene(rng, novel=novel), rng.choice(TONES)
            return WorldEdit(task, task, {"mood": tone}, before, dataclasses.replace(before, tone=tone))
    raise ValueError(f"unknown task {task!r}: expected one of {', '.join(TASKS)}")
