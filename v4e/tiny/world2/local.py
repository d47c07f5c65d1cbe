"""Edits of one thing: addition, removal, replacement, color, material, and motion of things."""

from dataclasses import replace
from random import Random

from v4e.tiny.world2.choices import COLOR_GROUPS, COMMON, FREE, MATERIAL_GROUPS, USUAL, WAYS, likelier
from v4e.tiny.world2.edits import WorldEdit, edit
from v4e.tiny.world2.scene import COLORS, MATERIALS, PLACES, SHAPES, SLOTS, Scene, Thing, held_out, with_thing

PATTERNED = 0.3  # share of bystanders that are not plain


def name(thing: Thing) -> str:
    """Returns what a thing is called: no other thing of its scene has its shape."""
    return f"{thing.color} {thing.shape}"


def things(rng: Random, count: int, *, novel: bool) -> tuple[Thing, ...]:
    """Draws `count` things of different shapes and places; the first one is plain, and alone may be `novel`."""
    found: tuple[Thing, ...] = ()
    for i, where in enumerate(rng.sample(list(SLOTS), count)):
        shape = rng.choice([shape for shape in SHAPES if shape not in {thing.shape for thing in found}])
        color = rng.choice([color for color in COLORS if held_out(color, shape) == (novel and i == 0)])
        material = rng.choice(MATERIALS[1:]) if i and rng.random() < PATTERNED else "plain"
        found += (Thing(shape, color, where, material),)
    return found


def scene_of(rng: Random, *shown: Thing | None) -> Scene:
    """Draws a place for things."""
    return Scene(rng.choice(PLACES), rng.randrange(4), things=shown)


def _allowed(color: str, shape: str, novel: bool) -> bool:
    return novel or not held_out(color, shape)


def addition(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Adds a thing; its place, color or shape may be open."""
    new, *others = things(rng, rng.choice((2, 2, 3)), novel=novel)
    before = scene_of(rng, *others, None)
    taken = {thing.where for thing in others}
    shapes = {thing.shape for thing in others}
    made = {
        "": [new],
        "place": [replace(new, where=where) for where in FREE if where not in taken],
        "color": [replace(new, color=color) for color in COMMON if _allowed(color, new.shape, novel)],
        "shape": [replace(new, shape=s) for s in USUAL if s not in shapes and _allowed(new.color, s, novel)],
    }[aspect or ""]
    slots = {"new": name(new), "shape": new.shape, "color": new.color, "slot": new.where}
    drawn = [(with_thing(before, len(others), one), {"new": name(one), "slot": one.where}) for one in made]
    return edit("addition", "addition", aspect, slots, before, drawn)


def removal(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Removes a thing: a named one, any one, or one of a color."""
    shown = things(rng, rng.choice((2, 3, 4) if not aspect else (3, 4)), novel=novel)
    target = shown[0]
    if aspect == "color":
        same = [i for i, thing in enumerate(shown) if not held_out(target.color, thing.shape) or i == 0]
        shown = tuple(replace(t, color=target.color) if i in same[:3] else t for i, t in enumerate(shown))
    before = scene_of(rng, *shown)
    order = sorted(range(len(shown)), key=lambda i: FREE.index(shown[i].where))
    chosen = {
        "": [0],
        "any": order,
        "color": [i for i in order if shown[i].color == target.color],
    }[aspect]
    drawn = [(with_thing(before, i, None), {"old": name(shown[i])}) for i in chosen]
    return edit("removal", "removal", aspect, {"old": name(target), "color": target.color}, before, drawn)


def replacement(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Puts another thing in the place of one; its color or shape may be open."""
    new, target, *others = things(rng, rng.choice((2, 3, 4)), novel=novel)
    target = replace(target, material="plain")
    new = replace(new, where=target.where)
    before = scene_of(rng, target, *others)
    shapes = {thing.shape for thing in (target, *others)}
    made = {
        "": [new],
        "color": [replace(new, color=color) for color in COMMON if _allowed(color, new.shape, novel)],
        "shape": [replace(new, shape=s) for s in USUAL if s not in shapes and _allowed(new.color, s, novel)],
    }[aspect]
    slots = {"old": name(target), "new": name(new), "shape": new.shape, "color": new.color}
    drawn = [(with_thing(before, 0, one), {"old": name(target), "new": name(one)}) for one in made]
    return edit("replacement", "replacement", aspect, slots, before, drawn)


def color(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Gives a thing another color: a named one, or one of a group."""
    shown = things(rng, rng.choice((1, 2, 3)), novel=False)
    target, before = shown[0], scene_of(rng, *shown)
    group = likelier(rng, COLOR_GROUPS)
    wanted = rng.choice([c for c in COLORS if c != target.color and held_out(c, target.shape) == novel])
    colors = COLOR_GROUPS[group] if aspect else (wanted,)
    made = [c for c in colors if c != target.color and _allowed(c, target.shape, novel)]
    drawn = [(with_thing(before, 0, replace(target, color=c)), {"old": name(target), "color": c}) for c in made]
    return edit("color", "color", aspect, {"old": name(target), "group": group}, before, drawn)


def material(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Gives a thing another material: a named one, or one of a group."""
    shown = things(rng, rng.choice((1, 2, 3)), novel=novel)
    target, before = shown[0], scene_of(rng, *shown)
    group = likelier(rng, MATERIAL_GROUPS)
    made = MATERIAL_GROUPS[group] if aspect else (rng.choice(MATERIALS[1:]),)
    drawn = [(with_thing(before, 0, replace(target, material=m)), {"old": name(target), "material": m}) for m in made]
    return edit("material", "material", aspect, {"old": name(target), "group": group}, before, drawn)


def motion(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Moves a thing to a named place, to any free one, or to one of the upper or lower row."""
    shown = things(rng, rng.choice((1, 2, 3)), novel=novel)
    target, before = shown[0], scene_of(rng, *shown)
    free = [where for where in FREE if where not in {thing.where for thing in shown}]
    way = next(way for way, row in WAYS.items() if not target.where.startswith(row))
    made = {
        "": [rng.choice(free)],
        "place": free,
        "row": [where for where in free if where.startswith(WAYS[way])],
    }[aspect]
    drawn = [(with_thing(before, 0, replace(target, where=w)), {"old": name(target), "slot": w}) for w in made]
    return edit("motion", "motion", aspect, {"old": name(target), "way": way}, before, drawn)
