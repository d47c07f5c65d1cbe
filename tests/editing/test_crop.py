"""Crop, edit, stitch: the model sees a part at its own resolution, and a large picture stays as it was elsewhere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v4e.editing import region
from v4e.editing.crop import crop_box, edit_crop
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings

SIDE = 32


@st.composite
def masks(draw) -> Image.Image:
    width, height = draw(st.integers(8, 300)), draw(st.integers(8, 300))
    mask = Image.new("L", (width, height))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    mask.paste(255, (left, top, right, bottom))
    return mask


@settings(deadline=None)
@given(masks(), st.sampled_from([256, 1024, 16384]))
def test_a_crop_holds_the_mask_and_its_context_and_lies_in_the_picture(mask, pixels):
    left, top, right, bottom = crop_box(mask, pixels)
    inner = mask.getbbox()
    assert 0 <= left <= inner[0] < inner[2] <= right <= mask.width
    assert 0 <= top <= inner[1] < inner[3] <= bottom <= mask.height
    for length, part, limit in (
        (right - left, inner[2] - inner[0], mask.width),
        (bottom - top, inner[3] - inner[1], mask.height),
    ):
        assert length >= min(limit, 2 * part - 1)
    area = (right - left) * (bottom - top)
    assert area >= 0.95 * min(pixels, mask.width * mask.height) - mask.width - mask.height


def test_a_small_mask_in_a_large_picture_is_seen_at_the_models_own_size():
    mask = Image.new("L", (4000, 3000))
    mask.paste(255, (3900, 1000, 3990, 1060))
    left, top, right, bottom = crop_box(mask, 832 * 480)
    assert right == 4000 and (right - left) * (bottom - top) == pytest.approx(832 * 480, rel=0.01)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="mask is empty"):
        crop_box(Image.new("L", (40, 30)), 256)


@pytest.fixture(scope="module")
def editor(random_family) -> Editor:
    """One whose edits change everything."""
    editor = Editor.load(str(random_family / "tiny-wan-i2v"))
    torch.manual_seed(1)
    for p in editor.dit.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return editor


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("more", [{}, {"hold": True}, {"preserve": "auto"}])
def test_outside_the_mask_a_large_picture_is_the_source_to_the_bit(editor, more):
    source = picture(400, 300)
    mask = Image.new("L", source.size)
    mask.paste(255, (10, 20, 60, 50))
    how = EditSettings(height=SIDE, width=SIDE, steps=2, **more)
    edit = edit_crop(editor, source, "make it red", 1, how, mask=mask)
    got, before, inside = np.asarray(edit.image), np.asarray(source), np.asarray(mask) > 0
    assert edit.image.size == source.size and edit.region.size == source.size
    assert (got[~inside] == before[~inside]).all()
    assert (got[inside] != before[inside]).any(-1).mean() > 0.5
    box = crop_box(mask, SIDE * SIDE)
    [part] = editor.edit(
        [source.crop(box)],
        ["make it red"],
        [1],
        EditSettings(height=edit.clip[0].height, width=edit.clip[0].width, steps=2, **more),
        masks=[mask.crop(box)],
    )
    assert edit.image.crop(box) == part.image and edit.clip == part.clip


def test_the_steps_of_both_passes_are_seen_and_a_global_edit_ends_with_the_first(editor, monkeypatch):
    monkeypatch.setattr(region, "WHOLE", -1.0)  # every edit is global
    source, seen = picture(64, 64), []
    how = EditSettings(height=SIDE, width=SIDE, steps=2)
    edit = edit_crop(editor, source, "make it red", 1, how, on_step=lambda step, _x: seen.append(step))
    assert seen == [0, 1] and edit.region.getextrema() == (255, 255)


def test_without_a_mask_the_part_that_a_first_edit_changes_is_cropped(editor, monkeypatch):
    """A first edit whose clip changes a corner only: the second one is made of the part around it."""
    source, seen, inner = picture(200, 200), [], type(editor).edit
    corner = Image.new("L", source.size)
    corner.paste(255, (0, 0, 20, 20))

    def edit(self, images, instructions, seeds, settings, *, masks=None, **more):
        if masks is None:
            masks = [corner]
        else:
            seen.append((images[0].size, masks[0].getbbox()))
        return inner(self, images, instructions, seeds, settings, masks=masks, **more)

    monkeypatch.setattr(Editor, "edit", edit)
    monkeypatch.setattr(region, "WHOLE", -1.0)  # all of the corner changes
    steps = []
    how = EditSettings(height=SIDE, width=SIDE, steps=2)
    done = edit_crop(editor, source, "make it red", 1, how, on_step=lambda step, _x: steps.append(step))
    assert seen == [((40, 40), (0, 0, 20, 20))] and steps == [0, 1, 2, 3]
    assert (np.asarray(done.image)[20:] == np.asarray(source)[20:]).all()
