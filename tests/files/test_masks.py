"""Masks as files: transparent or white where to edit, and back."""

import numpy as np
import pytest
from PIL import Image

from v4e.files.masks import as_picture, open_mask

MASK = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8))


def test_a_mask_that_was_written_is_read_as_it_was(tmp_path):
    as_picture(MASK).save(tmp_path / "mask.png")
    assert open_mask(tmp_path / "mask.png", MASK.size) == MASK


def test_white_is_where_to_edit_if_nothing_is_transparent(tmp_path):
    for mode in ("L", "RGB"):
        MASK.convert(mode).save(tmp_path / "mask.png")
        assert open_mask(tmp_path / "mask.png", MASK.size) == MASK


def test_a_mask_is_turned_as_its_picture_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    MASK.save(tmp_path / "mask.png", exif=exif)
    assert open_mask(tmp_path / "mask.png", (30, 40)).size == (30, 40)


def test_what_is_wrong_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png: no such file"):
        open_mask(tmp_path / "none.png", (4, 4))
    with pytest.raises(ValueError, match="no picture"):
        open_mask(__file__, (4, 4))
    MASK.save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match="the mask is 40x30: expected the picture's size, 41x30"):
        open_mask(tmp_path / "mask.png", (41, 30))
    (tmp_path / "cut.png").write_bytes((tmp_path / "mask.png").read_bytes()[:300])
    with pytest.raises(ValueError, match="cannot be decoded"):
        open_mask(tmp_path / "cut.png", (40, 30))
