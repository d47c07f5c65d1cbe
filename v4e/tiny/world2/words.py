"""The words of World 2: instructions and evolution captions, by templates over the slots of an edit.

An instruction is closed, or open by one aspect. An open one has two captions. The open caption is as vague as the
instruction. The resolving one is the closed caption of the outcome that is shown.
"""

from random import Random

ADVERBS = ("gradually", "slowly", "smoothly", "steadily", "gently")
CLOSINGS = (
    "while everything else remains still",
    "while everything else stays the same",
    "while everything else remains unchanged",
    "with all other elements unchanged",
    "while the rest of the scene remains unchanged",
)
PLACE_WORDS = {
    "beach": ("a beach", "a sunny beach"),
    "forest": ("a forest", "a dense forest"),
    "night sky": ("a night sky", "a starry night sky"),
    "desert": ("a desert", "a sandy desert"),
    "snow": ("a snowy landscape", "snowy mountains"),
    "city": ("a city", "a city skyline"),
    "ocean": ("the ocean", "an ocean"),
    "meadow": ("a meadow", "a green meadow"),
    "sunset": ("a sunset", "a sunset over the sea"),
}
MATERIAL_WORDS = {
    "striped": ("striped", "stripes"),
    "checkered": ("checkered", "checks"),
    "dotted": ("dotted", "dots"),
    "metal": ("metallic", "metal"),
    "glass": ("glass", "glass"),
}
TONE_WORDS = {
    "warm": ("warm tones", "a warm look"),
    "cold": ("cold tones", "a cold blue grade"),
    "dark": ("a dark night-time look", "darkness"),
    "bright": ("a bright overexposed look", "bright light"),
    "black and white": ("black and white tones", "a black and white look"),
}

# A kind is a task, or a part of one; an aspect behind a slash is what is left open.
INSTRUCTIONS = {
    "addition": (
        "add {a_new} in the {slot}",
        "put {a_new} at the {slot}",
        "insert {a_new} at the {slot}",
        "place {a_new} in the {slot}",
        "there should be {a_new} in the {slot}",
    ),
    "addition/place": ("add {a_new}", "put {a_new} somewhere", "insert {a_new}", "there should be {a_new}"),
    "addition/color": ("add {a_shape} in the {slot}", "put {a_shape} at the {slot}", "insert {a_shape} at the {slot}"),
    "addition/shape": ("add something {color} in the {slot}", "put something {color} at the {slot}"),
    "removal": (
        "remove the {old}",
        "delete the {old}",
        "erase the {old}",
        "get rid of the {old}",
        "take away the {old}",
    ),
    "removal/any": ("remove one of the objects", "delete one object", "take away one of the things", "erase one thing"),
    "removal/color": ("remove something {color}", "delete one of the {color} things", "take away something {color}"),
    "replacement": (
        "replace the {old} with {a_new}",
        "swap the {old} for {a_new}",
        "turn the {old} into {a_new}",
        "exchange the {old} for {a_new}",
        "change the {old} into {a_new}",
    ),
    "replacement/color": (
        "replace the {old} with {a_shape}",
        "swap the {old} for {a_shape}",
        "turn the {old} into {a_shape}",
    ),
    "replacement/shape": ("replace the {old} with something {color}", "swap the {old} for something {color}"),
    "background": (
        "change the background to {place}",
        "make the background {place}",
        "replace the background with {place}",
        "put {place} in the background",
    ),
    "background/group": ("change the background to {group}", "set the scene {group}", "bring it {group}"),
    "color": (
        "make the {old} {color}",
        "change the color of the {old} to {color}",
        "paint the {old} {color}",
        "recolor the {old} to {color}",
        "the {old} should be {color}",
    ),
    "color/group": ("make the {old} {group}", "change the color of the {old} to {group}", "paint the {old} in {group}"),
    "material": (
        "make the {old} {adjective}",
        "give the {old} a {noun} texture",
        "change the material of the {old} to {noun}",
        "the {old} should look {adjective}",
    ),
    "material/group": ("give the {old} {group}", "the {old} should have {group}", "let the {old} have {group}"),
    "text": (
        'change the text to "{word}"',
        'make the sign say "{word}"',
        'replace "{old_word}" with "{word}"',
        'the sign should read "{word}"',
    ),
    "text/group": (
        "change the text to the name of {group}",
        "let the sign say the name of {group}",
        "change the word to {group}",
    ),
    "motion": ("move the {old} to the {slot}", "shift the {old} to the {slot}", "slide the {old} to the {slot}"),
    "motion/place": ("move the {old} somewhere else", "move the {old}", "move the {old} to another place"),
    "motion/row": ("move the {old} {way}", "shift the {old} {way}", "slide the {old} {way}"),
    "arm": ("{verb} the person's {side} arm", "{verb} the {side} arm", "make the person {verb} the {side} arm"),
    "arm/side": ("{verb} an arm", "{verb} one arm", "make the person {verb} an arm"),
    "hair": (
        "dye the hair {color}",
        "make the hair {color}",
        "change the hair color to {color}",
        "give the person {color} hair",
    ),
    "hair/any": ("dye the hair", "change the hair color", "give the person another hair color"),
    "eyes": ("make the eyes {color}", "change the eye color to {color}", "give the person {color} eyes"),
    "eyes/any": ("change the eye color", "give the person another eye color", "make the eyes another color"),
    "extra": ("add {extra} to the face", "give the person {extra}", "the person should have {extra}"),
    "extra/any": ("add something to the face", "change the person's look", "give the person another look"),
    "style": (
        "convert to {style} style",
        "turn the picture into {style}",
        "apply a {style} style",
        "redraw this as {style}",
    ),
    "style/any": ("turn it into art", "apply another style", "redraw this in another style", "restyle the picture"),
    "tone": ("apply {tone}", "give the image {tone}", "change the tone to {tone}", "grade the image with {tone}"),
    "tone/group": ("change {group}", "adjust {group}", "change {group} of the picture"),
}

CAPTIONS = {
    "addition": (
        "{A_new} {g} appears in the {slot}",
        "{A_new} {g} grows at the {slot}",
        "In the {slot}, {a_new} {g} emerges",
    ),
    "addition/place": ("{A_new} {g} appears", "{A_new} {g} grows in a free place", "Somewhere, {a_new} {g} emerges"),
    "addition/color": ("{A_shape} {g} appears in the {slot}", "{A_shape} {g} grows at the {slot}"),
    "addition/shape": ("Something {color} {g} appears in the {slot}", "Something {color} {g} grows at the {slot}"),
    "removal": ("The {old} {g} shrinks away", "The {old} {g} disappears", "The {old} {g} vanishes"),
    "removal/any": ("One of the objects {g} disappears", "One thing {g} shrinks away", "An object {g} vanishes"),
    "removal/color": ("Something {color} {g} disappears", "One of the {color} things {g} vanishes"),
    "replacement": (
        "The {old} {g} turns into {a_new}",
        "The {old} {g} morphs into {a_new}",
        "The {old} {g} becomes {a_new}",
    ),
    "replacement/color": ("The {old} {g} turns into {a_shape}", "The {old} {g} morphs into {a_shape}"),
    "replacement/shape": ("The {old} {g} turns into something {color}", "The {old} {g} becomes something {color}"),
    "background": (
        "The background {g} changes to {place}",
        "The background {g} becomes {place}",
        "The background {g} turns into {place}",
    ),
    "background/group": ("The background {g} changes to {group}", "The scene {g} moves {group}"),
    "color": (
        "The {old}'s color {g} shifts to {color}",
        "The {old} {g} turns {color}",
        "The {old} {g} becomes {color}",
    ),
    "color/group": ("The {old}'s color {g} shifts to {group}", "The {old} {g} turns to {group}"),
    "material": (
        "The {old}'s texture {g} becomes {adjective}",
        "The {old} {g} becomes {adjective}",
        "The {old} {g} takes on a {noun} texture",
    ),
    "material/group": ("The {old} {g} takes on {group}", "The surface of the {old} {g} changes to {group}"),
    "text": (
        'The sign\'s text {g} changes to "{word}"',
        'The text {g} changes from "{old_word}" to "{word}"',
        'The text on the sign {g} turns into "{word}"',
    ),
    "text/group": ("The sign's text {g} changes to the name of {group}", "The word on the sign {g} turns into {group}"),
    "motion": (
        "The {old} {g} moves to the {slot}",
        "The {old} {g} slides to the {slot}",
        "The {old} {g} glides to the {slot}",
    ),
    "motion/place": ("The {old} {g} moves somewhere else", "The {old} {g} slides to another place"),
    "motion/row": ("The {old} {g} moves {way}", "The {old} {g} slides {way}"),
    "arm": ("The person's {side} arm {g} {does}", "The {side} arm {g} {does}", "The person's {side} hand {g} {does}"),
    "arm/side": ("One arm {g} {does}", "An arm of the person {g} {does}"),
    "hair": ("The hair {g} turns {color}", "The hair color {g} shifts to {color}", "The hair {g} becomes {color}"),
    "hair/any": ("The hair {g} changes its color", "The hair color {g} shifts to another one"),
    "eyes": ("The eyes {g} turn {color}", "The eye color {g} shifts to {color}", "The eyes {g} become {color}"),
    "eyes/any": ("The eyes {g} change their color", "The eye color {g} shifts to another one"),
    "extra": ("The person {g} gets {extra}", "On the face, {extra} {g} appears"),
    "extra/any": ("Something {g} appears on the face", "The person's look {g} changes"),
    "style": (
        "The scene {g} adopts a {style} style",
        "The image {g} turns into {style}",
        "The scene {g} takes on a {style} look",
    ),
    "style/any": ("The scene {g} adopts another style", "The image {g} turns into art"),
    "tone": ("The image {g} shifts to {tone}", "The scene {g} takes on {tone}", "The light {g} shifts to {tone}"),
    "tone/group": ("The picture {g} changes in {group}", "The scene {g} shifts in {group}"),
}


def a(noun: str) -> str:
    """Returns a noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _fill(template: str, slots: dict[str, str], rng: Random) -> str:
    words = dict(slots)
    for name in ("new", "shape"):
        if name in words:
            words[f"a_{name}"] = a(words[name])
            words[f"A_{name}"] = words[f"a_{name}"].capitalize()
    if "where" in words:
        words["place"] = rng.choice(PLACE_WORDS[words["where"]])
    if "material" in words:
        words["adjective"], words["noun"] = MATERIAL_WORDS[words["material"]]
    if "mood" in words:
        words["tone"] = rng.choice(TONE_WORDS[words["mood"]])
    return template.format(**words, g=rng.choice(ADVERBS))


def instruction(kind: str, slots: dict[str, str], rng: Random) -> str:
    """Returns one phrasing of an edit as a person asks for it; some begin with a capital or end with a stop."""
    text = _fill(rng.choice(INSTRUCTIONS[kind]), slots, rng)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.2 else "")


def caption(kind: str, slots: dict[str, str], rng: Random, *, closing: bool = True) -> str:
    """Returns one phrasing of an edit's evolution, with or without the `closing` that says what remains."""
    told = _fill(rng.choice(CAPTIONS[kind]), slots, rng)
    return f"{told}, {rng.choice(CLOSINGS)}." if closing else f"{told}."
