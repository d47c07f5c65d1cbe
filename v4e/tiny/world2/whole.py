"""Edits of people, portraits, signs and whole pictures: motion of arms, portrait, text, background, style, tone."""

from dataclasses import replace
from random import Random

from v4e.tiny.world2.choices import (
    EXTRA_ORDER,
    EYE_ORDER,
    HAIR_ORDER,
    PLACE_GROUPS,
    STYLE_ORDER,
    TONE_GROUPS,
    likelier,
)
from v4e.tiny.world2.edits import WorldEdit, edit
from v4e.tiny.world2.local import scene_of, things
from v4e.tiny.world2.scene import (
    ARMS,
    COLORS,
    EXTRAS,
    EYES,
    HAIRS,
    INKS,
    PLACES,
    SKINS,
    STYLES,
    TONES,
    WORDS,
    Face,
    Person,
    Scene,
    Sign,
)


def any_scene(rng: Random, novel: bool) -> Scene:
    """Draws any scene: what edits of the whole picture are made on."""
    before = Scene(rng.choice(PLACES), rng.randrange(4))
    match rng.choice(("things", "things", "person", "face", "sign")):
        case "things":
            return scene_of(rng, *things(rng, rng.choice((1, 2, 3)), novel=novel))
        case "person":
            return replace(before, person=_person(rng))
        case "face":
            return replace(before, face=_face(rng))
    return replace(before, sign=_sign(rng))


def _person(rng: Random) -> Person:
    arms = {side: float(rng.random() < 0.5) for side in ARMS}
    return Person(rng.choice(list(COLORS)), rng.choice(list(HAIRS)), rng.randrange(len(SKINS)), **arms)


def _face(rng: Random) -> Face:
    extras = frozenset(extra for extra in EXTRAS if rng.random() < 0.2)
    return Face(rng.randrange(len(SKINS)), rng.choice(list(HAIRS)), rng.choice(list(EYES)), extras)


def _sign(rng: Random) -> Sign:
    return Sign(rng.choice([word for words in WORDS.values() for word in words]), rng.choice(list(INKS)))


def arm(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Raises or lowers an arm of a person: a named one, or either where both are in the same position."""
    person, side = _person(rng), rng.choice(ARMS)
    if aspect:
        person = replace(person, right=person.left)
    start = getattr(person, side)
    verb, does = ("lower", "lowers") if start else ("raise", "rises")
    before = Scene(rng.choice(PLACES), rng.randrange(4), person=person)
    drawn = [
        (replace(before, person=replace(person, **{one: 1 - start})), {"side": one, "verb": verb, "does": does})
        for one in (ARMS[::-1] if aspect else (side,))
    ]
    return edit("motion", "arm", aspect, {"verb": verb, "does": does}, before, drawn)


def portrait(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Changes hair or eyes of a portrait, or gives the face something to wear: a named one, or any other."""
    face = _face(rng)
    before = Scene(rng.choice(PLACES), rng.randrange(4), face=face)
    told = rng.choice(("hair", "eyes", "extra"))
    if told == "extra":
        face = replace(face, extras=frozenset(rng.sample(EXTRA_ORDER, rng.choice((0, 0, 1)))))
        before = replace(before, face=face)
        options = [extra for extra in EXTRA_ORDER if extra not in face.extras]
        made = options if aspect else [rng.choice(options)]
        drawn = [(replace(before, face=replace(face, extras=face.extras | {e})), {"extra": EXTRAS[e]}) for e in made]
    else:
        order = HAIR_ORDER if told == "hair" else EYE_ORDER
        options = [value for value in order if value != getattr(face, told)]
        made = options if aspect else [rng.choice(options)]
        drawn = [(replace(before, face=replace(face, **{told: value})), {"color": value}) for value in made]
    return edit("portrait", told, aspect, {}, before, drawn)


def text(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Changes the word on a sign: to a named one, or to any of a kind."""
    sign, group = _sign(rng), rng.choice(list(WORDS))
    before = Scene(rng.choice(PLACES), rng.randrange(4), sign=sign)
    every = [word for words in WORDS.values() for word in words if word != sign.word]
    made = [word for word in WORDS[group] if word != sign.word] if aspect else [rng.choice(every)]
    drawn = [(replace(before, sign=replace(sign, word=w)), {"word": w, "old_word": sign.word}) for w in made]
    return edit("text", "text", aspect, {"group": group, "old_word": sign.word}, before, drawn)


def background(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Brings a scene to another place: a named one, or any of a group. It is seen there as variant 0."""
    before = any_scene(rng, novel)
    group = likelier(rng, PLACE_GROUPS)
    others = [place for place in PLACES if place != before.place]
    made = [p for p in PLACE_GROUPS[group] if p != before.place] if aspect else [rng.choice(others)]
    drawn = [(replace(before, place=place, variant=0), {"where": place}) for place in made]
    return edit("background", "background", aspect, {"group": group}, before, drawn)


def style(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Redraws a picture in a named style, or in any."""
    before = any_scene(rng, novel)
    made = STYLE_ORDER if aspect else (rng.choice(STYLES),)
    return edit("style", "style", aspect, {}, before, [(replace(before, style=s), {"style": s}) for s in made])


def tone(rng: Random, aspect: str, novel: bool) -> WorldEdit:
    """Changes the light of a picture to a named tone, or to any of a group."""
    before, group = any_scene(rng, novel), likelier(rng, TONE_GROUPS)
    made = TONE_GROUPS[group] if aspect else (rng.choice(TONES),)
    drawn = [(replace(before, tone=t), {"mood": t}) for t in made]
    return edit("tone", "tone", aspect, {"group": group}, before, drawn)
