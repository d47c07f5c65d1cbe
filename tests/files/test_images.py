"""Pictures of any kind come in upright and opaque, and any size has a size in the model."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from v4e.files.images import fit, grid_size, open_image, restore, unpacked
from v4e.files.results import LONGEST, check_holds, encode
from v4e.wan import GRID

SIDES = st.integers(1, 20_000)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(GRID * GRID, 4_000_000))
def test_a_size_is_on_the_grid_within_the_area_and_near_the_aspect(width, height, max_pixels):
    tall, wide = grid_size(width, height, max_pixels)
    assert tall % GRID == wide % GRID == 0 and min(tall, wide) >= GRID
    assert tall * wide <= max_pixels
    assert tall <= max(GRID, height) and wide <= max(GRID, width)
    if min(tall, wide) > GRID:
        scale = min(1.0, (max_pixels / (width * height)) ** 0.5)
        assert abs(wide - width * scale) <= GRID and abs(tall - height * scale) <= GRID  # a cell off at most


def test_an_area_below_one_cell_is_refused():
    with pytest.raises(ValueError, match="max_pixels=255"):
        grid_size(100, 100, 255)


def test_a_picture_is_upright_opaque_and_in_8_bits(tmp_path):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[0, 0] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: right of the file is down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    turned = open_image(tmp_path / "turned.png")
    assert turned.size == (20, 30) and turned.getpixel((19, 0)) == (255, 0, 0)
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.fromarray(np.full((4, 4), 257 * 100, np.uint16)).save(tmp_path / "deep.png")
    assert open_image(tmp_path / "deep.png").getpixel((0, 0)) == (100, 100, 100)
    assert open_image(tmp_path / "deep.png").mode == "RGB"


def test_what_is_no_picture_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.jpg: no such file"):
        open_image(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(ValueError, match=r"text.jpg: it is no picture"):
        open_image(tmp_path / "text.jpg")
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"torn.png"):
        open_image(tmp_path / "torn.png")


def test_an_edit_comes_back_at_its_sources_size():
    source = Image.new("RGB", (50, 37), "red")
    [seen] = fit([source], 32, 48)
    assert seen.size == (48, 32) and restore(seen, source).size == (50, 37)
    assert restore(source, source) is source


def jpeg(**options) -> bytes:
    made, y = io.BytesIO(), np.linspace(0, 3, 160)
    waves = 127 * (1 + np.sin(np.add.outer(y, 40 * y)))
    Image.fromarray(np.stack([waves, waves.T, waves], -1).astype(np.uint8)).save(made, "JPEG", **options)
    return made.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_last_bytes_are_missing_is_read_and_half_of_one_is_not(progressive):
    whole = jpeg(progressive=progressive)
    expected = np.asarray(unpacked(whole), int)
    for short in (1, 2, 3, 5):
        assert np.abs(np.asarray(unpacked(whole[:-short]), int) - expected).mean() < 0.5
    for part in (2, 10):
        with pytest.raises(OSError, match="the end of the file is missing"):
            unpacked(whole[: len(whole) // part])


@pytest.mark.parametrize(
    ("form", "side", "holds"), [("webp", 16_383, True), ("webp", 16_384, False), ("png", 70_000, True)]
)
def test_a_format_says_how_much_it_holds(form, side, holds):
    if holds:
        return check_holds(form, side, 8, "out")
    with pytest.raises(ValueError, match=f"out: webp holds at most 16383 pixels a side, this is 8x{side}"):
        check_holds(form, 8, side, "out")


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_what_a_format_holds_is_what_its_encoder_takes(form):
    most = LONGEST[form]
    assert encode(Image.new("RGB", (most, 1)), form)
    with pytest.raises((OSError, ValueError)):
        encode(Image.new("RGB", (65_536, 1)), form)
