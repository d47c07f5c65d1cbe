"""The region of an edit: what changed is in it, outside are the source's bits, and a global edit is left whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from v4e.editing import region
from v4e.editing.finish import Edit, finished
from v4e.editing.settings import EditSettings

SIDE = 24
PICTURES = arrays(np.uint8, (SIDE, SIDE, 3))
BOXES = st.tuples(*[st.integers(0, SIDE - 6), st.integers(3, 8)] * 2)
RNG = np.random.default_rng(0)


def noisy(picture: np.ndarray, size: int, seed: int) -> np.ndarray:
    """A picture as a VAE that errs by up to `size` gives it back."""
    noise = np.random.default_rng(seed).integers(-size, size + 1, picture.shape)
    return (picture.astype(int) + noise).clip(0, 255).astype(np.uint8)


def block(box) -> np.ndarray:
    y, height, x, width = box
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + height, x : x + width] = True
    return mask


@settings(deadline=None)
@given(BOXES, st.integers(0, 6), st.integers(0, 99))
def test_a_change_well_above_the_vaes_error_is_found_exactly(box, size, seed):
    source = noisy(np.full((SIDE, SIDE, 3), 100, np.uint8), 40, seed)
    still = noisy(source, size, seed + 1)
    where = block(box)
    edit = noisy(still, size // 4, seed + 2)
    edit[where] = still[where] + np.uint8(60)
    core = region.changed(edit, still, source)
    assert (core == where).all()


@settings(deadline=None)
@given(PICTURES, st.integers(0, 60), st.integers(0, 99))
def test_what_the_vae_gives_back_is_no_change(source, size, seed):
    still = noisy(source, size, seed)
    assert not region.changed(still, still, source).any()
    assert not region.mask_of(region.changed(still, still, source), (50, 70)).any()


def test_a_worse_vae_hides_smaller_changes():
    source = np.full((SIDE, SIDE, 3), 100, np.uint8)
    where = block((4, 8, 4, 8))
    for error, seen in ((2, True), (20, False)):
        still = source + np.uint8(error)
        edit = np.where(where[..., None], still + np.uint8(25), still)
        assert region.changed(edit, still, source).any() == seen


@settings(deadline=None)
@given(arrays(bool, (6, 8)), st.tuples(st.integers(6, 90), st.integers(6, 90)))
def test_a_mask_is_255_in_the_core_and_0_beyond_the_rim(cells, size):
    mask = region.mask_of(cells, size)
    assert mask.shape == size[::-1] and mask.dtype == np.uint8
    if region.is_whole(cells):
        assert (mask == 255).all()
        return
    large = np.asarray(Image.fromarray(cells.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)) >= 128
    assert ((mask == 255) == large).all()
    rim = max(1, round(max(size) / 128))
    rows, columns = np.nonzero(mask)
    core = np.argwhere(large)
    for y, x in zip(rows[::7], columns[::7], strict=True):
        assert ((core - (y, x)) ** 2).sum(1).min() < (rim + 1) ** 2


@pytest.mark.parametrize(("share", "whole"), [(0.0, False), (0.49, False), (0.51, True), (1.0, True)])
def test_an_edit_of_more_than_half_of_a_picture_is_whole(share, whole):
    core = np.zeros((10, 100), bool)
    core[:, : round(100 * share)] = True
    assert region.is_whole(core) is whole


def test_a_change_that_every_eye_sees_is_one_whatever_the_vae():
    source = np.full((SIDE, SIDE, 3), 100, np.uint8)
    where = block((4, 8, 4, 8))
    still = source + np.uint8(90)
    edit = np.where(where[..., None], np.uint8(20), still)
    assert (region.changed(edit, still, source) == where).all()


def test_where_the_edit_is_the_source_nothing_changed_though_the_vae_erred_there():
    source = np.full((SIDE, SIDE, 3), 100, np.uint8)
    erred, where = block((2, 8, 2, 8)), block((14, 6, 14, 6))
    still = np.where(erred[..., None], np.uint8(140), source)
    edit = np.where(where[..., None], np.uint8(180), source)
    assert (region.changed(edit, still, source) == where).all()


def frames(*levels: int, size=(SIDE, SIDE), where=None) -> list[Image.Image]:
    """A clip of grey frames, or of grey blocks on black."""
    empty = np.zeros((*size[::-1], 3), np.uint8)
    level = [
        np.full_like(empty, v) if where is None else np.where(where[..., None], np.uint8(v), empty) for v in levels
    ]
    return [Image.fromarray(v) for v in level]


@given(PICTURES, BOXES, st.floats(0.2, 1))
@settings(max_examples=30, deadline=None)
def test_outside_the_region_are_the_sources_bits(pixels, box, strength):
    """At full resolution, four times the model's, where the edit is known at the model's alone."""
    large = np.asarray(Image.fromarray(pixels).resize((4 * SIDE, 4 * SIDE)))
    source = Image.fromarray(large)
    sized = source.resize((SIDE, SIDE))
    target = np.array(sized)
    target[block(box)] ^= 128
    clip = [Image.blend(sized, Image.fromarray(target), share) for share in np.linspace(0, 1, 5)]
    edit = finished(
        Edit(image=source, clip=clip),
        EditSettings(preserve="auto", strength=strength),
        sized=sized,
        still=sized,
        mask=None,
    )
    assert edit.region is not None
    mask, got = np.asarray(edit.region), np.asarray(edit.image)
    assert (got[mask == 0] == large[mask == 0]).all()
    whole = np.asarray(finished(Edit(image=source, clip=clip), EditSettings(strength=strength), sized=sized).image)
    assert (got[mask == 255] == whole[mask == 255]).all()
    assert 0 < (mask > 0).mean() < 0.5


def test_a_given_mask_bounds_the_region():
    where = block((4, 8, 4, 8))
    clip, [source] = frames(0, 50, 100, 150, 200, where=where), frames(0)
    left = np.zeros((SIDE, SIDE), np.uint8)
    left[:, :8] = 255
    for preserve in ("off", "auto"):
        edit = finished(
            Edit(image=source, clip=clip),
            EditSettings(preserve=preserve),
            sized=source,
            still=source if preserve == "auto" else None,
            mask=Image.fromarray(left),
        )
        got = np.asarray(edit.image)[..., 0]
        assert (got[:, 8:] == 0).all()
        assert (got[4:12, 4:8] == 200).all()


def test_a_global_edit_is_left_whole():
    clip, [source] = frames(0, 50, 100, 150, 200), frames(0)
    edit = finished(Edit(image=source, clip=clip), EditSettings(preserve="auto"), sized=source, still=source)
    assert edit.image == clip[-1]
    assert edit.region is not None and edit.region.getextrema() == (255, 255)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.integers(2, 4))
def test_strength_goes_from_the_source_to_the_last_frame_and_never_back(strengths, count):
    clip, [source] = frames(*np.linspace(10, 250, count).astype(int)), frames(0)
    levels = [region.at_strength(clip, source, s).getpixel((0, 0))[0] for s in sorted(strengths)]
    assert levels == sorted(levels)
    assert region.at_strength(clip, source, 0) == source
    assert region.at_strength(clip, source, 1) == clip[-1]


def test_strength_0_is_a_large_source_to_the_bit():
    source = Image.fromarray(RNG.integers(0, 256, (90, 70, 3), dtype=np.uint8))
    assert region.at_strength(frames(0, 9, 9), source, 0) == source
    assert region.at_strength(frames(0, 9, 9), source, 0.1).size == source.size


@pytest.mark.parametrize(
    "fields", [{"preserve": "yes"}, {"strength": 1.01}, {"strength": -0.1}, {"strength": float("nan")}]
)
def test_settings_that_mean_nothing_are_refused(fields):
    [name] = fields
    with pytest.raises(ValueError, match=f"{name}="):
        EditSettings(**fields)
