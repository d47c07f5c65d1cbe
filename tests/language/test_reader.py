"""Readings of the kinds of instructions that patterns failed on: what stays, lists, quotes, noise, other languages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v4e.language.clauses import clauses
from v4e.language.head import NOTHING, head
from v4e.language.reader import OTHER, UNKNOWN, language, read
from v4e.language.tasks import TASKS, understood


def tasks(text: str) -> list[str]:
    return [edit.task for edit in read(text).edits]


@pytest.mark.parametrize(
    ("text", "task", "keeps"),
    [
        ("remove the dog without touching the grass", "removal", "without touching the grass"),
        ("Make the car red without altering the wheels.", "color", "without altering the wheels"),
        ("Replace the mug with a vase while keeping the table", "replacement", "keeping the table"),
        ("add a hat and keep everything else unchanged", "addition", "keep everything else unchanged"),
        ("Don't change the face, make the jacket blue", "color", "Don't change the face"),
        ("Keep the man, change the background to a beach", "background", "Keep the man"),
    ],
)
def test_a_clause_about_what_stays_is_no_edit(text: str, task: str, keeps: str):
    assert (tasks(text), read(text).keeps) == ([task], (keeps,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("remove the cat, add a dog; then make the sky purple", ["removal", "addition", "color"]),
        ("1. Remove the car\n2. Add a tree\n3. Replace the dog with a cat", ["removal", "addition", "replacement"]),
        ("- erase the bench\n- make the door red", ["removal", "color"]),
        ("\u2022 erase the bench \u2022 make the door red", ["removal", "color"]),
        ("remove background add hearts on the wall", ["background", "addition"]),
        ("Remove the man Add a hat", ["removal", "addition"]),
        ("crop the photo and brighten it", [OTHER, "tone"]),
        ("smooth the skin and whiten the teeth", ["portrait"]),
        ("remove the fence and the finger", ["removal"]),
        ("increase contrast and saturation", ["tone"]),
    ],
)
def test_edits_of_a_list_are_told_apart(text: str, expected: list[str]):
    assert tasks(text) == expected


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("Please delete the truck. It is a present for my dad! Many thanks", ["delete the truck"]),
        ("adjust the overall lighting and tone to match", ["adjust the overall lighting and tone to match"]),
        ("Brighten and whiten her skin", ["Brighten and whiten her skin"]),
        ("1. Crop\n2. Add a tree", ["Crop", "Add a tree"]),
        ("Darken the sky.Remove the car", ["Darken the sky", "Remove the car"]),
        ("make it 3.5 m tall", ["make it 3.5 m tall"]),
    ],
)
def test_remarks_are_no_edits_and_nouns_no_verbs(text: str, edits: list[str]):
    assert [part.text for part in read(text).parts] == edits


@pytest.mark.parametrize(
    ("text", "edits"),
    [
        ("Blur the sky while adding a kite", ["Blur the sky", "add a kite"]),
        ("Would you mind removing the bus, and also adding a bench?", ["remove the bus", "add a bench"]),
        ("Improve the lawn by changing it to green", ["Improve the lawn by changing it to green"]),
        (
            "repalce teh bench with a swing and chnage the cup to a jar",
            ["replace the bench with a swing", "change the cup to a jar"],
        ),
        ("The picture looks dull, add some flowers", ["The picture looks dull", "add some flowers"]),
        ("her scarf - make it purple", ["her scarf - make it purple"]),
        ('write "repalce teh" on the sign', ['write "repalce teh" on the sign']),
    ],
)
def test_other_forms_of_an_imperative_are_one(text: str, edits: list[str]):
    found = clauses(text)
    assert [found.shown(edit) for edit in found.edits] == edits


def test_a_wish_after_a_comma_is_a_clause_of_its_own():
    assert clauses("We drove far to see this, trying to remove the bus").edits[-1] == "remove the bus"


def test_a_remark_alone_still_has_a_reading_that_is_not_sure():
    found = read("Thank you so much")
    assert found.task in {*TASKS, OTHER} and not found.sure


def test_understood_is_the_request_in_plain_words():
    said = understood("Hi! Could you please remove the dog, and make the door red? Keep the fence as it is. Thanks!")
    assert said == "remove the dog, then make the door red, Keep the fence as it is"
    assert understood("删除左边的树") == "删除左边的树" and understood("x" * 9000 + " remove it").startswith("x" * 9000)


def test_a_quoted_text_is_byte_for_byte_and_what_it_says_is_no_edit():
    found = read('write "Remove the dog, and add a cat &amp; \u00e9!" on the sign')
    assert found.quoted == ("Remove the dog, and add a cat &amp; \u00e9!",) and found.task == "text"


def test_entities_are_read_but_not_in_a_quoted_text():
    assert read("write &quot;SALE&quot; on the sign").quoted == ("SALE",)
    assert read('write "&quot;" on the sign').quoted == ("&quot;",)


@pytest.mark.parametrize(
    "text",
    [
        "<image> remove the dog",
        "remove\x00 the\u2028dog \U0001f436",
        "Salt &amp; pepper: please remove the dog",
        "[Specific] Hi! Could someone please remove the dog? Thanks so much, my mom will love it!",
    ],
)
def test_noise_hides_no_edit(text: str):
    assert "removal" in tasks(text)


def test_only_english_is_ever_sure():
    assert [
        language(text) for text in ("删除左边的树", "猫を追加して", "개를 지워줘", "quita el perro", "remove it")
    ] == [
        "zh",
        "ja",
        "ko",
        "und",
        "en",
    ]
    assert not any(read(text).sure for text in ("删除左边的树", "quita el perro"))
    assert read("remove the dog").sure and not read("a lovely afternoon of theirs").sure


def test_words_that_nobody_knows_make_a_guess_that_is_never_sure():
    found = read("no more gargoyles on the parapet")
    assert found.task == "removal" and 0.25 < found.chance <= UNKNOWN < head().sure and not found.sure


def test_the_head_gives_each_clause_a_distribution_of_its_own():
    texts = ["remove the dog", "make the car red", ""]
    chances = head()(texts)
    assert head().labels == (*TASKS, OTHER, NOTHING) and np.allclose(chances.sum(1), 1, atol=1e-5)
    assert np.allclose(chances[1], head()(texts[1:2])[0])


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=200))
def test_any_text_has_a_reading(text: str):
    found = read(text)
    assert found.edits and {edit.task for edit in found.edits} <= {*TASKS, OTHER}
    assert all(quote in text for quote in found.quoted if "&" not in text)
    assert clauses(text).edits
