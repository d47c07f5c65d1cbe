"""Models that leave the GPU between their uses come back for them: the same bits, and one model at a time."""

import numpy as np
import pytest
import torch
from PIL import Image

from v4e.editing import away as places
from v4e.editing.editor import Editor
from v4e.editing.inexact import Inexact
from v4e.editing.settings import EditSettings


def edited(editor: Editor, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    settings = EditSettings(height=size[0], width=size[1], steps=2, guidance=2.0, preserve="auto")
    [edit] = editor.edit([image], ["make it blue"], [0], settings)
    return np.stack([np.asarray(frame) for frame in [*edit.clip, edit.image]]).astype(int)


@pytest.fixture(scope="module")
def folder(random_family) -> str:
    return str(random_family / "tiny-wan-i2v")


@pytest.fixture(scope="module")
def stays(folder) -> np.ndarray:
    return edited(Editor.load(folder))


def test_one_model_is_there_at_a_time_and_the_edit_is_equal_to_the_bit(folder, stays, monkeypatch):
    home, there, most, uses = torch.device("cpu", 0), set(), [], []

    def move(model, device):  # a device of its own name stands for the GPU
        if device == home:
            there.add(id(model))
            uses.append(type(model).__name__)
        else:
            there.discard(id(model))
        most.append(len(there))
        return model

    monkeypatch.setattr(places, "move", move)
    editor = Editor.load(folder, away="models", device=home)
    assert not there
    assert np.array_equal(edited(editor), stays)
    assert max(most) == 1 and not there
    assert len(set(uses)) == 4


def test_blocks_that_come_one_after_another_make_the_same_edit(folder, stays):
    editor = Editor.load(folder, away="blocks")
    assert np.array_equal(edited(editor), stays)
    assert all(hasattr(block, "_diffusers_hook") for block in editor.dit.blocks)


@pytest.mark.parametrize(("loras", "other", "words"), [(True, False, "LoRAs"), (False, True, "weights")])
def test_what_changes_blocks_is_refused_where_they_come_alone(loras, other, words):
    with pytest.raises(ValueError, match=words):
        places.check("blocks", loras, other)
    places.check("models", loras, other)


@pytest.mark.slow
def test_tiles_are_named_and_near(folder):
    wide = 32, 272
    whole, tiled = (Editor.load(folder, options=options) for options in (Inexact(), Inexact(tiles=True)))
    assert tiled.options.names == ("tiles",)
    one, other = edited(whole, wide), edited(tiled, wide)
    assert 0 < np.abs(one - other).mean() < 24
    assert np.array_equal(edited(whole), edited(tiled))  # one tile holds it all
