"""The tagger of roles: what an edit is done to, what it becomes, where, and what a thing is to do."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v4e.language.head import head
from v4e.language.roles import features, roles, tagger, tokens
from v4e.language.tasks import TASKS


def words(text: str, task: str) -> dict[str, str]:
    return {role: text[start:end] for role, (start, end) in roles(text, task).items()}


@pytest.mark.parametrize(
    ("text", "task", "found"),
    [
        ("remove the kettle next to the stove", "removal", {"S": "the kettle next to the stove"}),
        ("take the kettle away", "removal", {"S": "the kettle"}),
        ("replace the kettle with a jug", "replacement", {"S": "the kettle", "T": "a jug"}),
        ("substitute a jug for the kettle", "replacement", {"S": "the kettle", "T": "a jug"}),
        ("paint the kettle on the left pale blue", "color", {"S": "the kettle on the left", "T": "pale blue"}),
        ("make the seal clap", "motion", {"S": "the seal", "D": "clap"}),
        ("on the stove, put a kettle", "addition", {"T": "a kettle", "P": "on the stove"}),
    ],
)
def test_roles_of_words_that_no_phrase_has(text: str, task: str, found: dict[str, str]):
    assert words(text, task) == found


def test_a_quoted_text_is_one_token_whatever_it_says():
    text = 'remove the text "swap the cat for a dog" on the door'
    assert [found.group() for found in tokens(text)][3] == '"swap the cat for a dog"'
    assert '"swap the cat for a dog"' in words(text, "text")["S"]


@given(st.text(max_size=60), st.sampled_from(TASKS))
def test_any_text_has_roles_in_its_bounds(text: str, task: str):
    assert all(0 <= start < end <= len(text) for start, end in roles(text, task).values())


def test_the_best_path_is_the_best_of_all_paths():
    rows = features("make the seal clap", "motion", head().classes)
    by, gains = tagger(), tagger().weights[rows].sum(1) + tagger().bias

    def gain(path: tuple[int, ...]) -> float:
        pairs = sum(by.pairs[a, b] for a, b in pairwise(path))
        return float(sum(gains[i, role] for i, role in enumerate(path)) + pairs)

    best = max(np.ndindex((5,) * len(rows)), key=gain)
    assert by.path(rows) == "".join("-STPD"[role] for role in best)
