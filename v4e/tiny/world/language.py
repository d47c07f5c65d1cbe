"""The words of instructions and of evolution captions: templates over the slots of an edit.

A slot dictionary (see ``v4e/tiny/world/edits.py``) fills both, so instruction and caption never disagree.
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
PLACES = {
    "beach": ("a beach", "a sunny beach"),
    "forest": ("a forest", "a dense forest"),
    "night sky": ("a night sky", "a starry night sky"),
    "desert": ("a desert", "a sandy desert"),
    "snow": ("a snowy landscape", "snow"),
    "city": ("a city", "a city skyline"),
    "ocean": ("the ocean", "an ocean"),
    "meadow": ("a meadow", "a green meadow"),
}
MATERIAL_WORDS = {
    "striped": ("striped", "striped", "stripes"),
    "checkered": ("checkered", "checkered", "checks"),
    "metal": ("metallic", "metal", "metal"),
    "glass": ("glass", "glass", "glass"),
}
TONE_WORDS = {
    "warm": ("a warm cinematic grade", "warm tones", "a warm look"),
    "cold": ("a cold blue grade", "cold tones", "a cold look"),
    "dark": ("a dark night-time look", "night", "darkness"),
    "sepia": ("a sepia vintage look", "sepia tones", "sepia"),
    "bright": ("a bright overexposed look", "bright light", "a bright look"),
}

INSTRUCTIONS = {
    "addition": (
        "add {a_new} in the {slot}", "put {a_new} in the {slot} corner", "insert {a_new} at the {slot}",
        "place {a_new} in the {slot}", "draw {a_new} in the {slot} corner", "there should be {a_new} in the {slot}",
    ),
    "removal": (
        "remove the {old}", "delete the {old}", "erase the {old}", "get rid of the {old}", "take away the {old}",
        "take the {old} out of the picture",
    ),
    "replacement": (
        "replace the {old} with {a_new}", "swap the {old} for {a_new}", "turn the {old} into {a_new}",
        "change the {old} into {a_new}", "exchange the {old} for {a_new}",
    ),
    "background": (
        "change the background to {place}", "make the background {place}", "set the scene in front of {place}",
        "replace the background with {place}", "put {place} in the background",
    ),
    "color": (
        "make the {old} {color}", "change the color of the {old} to {color}", "paint the {old} {color}",
        "recolor the {old} to {color}", "the {old} should be {color}",
    ),
    "material": (
        "make the {old} {adjective}", "turn the {old} into a {adjective} one", "give the {old} a {noun} texture",
        "change the material of the {old} to {noun}", "the {old} should look {adjective}",
    ),
    "text": (
        'change the text to "{word}"', 'make the sign say "{word}"', "change the sign to '{word}'",
        'replace "{old_word}" with "{word}"', 'the sign should read "{word}"',
    ),
    "motion": (
        "move the {old} to the {slot}", "shift the {old} to the {slot} corner", "slide the {old} to the {slot}",
        "drag the {old} to the {slot}", "bring the {old} to the {slot} corner",
    ),
    "raise": (
        "raise the person's {side} arm", "lift the {side} arm", "make the person raise the {side} hand",
        "put the {side} arm up", "raise the {side} hand",
    ),
    "lower": (
        "lower the person's {side} arm", "drop the {side} arm", "make the person lower the {side} hand",
        "put the {side} arm down", "lower the {side} hand",
    ),
    "skin": ("smooth the skin", "remove the freckles", "clean up the skin", "retouch the skin", "make the skin smooth"),
    "lips": ("paint the lips red", "add red lipstick", "make the lips red", "put on red lipstick", "give red lips"),
    "eyes": (
        "make the eyes {color}", "change the eye color to {color}", "brighten the eyes to {color}",
        "give the person {color} eyes", "turn the eyes {color}",
    ),
    "hair": (
        "dye the hair {color}", "make the hair {color}", "change the hair color to {color}",
        "give the person {color} hair", "color the hair {color}",
    ),
    "style": (
        "convert to {style} style", "make it a {style}", "turn the picture into {style}", "apply a {style} style",
        "redraw this as {style}",
    ),
    "tone": (
        "apply {tone}", "give the image {tone}", "change the tone to {tone}", "make the picture have {tone}",
        "grade the image with {tone}",
    ),
}  # fmt: skip

CAPTIONS = {
    "addition": (
        "The {new} {g} appears in the {slot}", "{A_new} {g} appears in the {slot} corner",
        "{A_new} {g} fades in at the {slot}", "In the {slot}, {a_new} {g} emerges",
        "{A_new} {g} materializes in the {slot}", "{A_new} is {g} added in the {slot}",
    ),
    "removal": (
        "The {old} {g} fades away", "The {old} {g} disappears", "The {old} {g} vanishes",
        "The {old} {g} dissolves into the background", "The {old} is {g} removed",
    ),
    "replacement": (
        "The {old} {g} turns into {a_new} in place", "The {old} {g} morphs into {a_new}",
        "The {old} {g} transforms into {a_new}", "The {old} {g} changes into {a_new}", "The {old} {g} becomes {a_new}",
        "The {old} is {g} replaced by {a_new}",
    ),
    "background": (
        "The background {g} transforms into {place} scene", "The background {g} changes to {place}",
        "The background {g} fades into {place}", "The background {g} becomes {place}",
        "The background {g} turns into {place}", "The background {g} transforms into {place}",
    ),
    "color": (
        "The {old}'s color {g} shifts to {color}", "The color of the {old} {g} changes to {color}",
        "The {old} {g} turns {color}", "The {old} {g} becomes {color}", "The {old} {g} changes to {color}",
    ),
    "material": (
        "The {old}'s texture {g} becomes {adjective}", "The {old} {g} becomes {adjective}",
        "The {old} {g} turns {adjective}", "The surface of the {old} {g} changes to {noun}",
        "The material of the {old} {g} shifts to {noun}", "The {old} {g} takes on a {noun} texture",
    ),
    "text": (
        'The sign\'s text {g} changes to "{word}"', 'The word on the sign {g} morphs into "{word}"',
        'The text on the sign {g} turns into "{word}"', 'The text {g} changes from "{old_word}" to "{word}"',
        "The sign's text {g} becomes '{word}'",
    ),
    "motion": (
        "The {old} {g} moves to the {slot}", "The {old} {g} slides to the {slot} corner",
        "The {old} {g} drifts to the {slot}", "The {old} {g} glides to the {slot}",
        "The {old} {g} shifts to the {slot}",
    ),
    "raise": (
        "The person's {side} arm {g} rises", "The person {g} raises the {side} arm", "The {side} arm {g} lifts up",
        "The person's {side} hand {g} raises", "The person's {side} forearm {g} raises",
    ),
    "lower": (
        "The person's {side} arm {g} lowers", "The person {g} lowers the {side} arm", "The {side} arm {g} drops down",
        "The person's {side} hand {g} lowers", "The person's {side} arm {g} moves down",
    ),
    "skin": (
        "The skin is {g} smoothed", "The freckles {g} fade and the skin becomes smooth",
        "Facial skin is {g} smoothed over time", "The freckles {g} disappear",
    ),
    "lips": (
        "The lips {g} turn red", "Red lipstick {g} appears on the lips", "The lips {g} become red",
        "The lips are {g} painted red",
    ),
    "eyes": (
        "The eyes {g} become {color}", "The eyes {g} brighten to {color}", "The eye color {g} shifts to {color}",
        "The eyes {g} turn {color}",
    ),
    "hair": (
        "The hair {g} turns {color}", "The hair color {g} shifts to {color}", "The hair {g} becomes {color}",
        "The hair is {g} dyed {color}",
    ),
    "style": (
        "The scene {g} adopts a {style} style", "The image {g} turns into a {style}",
        "The picture {g} transforms into {style} style", "The scene {g} takes on a {style} look",
    ),
    "tone": (
        "The image {g} shifts to {tone}", "The scene {g} takes on {tone}", "The picture {g} changes to {tone}",
        "The light {g} shifts to {tone}",
    ),
}  # fmt: skip

TASK_CLOSINGS = {
    "replacement": ("while pose, lighting, and surroundings remain unchanged",),
    "background": ("while the main subject and foreground remain unchanged",),
    "color": ("while reflections and all other elements remain consistent",),
    "material": ("while geometry and the rest of the scene remain unchanged",),
    "text": ("while layout and surrounding pixels remain unchanged",),
    "motion": ("while the rest of the body and scene remain steady",),
    "portrait": ("while identity and other details remain unchanged",),
    "style": ("while composition and content remain unchanged",),
    "tone": ("while structure and content remain unchanged",),
}


def a(noun: str) -> str:
    """The noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _fill(template: str, slots: dict[str, str], rng: Random) -> str:
    words = dict(slots)
    if "new" in words:
        words["a_new"] = a(words["new"])
        words["A_new"] = words["a_new"].capitalize()
    if "background" in words:
        words["place"] = rng.choice(PLACES[words["background"]])
    if "material" in words:
        adjective, look, noun = MATERIAL_WORDS[words["material"]]
        words["adjective"], words["noun"] = rng.choice((adjective, look)), noun
    if "mood" in words:
        words["tone"] = rng.choice(TONE_WORDS[words["mood"]])
    return template.format(**words, g=rng.choice(ADVERBS))


def instruction(kind: str, slots: dict[str, str], rng: Random) -> str:
    """One phrasing of the edit as a person would ask for it; some start with a capital or end with a stop."""
    text = _fill(rng.choice(INSTRUCTIONS[kind]), slots, rng)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.2 else "")


def caption(kind: str, task: str, slots: dict[str, str], rng: Random, *, closing: bool = True) -> str:
    """One phrasing of the edit's evolution, with the `closing` that says what remains (Table 1) or without."""
    telling = _fill(rng.choice(CAPTIONS[kind]), slots, rng)
    if not closing:
        return f"{telling}."
    own = TASK_CLOSINGS.get(task, CLOSINGS[:1])
    remains = rng.choice(own) if rng.random() < 0.4 else rng.choice(CLOSINGS)
    return f"{telling}, {remains}."
