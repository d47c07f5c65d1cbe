"""Sessions of several turns: what "it", "the same one" and "there" refer to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data.checks import sessions
from v4e.language.tasks import atoms
from v4e.language.turns import resolve


@pytest.mark.parametrize(
    ("turns", "resolved"),
    [
        (
            ["add a cat on the sofa", "make it black", "now put a hat on it", "make it red", "do the same to the door"],
            ["make the cat black", "put a hat on the cat", "make the hat red", "make the door red"],
        ),
        (["replace the mug with a teacup", "Move it to the left"], ["Move the teacup to the left"]),
        (
            ["make the car blue", "turn it into a bus", "paint the same one green"],
            ["turn the car into a bus", "paint the bus green"],
        ),
        (["add a red balloon above the boy", "add another one"], ["add another red balloon"]),
        (["add a lamp next to the bed", "put a book there"], ["put a book next to the bed"]),
        (["remove the tree", "make it night"], ["make it night"]),  # the picture
        (["make it warmer", "make it darker"], ["make it darker"]),  # nothing was named
        (["add a sign", "write 'do it' on it"], ["write 'do it' on the sign"]),  # quotes are not ours to change
    ],
)
def test_references_are_resolved(turns: list[str], resolved: list[str]):
    assert [edit for turn in resolve(turns)[1:] for edit in turn] == resolved


def test_a_hundred_turns_mean_what_was_measured():
    """Benchmarks keep the share of each run; this holds it, with two turns to spare."""
    pairs = [(told, means) for said, right in sessions() for told, means in zip(resolve(said), right, strict=True)]
    assert len(pairs) == 100
    assert sum("; ".join(edits).lower() == means.lower() for edits, means in pairs) >= 92


@pytest.mark.parametrize(
    ("turns", "last"),
    [
        (["add a cup", "give the cup a lid", "remove it again"], "remove the cup"),
        (["make the woman wave", "add a bird", "make her smile"], "make the woman smile"),
        (["add two kites", "add another one"], "add another kite"),
        (["remove the red van", "then the blue one"], "remove the blue van"),
        (["add a pot on the stove", "add a pan", "remove the former"], "remove the pot"),
        (["remove the vase from the shelf", "hang a mirror in the same place"], "hang a mirror in the same place"),
        (['write "9" on the bus', "make it turn left"], "make the bus turn left"),
        (["turn the chair into leather", "make it darker"], "make the chair darker"),
    ],
)
def test_kinds_of_references(turns: list[str], last: str):
    assert resolve(turns)[-1] == [last]


def test_references_within_one_instruction_are_resolved_too():
    assert resolve(["add a hat and make it blue"]) == [["add a hat", "make the hat blue"]]


def test_turns_are_refused_when_one_is_empty():
    for turns in ([], ["add a hat", " "]):
        with pytest.raises(ValueError, match="none of them empty"):
            resolve(turns)


@settings(deadline=None)
@given(st.sampled_from(["add a hat", "remove the tree", "make it night", "turn the cat into a dog"]))
def test_one_turn_alone_is_its_atoms(instruction: str):
    assert resolve([instruction]) == [atoms(instruction)]
