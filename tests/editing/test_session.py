"""Turns of a session: what no turn changes is the first picture's to the bit, however many turns there are."""

import numpy as np
import pytest
import torch
from PIL import Image

from v4e.editing.editor import Editor
from v4e.editing.session import Session
from v4e.editing.settings import EditSettings


@pytest.fixture(scope="module")
def session(random_family) -> Session:
    """One of an editor whose edits change everything."""
    editor = Editor.load(str(random_family / "tiny-wan-i2v"))
    torch.manual_seed(1)
    for p in editor.dit.parameters():
        torch.nn.init.normal_(p, std=0.05)
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    settings = EditSettings(height=32, width=32, steps=1)
    return Session(editor=editor, first=Image.fromarray(picture), settings=settings)


def box(left: int) -> Image.Image:
    mask = Image.new("L", (70, 50))
    mask.paste(255, (left, 10, left + 8, 20))
    return mask


@pytest.mark.slow
def test_ten_turns_change_only_their_regions(session):
    start, touched = session, np.zeros((50, 70), bool)
    for turn in range(10):
        before = np.asarray(session.picture)
        session = session.edited("make it red", turn, box(6 * turn))
        now, inside = np.asarray(session.picture), np.asarray(session.turns[-1].region) > 0
        assert (now[~inside] == before[~inside]).all() and (now[inside] != before[inside]).any()
        touched |= inside
    assert (now[~touched] == np.asarray(start.first)[~touched]).all() and 0 < touched.mean() < 0.5
    assert start.picture == start.first and len(session.turns) == 10


def test_a_turn_is_the_edit_of_the_picture_before(session):
    once = session.edited("make it red", 3, box(20))
    twice = once.edited("make it blue", 4)
    how = EditSettings(height=32, width=32, steps=1, preserve="auto")
    [edit] = session.editor.edit([once.picture], ["make it blue"], [4], how)
    assert twice.picture == edit.image and twice.turns[0] is once.turns[0]
