"""Indirect requests become imperatives, and what is quoted is never touched."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.captions import read_blind, read_later
from v4e.captions.checks import check_caption
from v4e.captions.templates import template_caption
from v4e.language.tasks import TASKS, normalize, rule_task
from v4e.language.words import QUOTED

# phrasings of wishes.py, in words that are not those of the blind set
WISHES = [
    ("I would like to see a boat on the pond", "add a boat on the pond"),
    ("The curtain ought to be purple", "make the curtain purple"),
    ("what if the bridge was made of glass?", "make the bridge made of glass"),
    ("Could the horse be a camel?", "make the horse a camel"),
    ("The hat has to go", "remove the hat"),
    ("I don't want the bench", "remove the bench"),
    ("there should be a kite above the hill", "add a kite above the hill"),
    ("instead of the bench I want a swing", "replace the bench with a swing"),
    ("put a goat where the cow is", "replace the cow with a goat"),
    ("the bench -> a swing", "turn the bench into a swing"),
    ("A pond would look nice behind the house", "add a pond behind the house"),
    ("The picture looks dull, add some flowers", "add some flowers"),
    ("The bench should be swapped for a swing", "replace the bench with a swing"),
    ("her scarf - make it purple", "make her scarf purple"),
    ("chnage the bench to a swing", "change the bench to a swing"),
    ("pls repalce teh bench with a swing", "replace the bench with a swing"),
    ("add a star", "add a star"),
    ("make a fist-sized hole in the wall", "make a fist-sized hole in the wall"),
    ("make a fist shaped lamp", "make a fist shaped lamp"),
    ("make a gesture-driven lamp", "make a gesture-driven lamp"),
    ("make a fist with both hands", "have the person make a fist with both hands"),
]


@pytest.mark.parametrize(("wish", "told"), WISHES)
def test_wishes_are_told_as_imperatives(wish: str, told: str):
    assert normalize(wish) == told
    assert normalize(told) == told


def test_each_half_of_the_blind_set_is_sorted_by_the_reader():
    """The README of the set says how it came about; this holds what was measured, with two items to spare."""
    # the reader is trained on the dev half; the errors of the test half were read, those of the later set were not
    for items, n, least in ((read_blind("dev"), 176, 0.97), (read_blind("test"), 176, 0.91), (read_later(), 66, 0.80)):
        assert len(items) == n and {task for _, task in items} == set(TASKS)
        right = sum(rule_task(text)[0] == task for text, task in items)
        assert right / len(items) >= least


SAID = st.text(st.characters(exclude_categories=("Cs", "Cc", "Co"), exclude_characters='"“”'), min_size=1, max_size=30)


FORMS = ("write {} on the sign", "please make the mug say {}.", "I want {} on the poster")


@pytest.mark.slow
@settings(deadline=None)
@given(SAID.filter(lambda text: bool(text.strip())), st.sampled_from(FORMS))
def test_quoted_text_of_any_script_comes_through_byte_for_byte(said: str, form: str):
    for left, right in ('""', "“”"):
        quoted = f"{left}{said}{right}"
        instruction = form.format(quoted)
        assert quoted in normalize(instruction)
        caption = template_caption(instruction, "text")
        assert said in caption, caption
        assert "kept" not in check_caption(caption, instruction, "text")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_rules(text: str):
    task, _ = rule_task(text)
    assert task in (*TASKS, "")
    if text.strip() and not QUOTED.search(text):
        assert "\n" not in normalize(text)
