"""Captions of edits that fit no template: grammatical, and without the instruction's order in them."""

import pytest

from pipelines.parts.command import main
from v4e.captions.checks import check_caption
from v4e.captions.grammar import pasted
from v4e.captions.passive import passive
from v4e.captions.templates import core_caption, template_caption
from v4e.language.slots import slots


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("adjust the hair color to a red gradient", "The hair color gradually adjusts to a red gradient"),
        ("eradicate the river", "The river is gradually eradicated"),
        ("make the colors more vibrant", "The colors gradually become more vibrant"),
        ("enlarge both eyes slightly", "Both eyes are gradually enlarged slightly"),
        ("give them a hat", "The objects are gradually given a hat"),
        ("zoom in on the flower", "The view gradually zooms in on the flower"),
        ("to the left of the man, include a girl", "A girl is gradually included to the left of the man"),
        ("the sign should be larger", "The sign gradually becomes larger"),
        ("make the lantern emit a faint glow", "The lantern gradually begins to emit a faint glow"),
        ("lighten to about three shades", "The image is gradually lightened to about three shades"),
        ("photo is colorized", "The photo is gradually colorized"),
        ("nullify the dark cast", "The dark cast is gradually nullified"),
        ("swap the lamps for candles", "The lamps gradually turn into candles"),
        ("change to a bird's-eye view", "The image gradually changes to a bird's-eye view"),
        (
            "rotate the arrow counterclockwise by 30 degrees",
            "The arrow is gradually rotated counterclockwise by 30 degrees",
        ),
        ("let the girl sits on the bench", "The girl gradually sits on the bench"),
        ("apply a soft filter to the whole photo", "A soft filter is gradually applied to the whole photo"),
    ],
)
def test_an_order_is_told_as_what_happens(text: str, told: str):
    assert passive(text, "tone") == told and not pasted(told, text)


@pytest.mark.parametrize(
    "caption",
    [
        "The image gradually becomes lighten the floor",
        "The scene gradually takes on a Lighten the floor",
        "The floor's texture gradually becomes look like stone",
        "The at the floor slowly looks",
    ],
)
def test_a_pasted_order_is_refused(caption: str):
    assert "grammar" in check_caption(caption, "lighten the floor", "tone")


# kinds of faults that were read in captions of instructions of others
@pytest.mark.parametrize(
    ("text", "task", "core"),
    [
        (
            "Replace the background with a library setting",
            "background",
            "The background slowly transforms into a library setting",
        ),
        (
            "Replace the meadow background with a busy port",
            "background",
            "The meadow background slowly transforms into a busy port",
        ),
        ("Color the jar on the right to green", "color", "The color of the jar on the right gradually shifts to green"),
        ("The roof must take on a golden hue", "color", "The roof's color gradually shifts to golden"),
        ("Add an owl perched on the fence", "addition", "An owl gradually appears perched on the fence"),
        (
            "Apply a faded sepia tone to the entire image to give it an old feel",
            "tone",
            "The image gradually shifts to a faded sepia tone",
        ),
        ("Delete the boat so that the lake is empty", "removal", "The boat gradually fades away"),
        ("Remove the black and white dog", "removal", "The black and white dog gradually fades away"),
        ("Erase the two small buildings in the picture", "removal", "The two small buildings gradually fade away"),
        ("The kite shall be deleted from the picture", "removal", "The kite gradually fades away"),
        ("Turn the clay pot into a copper pot", "material", "The clay pot gradually turns into a copper pot"),
        (
            "Change the texture of the towers' roofs to look like moss",
            "material",
            "The towers' roofs' texture gradually becomes moss",
        ),
        ("Turn this into a charcoal drawing", "style", "The scene gradually adopts a charcoal drawing style"),
        ("Brighten and whiten the girl's skin", "portrait", "The girl's skin is gradually brightened and whitened"),
        ("The curtains should be dyed violet", "color", "The curtains' color gradually shifts to violet"),
        ("The contrast needs to be turned down", "tone", "The contrast is gradually turned down"),
        ("Change the red color of the roof to gray", "color", "The red color of the roof gradually shifts to gray"),
        (
            "Improve the color of the lawn by making it look more green",
            "color",
            "The color of the lawn is gradually improved by making it look more green",
        ),
        (
            "Change the man walking in the picture to a sitting pose",
            "motion",
            "The man walking gradually changes to a sitting pose",
        ),
        (
            "Redo the scenery in this photo to evoke a desert landscape",
            "background",
            "The scenery in this photo slowly transforms into a desert landscape",
        ),
        ("Adjust the light to make it look like dawn", "tone", "The light gradually adjusts to make it look like dawn"),
        (
            "raise the exposure of the photo about 20 percent",
            "tone",
            "The exposure of the photo is gradually raised about 20 percent",
        ),
        ("add brightness and warmth to the photo", "tone", "Brightness and warmth are gradually added to the photo"),
        ("Put Gandalf on the left", "addition", "Gandalf gradually appears on the left"),
        ("photoshop the boy in the back OUT of the picture", "removal", "The boy in the back gradually fades away"),
        ("Apply a comic filter to this image", "style", "The scene gradually adopts a comic filter"),
        ("I'd like to see a lighthouse on that cliff", "addition", "A lighthouse gradually appears on that cliff"),
        (
            "Replace the background sky with a stormy sky",
            "background",
            "The background sky slowly transforms into a stormy sky",
        ),
        ("make the wall around the clock whiter", "color", "The wall around the clock gradually becomes whiter"),
        ("Rest a ripe plum on the plate", "addition", "A ripe plum gradually appears on the plate"),
        ("get the wall painted blue", "color", "The wall's color gradually shifts to blue"),
        ("I need this to be brighter", "tone", "The image gradually becomes brighter"),
        ("The lamps should be replaced by candles", "replacement", "The lamps gradually turn into candles in place"),
        ("I want this picture without the crane", "removal", "The crane gradually fades away"),
        ("take the jar out of the picture", "removal", "The jar gradually fades away"),
        ("Remove the text on the poster", "text", "The text on the poster gradually fades away"),
        ("Add my logo next to the door", "text", "My logo gradually appears next to the door"),
        ("Make the caption bold", "text", "The caption gradually becomes bold"),
        ("Change the plum into peach", "replacement", "The plum gradually turns into a peach in place"),
        ("make him wear red", "color", "The person's clothes' color gradually shifts to red"),
        ("dress the boy in a raincoat", "replacement", "The boy's clothes gradually turn into a raincoat in place"),
        ("make it a gray background", "background", "The background slowly transforms into gray"),
        ("There should be no fence in the picture", "removal", "The fence gradually fades away"),
        (
            "An owl has been added to the left of the door",
            "addition",
            "An owl gradually appears to the left of the door",
        ),
        (
            "Change his expression from angry expression to a grin",
            "motion",
            "His expression gradually changes from angry expression to a grin",
        ),
        ("make a peace sign with his left hand", "motion", "The person slowly makes a peace sign with his left hand"),
        ("change the text on the side", "text", "The text on the side is gradually changed"),
        ("Move 'HELLO' to the left corner", "text", "'HELLO' is gradually moved to the left corner"),
    ],
)
def test_kinds_that_templates_got_wrong(text: str, task: str, core: str):
    assert core_caption(text, task) == core and check_caption(core, text, task) == []


def test_what_follows_in_a_compound_goes_on_in_small_letters():
    whole = template_caption("Remove the cup and move her hand to the left", "removal")
    assert ", then her hand" in whole


@pytest.mark.parametrize(
    "caption",
    [
        "The two towers gradually fades away",
        "The gray and white cat gradually fade away",
        "A him with a can gradually appears",
        "A bird perched gradually appears on the roof",
        "The houses' walls's texture gradually becomes marble",
        "The image gradually becomes a sepia filter to the entire image",
        "The girl gradually begins to sits on the wall",
    ],
)
def test_faults_of_grammar_are_refused(caption: str):
    assert "grammar" in check_caption(caption, "paint the floor", "removal")


def test_a_word_may_be_lost_but_none_of_a_list_and_no_color_or_place():
    def kept(caption: str, instruction: str) -> bool:
        return "kept" not in check_caption(caption, instruction, "removal")

    assert kept("The antler headpiece gradually fades away", "remove the antler headpiece of the woman")
    assert not kept("The cat and the dog gradually fade away", "remove the cat, the dog and the bird")
    assert not kept("The tall lamp gradually fades away", "remove the tall lamp on the left")
    assert not kept("The cat gradually fades away", "remove the big cat basket lid")


@pytest.mark.parametrize(
    ("task", "instruction", "caption"),
    [
        ("addition", "add a crown, ring and necklace to the woman", "A crown gradually appears on the woman."),
        ("removal", "remove the table, painting and lamp", "The table gradually fades away."),
        ("color", "change the wall, ceiling and floor to white", "The wall gradually changes."),
        ("replacement", "replace the house by building blocks", "The house gradually turns in place."),
        ("addition", "add a beard to the man", "A bear gradually appears on the man."),
        ("addition", "add a planet in the sky", "A plane gradually appears in the sky."),
        ("replacement", "replace the carp with a carpet", "The carp gradually turns into a carp in place."),
        ("addition", "add a beanie to the shelf", "A bean gradually appears on the shelf."),
        ("addition", "add a card to the table", "A car gradually appears on the table."),
        ("addition", "add a panda to the kitchen", "A pan gradually appears in the kitchen."),
        ("removal", "remove the lampshade", "The lamp gradually fades away."),
        ("removal", "remove the dragonfly", "The dragon gradually fades away."),
        ("addition", "add a princess", "A prince gradually appears."),
        ("addition", "add a violinist", "A violin gradually appears."),
        ("addition", "add a harness to the horse", "A hare gradually appears on the horse."),
        ("addition", "add a pearl to the dish", "A pear gradually appears on the dish."),
        ("removal", "remove the necklace from the neck", "The neck gradually fades away."),
        ("addition", "add an earring and necklace to the woman", "An earring gradually appears on the woman."),
        ("removal", "remove the dog, string and kite", "The dog gradually fades away."),
        ("removal", "remove the bird, wing and cage", "The bird gradually fades away."),
        ("addition", "add a queen, king and knight to the hall", "A queen gradually appears in the hall."),
        ("removal", "remove the tree, building and fence", "The tree gradually fades away."),
        ("removal", "remove the plate, pudding and spoon", "The plate gradually fades away."),
        ("color", "change the wall, ceiling and floor to white", "The wall gradually changes to white."),
        ("motion", "change the man by giving him a hat", "The man gradually changes."),
        ("addition", "add a lamp (and a chair)", "A lamp gradually appears."),
        ("addition", "add a candle (with a saucer)", "A candle gradually appears."),
        ("addition", "add a hat (red)", "A hat gradually appears."),
        ("color", "paint the car, making it red", "The car gradually changes color."),
        ("replacement", "replace the fence by painting panels", "The fence gradually turns in place."),
        ("color", "change the sofa to match the red chair", "The sofa gradually changes."),
        ("replacement", "replace the house by using a tower", "The house gradually turns in place."),
        ("addition", "add a hat and scarf to the man", "A hat gradually appears on the man."),
        (
            "addition",
            "add a present, pudding and candle on the table",
            "A present and a candle gradually appear on the table.",
        ),
    ],
)
def test_a_list_keeps_its_items_and_a_word_is_not_another_that_begins_alike(task: str, instruction: str, caption: str):
    assert "kept" in check_caption(caption, instruction, task)


@pytest.mark.parametrize(
    ("task", "instruction", "caption"),
    [
        ("style", "make it a cartoon, highlighting the eyes", "The scene gradually adopts a cartoon style."),
        ("portrait", "smooth the skin by enhancing its light", "The skin is gently smoothed over time."),
        ("motion", "adjust the hairstyle to a bun", "The hair gradually turns into a bun."),
        ("removal", "remove the musical clock", "The music clock gradually fades away."),
        ("removal", "remove the harness", "The harnesses gradually fade away."),
    ],
)
def test_means_may_be_left_out_and_a_word_of_the_family_will_do(task: str, instruction: str, caption: str):
    assert check_caption(caption, instruction, task) == []


def test_a_word_of_the_instruction_stands_for_itself_alone():
    instruction = "remove the music and the musical clock"
    assert "kept" in check_caption("The musical clock gradually fades away.", instruction, "removal")


@pytest.mark.parametrize(
    ("instruction", "target"),
    [
        ("make this a photo with a blurred background", "blurred"),
        ("make it a picture with white background", "white"),
        ("turn this into a photo on a dark backdrop", "dark"),
        ("make it a black background", "black"),
        ("give it a look with a dark background", "a dark"),
        ("use a photo with a tree as background", "a photo with a tree"),
    ],
)
def test_the_target_of_a_background_is_what_stands_before_the_word(instruction: str, target: str):
    assert slots(instruction, "background").target == target


def test_the_worlds_put_is_a_motion():
    told = {"put the left arm up": "The left arm slowly moves up", "Put his arms down": "His arms slowly move down"}
    for text, core in told.items():
        caption = template_caption(text, "motion")
        assert caption.startswith(f"{core}, while") and check_caption(caption, text, "motion") == []


def test_what_stays_ends_the_caption():
    assert template_caption("remove the dog without touching the grass", "removal") == (
        "The dog gradually fades away, while the grass and everything else remain unchanged."
    )
    assert template_caption("add a hat and keep everything else unchanged", "addition").endswith(
        "everything else remains still."
    )


def test_the_command_shows_reading_and_caption(capsys):
    main("caption", ["remove the dog without touching the grass"])
    said = " ".join(capsys.readouterr().out.split())
    assert "keeps without touching the grass" in said and "The dog gradually fades away, while the grass" in said
