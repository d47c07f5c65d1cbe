"""A mask given to the editor: exact outside for the picture, and for the latents at each step where it is held."""

import numpy as np
import pytest
import torch
from PIL import Image

from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.method.sampler import start

SIDE = 32
SETTINGS = {"height": SIDE, "width": SIDE, "steps": 3}


@pytest.fixture(scope="module")
def editor(random_family) -> Editor:
    """One whose edits change everything: Wan's output layers start at zero, so these weights are drawn anew."""
    editor = Editor.load(str(random_family / "tiny-wan-i2v"))
    torch.manual_seed(1)
    for p in editor.dit.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return editor


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def left(share: float, size=(SIDE, SIDE)) -> Image.Image:
    """A mask of the left part of a picture."""
    mask = np.zeros(size[::-1], np.uint8)
    mask[:, : round(share * size[0])] = 255
    return Image.fromarray(mask)


def edited(editor, picture, mask=None, seen=None, **settings):
    masks, keep = mask and [mask], None if seen is None else lambda _step, x: seen.append(x.clone())
    [edit] = editor.edit(
        [picture], ["make it red"], [7], EditSettings(**SETTINGS | settings), masks=masks, on_step=keep
    )
    return edit


@pytest.mark.parametrize("solver", ["euler", "unipc"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_full_mask_held_changes_no_bit(editor, picture, solver, guidance):
    how = {"solver": solver, "guidance": guidance}
    plain, full = edited(editor, picture, **how), edited(editor, picture, left(1), hold=True, **how)
    assert plain.image == full.image and plain.clip == full.clip


@pytest.mark.parametrize("solver", ["euler", "unipc"])
def test_what_is_held_is_the_source_at_each_step(editor, picture, solver):
    seen: list[torch.Tensor] = []
    edited(editor, picture, left(0.5), seen, hold=True, solver=solver)
    z_BCFHW = editor._still(picture, 5)
    assert len(seen) == SETTINGS["steps"]
    for x0_hat_BCFHW in seen:
        torch.testing.assert_close(x0_hat_BCFHW[..., 4:], z_BCFHW[..., 4:], atol=1e-4, rtol=1e-4)
        assert (x0_hat_BCFHW[..., :4] - z_BCFHW[..., :4]).abs().mean() > 0.1


def test_the_model_sees_the_noised_source_where_it_is_held(editor, picture, monkeypatch):
    """x_t = (1 - t) z + t eps outside the mask, of the edit's own noise."""
    from v4e.method import sampler

    inner, seen = sampler.predict, []

    def predict(dit, x_t_BCFHW, t_B, inputs, **more):
        seen.append((x_t_BCFHW.clone(), float(t_B[0])))
        return inner(dit, x_t_BCFHW, t_B, inputs, **more)

    monkeypatch.setattr(sampler, "predict", predict)
    edited(editor, picture, left(0.5), hold=True)
    z, eps = editor._still(picture, 5), start(editor._inputs([picture], ["x"], 5, None).y_BCFHW, [7])
    for x_t, t in seen:
        torch.testing.assert_close(x_t[..., 4:], ((1 - t) * z + t * eps)[..., 4:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"hold": True}, {"preserve": "auto"}])
def test_outside_a_mask_are_the_sources_bits(editor, picture, settings):
    large = picture.resize((130, 70))
    mask = left(0.4, large.size)
    edit = edited(editor, large, mask, **settings)
    got, source, inside = np.asarray(edit.image), np.asarray(large), np.asarray(mask) > 0
    assert (got[~inside] == source[~inside]).all()
    assert (got[inside] != source[inside]).any(-1).mean() > 0.5


def test_a_cell_with_any_pixel_of_the_mask_is_free(editor, picture):
    """A mask of one pixel of 130 frees the cell that this pixel is brought to, and no other one."""
    large = picture.resize((130, 130))
    mask = Image.new("L", large.size)
    mask.putpixel((129, 0), 1)
    seen: list[torch.Tensor] = []
    edited(editor, large, mask, seen, hold=True)
    z_BCFHW = editor._still(large.resize((SIDE, SIDE), Image.Resampling.LANCZOS), 5)
    moved = (seen[-1] - z_BCFHW).abs().amax((0, 1, 2)) > 1e-3
    assert moved[0, -1] and moved.sum() == 1


def test_without_a_setting_no_bit_differs(editor, picture):
    plain = edited(editor, picture)
    assert plain.region is None
    assert edited(editor, picture, strength=1.0).image == plain.image == plain.clip[-1]
    assert edited(editor, picture, strength=0.5).image == plain.clip[2]
    assert edited(editor, picture, preserve="auto").clip == plain.clip


@pytest.mark.parametrize(
    ("masks", "settings", "message"),
    [
        ([left(1), left(1)], {}, "2 masks of 1 images"),
        ([left(1, (16, 32))], {}, "mode L and 16 x 32 pixels: expected L and its image's 32 x 32"),
        ([left(1).convert("RGB")], {}, "mode RGB"),
        (None, {"hold": True}, "hold=True"),
    ],
)
def test_masks_that_do_not_fit_are_refused(editor, picture, masks, settings, message):
    with pytest.raises(ValueError, match=message):
        editor.edit([picture], ["x"], [0], EditSettings(**SETTINGS | settings), masks=masks)
