"""Rules, templates and checks of captions, against Table 1 and hand-written instructions."""

import itertools

import pytest

from v4e.captions.checks import REFINEMENT, check_caption, open_part, refine
from v4e.captions.prompts import DEMOS, UNLABELLED
from v4e.captions.templates import template_caption
from v4e.language.slots import slots
from v4e.language.tasks import TABLE1, TASKS, atoms, normalize, rule_task
from v4e.tiny.world.scene import BACKGROUNDS, COLORS, MATERIALS, SHAPES, SLOTS, STYLES, TONES, WORDS

# written in the phrasings of public corpora, after the rules
GENERAL = [
    ("Please add a wooden bench beside the old tree", "addition"),
    ("Insert two seagulls flying above the lighthouse", "addition"),
    ("Give the snowman a red scarf", "addition"),
    ("Could you erase the power lines from the photo?", "removal"),
    ("Get rid of the person in the background", "removal"),
    ("Make the fence disappear", "removal"),
    ("Swap the bicycle for a motorcycle", "replacement"),
    ("Replace the wooden table with a glass desk", "replacement"),
    ("Turn the horse into a zebra", "replacement"),
    ("Change the backdrop to a busy Tokyo street", "background"),
    ("Replace the background with a snowy mountain range", "background"),
    ("Put the scene in a desert", "background"),
    ("Recolor the umbrella to dark green", "color"),
    ("Change the color of the roof to red", "color"),
    ("Make the boat bright yellow", "color"),
    ("Turn the statue into marble", "material"),
    ("Make the jacket out of leather", "material"),
    ("Give the vase a ceramic finish with a crackle texture", "material"),
    ('Change the sign to read "CLOSED"', "text"),
    ("Replace the word SALE with SOLD", "text"),
    ("Remove the text on the poster", "text"),
    ("Make the dog sit down", "motion"),
    ("Raise the woman's left hand", "motion"),
    ("Tilt the head slightly to the right", "motion"),
    ("Change his expression to a smile", "motion"),
    ("Smooth out the wrinkles", "portrait"),
    ("Give her blond hair", "portrait"),
    ("Remove the acne from her cheeks", "portrait"),
    ("Turn this into a Van Gogh painting", "style"),
    ("Redraw the image in anime style", "style"),
    ("Convert the photo to a pencil sketch", "style"),
    ("Make it look like a foggy morning", "tone"),
    ("Apply a vintage sepia filter", "tone"),
    ("Make the whole picture darker and moodier", "tone"),
]


@pytest.mark.parametrize("task", TASKS)
def test_rules_know_the_cues_of_table_1(task: str):
    assert rule_task(TABLE1[task].cue) == (task, True)


def test_rules_on_general_instructions():
    wrong = {text: rule_task(text) for text, task in GENERAL if rule_task(text)[0] != task}
    assert len(wrong) <= 2, wrong
    sure = [(text, task) for text, task in GENERAL if rule_task(text)[1]]
    assert len(sure) >= 0.7 * len(GENERAL)


def test_rules_admit_ignorance():
    assert rule_task("surprise me") == ("", False)


# Table 1's captions, with the instruction's own words where the paper takes others
TABLE1_CAPTIONS = {
    "addition": "A red balloon gradually appears above the boy, while everything else remains still.",
    "removal": "The trash can on the left gradually fades away, while everything else remains still.",
    "replacement": "The mug gradually turns into a teacup in place, "
    "while pose, lighting, and surroundings remain unchanged.",
    "background": "The background slowly transforms into a beach scene, "
    "while the main subject and foreground remain unchanged.",
    "color": "The car's color gradually shifts to blue, while reflections and all other elements remain consistent.",
    "material": "The sofa's texture gradually becomes leather, "
    "while geometry and the rest of the scene remain unchanged.",
    "text": "The sign's text gradually changes to 'OPEN', while layout and surrounding pixels remain unchanged.",
    "motion": "The person's right hand slowly raises, while the rest of the body and scene remain steady.",
    "style": "The scene gradually adopts a watercolor style, while composition and content remain unchanged.",
    "tone": "The image gradually shifts to a warm cinematic grade, while structure and content remain unchanged.",
    "portrait": "The skin is gently smoothed over time, then the eyes are gently brightened over time, "
    "while identity and other details remain unchanged.",
}


@pytest.mark.parametrize("task", TASKS)
def test_template_writes_table_1(task: str):
    assert template_caption(TABLE1[task].cue, task) == TABLE1_CAPTIONS[task]


def world_instructions() -> list[tuple[str, str]]:
    """Every word of the world in several phrasings of each task."""
    shapes, colors, places = itertools.cycle(SHAPES), itertools.cycle(COLORS), itertools.cycle(SLOTS)
    backgrounds = itertools.cycle(BACKGROUNDS)
    found = []
    for color, material in itertools.product(COLORS, MATERIALS[1:]):
        shape, other, place, background = next(shapes), next(shapes), next(places), next(backgrounds)
        new = next(c for c in colors if c != color)
        a = "an" if color[0] in "aeiou" else "a"
        found += [
            (f"add {a} {color} {shape} in the {place}", "addition"),
            (f"there should be {a} {color} {shape} in the {place} corner", "addition"),
            (f"erase the {color} {shape} at the {place}", "removal"),
            (f"take the {color} {shape} away", "removal"),
            (f"swap the {color} {shape} for {a} {color} {other}", "replacement"),
            (f"change the {shape} into {a} {color} {other}", "replacement"),
            (f"make the background a {background}", "background"),
            (f"put the scene in a {background}", "background"),
            (f"paint the {color} {shape} {new}", "color"),
            (f"change the {shape}'s color from {color} to {new}", "color"),
            (f"give the {color} {shape} a {material} texture", "material"),
            (f"turn the {shape} into {material}", "material"),
            (f"move the {color} {shape} to the {place}", "motion"),
        ]
    found += [(f'change the sign to say "{word}"', "text") for word in WORDS]
    found += [(f"write {word} on the sign", "text") for word in WORDS]
    found += [(f"convert the picture to {style} style", "style") for style in STYLES]
    found += [(f"give the image a {tone} tone", "tone") for tone in TONES]
    found += [(text, "portrait") for text in ("paint the lips red", "remove the freckles", "add red lipstick")]
    return [
        *found,
        ("raise the left arm", "motion"),
        ("make it night", "tone"),
        ("smooth the skin", "portrait"),
    ]


@pytest.mark.slow
def test_templates_of_the_world_pass_every_check():
    failed = {
        text: (template_caption(text, task), names)
        for text, task in world_instructions()
        if (names := check_caption(template_caption(text, task), text, task))
    }
    assert not failed


def test_the_reader_is_right_on_the_world_and_mostly_sure():
    found = [(rule_task(text), task) for text, task in world_instructions()]
    assert all(told == task for (told, _), task in found)
    assert sum(sure for (_, sure), _ in found) >= 0.97 * len(found)


def test_template_never_loses_the_instruction_when_no_slot_fits():
    text = "zoom in on the flower"
    for task in TASKS:
        assert "flower" in template_caption(text, task) and "zoom" in template_caption(text, task)
    with pytest.raises(ValueError, match="expected one of addition"):
        template_caption(text, "zoom")


def test_quoted_text_comes_through_byte_for_byte():
    caption = template_caption("change the poster to say 'Déjà-vu, while & 2x'", "text")
    assert "'Déjà-vu, while & 2x'" in caption and not check_caption(
        caption, "make the poster say 'Déjà-vu, while & 2x'", "text"
    )
    assert "kept" in check_caption("The poster's text gradually changes to 'Deja-vu'.", "say 'Déjà-vu'", "text")


@pytest.mark.parametrize(
    ("task", "instruction", "caption", "failed"),
    [
        ("color", "make the red circle blue", "The red circle turns blue.", "gradual"),
        ("color", "make the red circle blue", "The blue circle gradually turns red.", "direction"),
        ("color", "make the red circle blue", "The red circle blue gradually turns blue.", "direction"),
        ("color", "make the circle blue", "The circle gradually shifts from red to blue.", "invented"),
        ("replacement", "swap the cat for a dog", "The dog gradually turns into a cat.", "direction"),
        ("replacement", "swap the cat for a dog", "The cat gradually turns into a wolf.", "kept"),
        ("addition", "add a red star in the top left", "A star gradually appears in the top left.", "kept"),
        ("addition", "add a red star", "A red star gradually appears in the top right.", "invented"),
        ("addition", "add a red star", "Two red stars gradually appear.", "invented"),
        ("addition", "add a red star", "The red star gradually fades away.", "verb"),
        ("addition", "add a red star", "Gradually add a red star.", "verb"),
        ("addition", "add a red star", "A red star gradually appears on the sofa.", "drift"),
        ("removal", "remove the red star", "The red star gradually appears.", "verb"),
        ("motion", "move the star to the top left", "The star slowly moves to the top right.", "kept"),
        (
            "motion",
            "raise the left arm",
            "The left arm slowly raises and the right arm slowly raises.",
            "invented",
        ),
        (
            "background",
            "make the background a beach",
            "The background slowly becomes a beach scene scene.",
            "repeated",
        ),
        ("text", "change the sign to say GO", "The sign's text gradually changes to Go.", "kept"),
        (
            "text",
            "change the sign to say GO",
            'The sign\'s text gradually changes to GO and "STOP".',
            "invented",
        ),
        ("tone", "make it night", f"The image gradually becomes night{' and more' * 20}.", "short"),
        ("background", "make the background a lake and a castle", "The background slowly becomes a lake.", "kept"),
        ("removal", "remove everything but the house", "Everything gradually fades away.", "kept"),
        ("material", "make the stone wall smooth", "The stove wall gradually becomes smooth.", "kept"),
    ],
)
def test_checks_catch(task: str, instruction: str, caption: str, failed: str):
    assert failed in check_caption(caption, instruction, task)


@pytest.mark.parametrize(
    ("task", "instruction", "caption"),
    [
        ("text", "change the title 'STOP' to 'GO GO GO'", "The title 'STOP' gradually changes to 'GO GO GO'."),
        ("motion", "change the A-pose to a squat", "The pose slowly changes from an A-pose to a squat."),
        ("tone", "increase the brightness of the cat's face", "The cat's face gradually brightens."),
        ("tone", "make it a night-time setting", "The image gradually shifts to nighttime."),
        (
            "background",
            "change the background to hills in the distance",
            "The background slowly becomes distant hills.",
        ),
        ("background", "replace the sky with a stormy sky", "The sky slowly transforms into a stormy sky."),
        ("tone", "darken the lawn to match the sky", "The lawn gradually darkens."),
        ("motion", "change the man's posture to a push-up", "The man slowly lowers himself into a push-up."),
    ],
)
def test_checks_let_a_person_say_it_in_other_words(task: str, instruction: str, caption: str):
    assert check_caption(caption, instruction, task) == []


def test_new_words_are_allowed_only_when_asked_for():
    caption, instruction = (
        "The background slowly transforms into a dense forest.",
        "Change the background to a forest",
    )
    assert check_caption(caption, instruction, "background") == ["drift"]
    assert check_caption(caption, instruction, "background", new_words=1) == []
    colored = "The background slowly transforms into a green forest."
    assert "invented" in check_caption(colored, instruction, "background", new_words=9)


def test_demonstrations_pass_the_checks_they_teach():
    for task, demos in DEMOS.items():
        for instruction, caption in demos:
            assert check_caption(caption, instruction, task, new_words=1) == [], (instruction, caption)
    assert not {text for demos in DEMOS.values() for text, _ in demos} & set(UNLABELLED)


def test_atoms_split_at_imperatives_only():
    assert atoms("Add a red hat and make the car blue.") == ["Add a red hat", "make the car blue"]
    assert atoms("swap the salt and pepper for bread and butter") == [
        "replace the salt and pepper with bread and butter"
    ]
    assert atoms("write 'stop, and add milk' on the sign") == ["write 'stop, and add milk' on the sign"]
    assert atoms("in the top left, add a star") == ["in the top left, add a star"]
    caption = template_caption("remove the tree and make the car blue", "removal")
    assert caption == (
        "The tree gradually fades away, then the car's color gradually shifts to blue, "
        "while everything else remains still."
    )


def test_politeness_is_no_content():
    assert normalize("  Could you please  add a\nstar? ") == "add a star"
    assert slots("Please add a star.", "addition") == slots("add a star", "addition")


def test_closing_and_refinement_are_separable():
    caption = template_caption("make the car blue", "color")
    assert open_part(refine(caption)) == "The car's color gradually shifts to blue"
    assert refine(refine(caption)) == f"{caption} {REFINEMENT}"
    assert check_caption(refine(caption), "make the car blue", "color") == []
