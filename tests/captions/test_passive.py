"""Captions of edits that fit no template: grammatical, and without the instruction's order in them."""

import pytest

from pipelines.parts.command import main
from v4e.captions.checks import check_caption
from v4e.captions.passive import passive, pasted
from v4e.captions.templates import template_caption


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("adjust the hair color to a red gradient", "The hair color is gradually adjusted to a red gradient"),
        ("eradicate the river", "The river is gradually eradicated"),
        ("make the colors more vibrant", "The colors gradually become more vibrant"),
        ("enlarge both eyes slightly", "Both eyes are gradually enlarged slightly"),
        ("give them a hat", "The objects are gradually given a hat"),
        ("zoom in on the flower", "The view gradually zooms in on the flower"),
        ("to the left of the man, include a girl", "A girl is gradually included to the left of the man"),
        ("the sign should be larger", "The sign gradually becomes larger"),
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
