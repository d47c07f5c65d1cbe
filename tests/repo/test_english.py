"""Plain English, as far as a program can check it; and the checks themselves, on sentences that break them."""

from pathlib import Path

import pytest

from tests.repo.english import CODE, PAGES, faults, in_code, too_long

LONG = "word " * 26


@pytest.mark.slow
@pytest.mark.parametrize("place", [*CODE, *PAGES])
def test_docstrings_and_pages_are_plain(place):
    assert faults([Path(place)]) == []


@pytest.mark.parametrize(
    ("text", "breaks"),
    [
        (LONG + ".", True),
        ("word " * 25 + ".", False),
        ("word " * 13 + ". " + "Word " * 13 + ".", False),
        (f"```\n{LONG}\n```", False),
        (f"| {LONG} |", False),
        (f"- {LONG}", True),
        (f"`{LONG}` is code.", False),
        ("word " * 13 + "\n\n" + "word " * 13, False),
    ],
)
def test_a_sentence_has_at_most_25_words(text, breaks):
    assert bool(too_long(text)) is breaks


@pytest.mark.parametrize(
    ("docstring", "breaks"),
    [
        ("Of one run.", True),
        ("That there may be.", True),
        ("Likewise, of captions.", True),
        ("Read the store.", False),
        ("A store of samples.", False),
        ("``shadow`` of the weights.", False),
    ],
)
def test_a_docstring_begins_with_a_verb_or_a_noun(docstring, breaks, tmp_path):
    file = tmp_path / "module.py"
    file.write_text(f'def f():\n    """{docstring}"""\n')
    assert bool([*in_code(file)]) is breaks
