"""Colours mean what the profile of their file says, in any format, mode and kind; sRGB stays equal to the bit."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from serve.pictures import decode
from tests.support.icc import P3, SRGB, grey_profile, in_srgb, ink_profile, matrix_profile
from v4e.data.quality import decode_image
from v4e.files.images import fit, open_image, unpacked

RED = (200, 60, 60)
WIDE = matrix_profile(P3)


def file(image: Image.Image, form: str = "PNG", **options) -> bytes:
    made = io.BytesIO()
    if form in ("JPEG", "WEBP", "AVIF"):
        options |= {"quality": 100}
    image.save(made, form, **options)
    return made.getvalue()


def at(image: Image.Image) -> np.ndarray:
    return np.asarray(image)[5, 5].astype(int)


def test_the_formulas_are_those_that_browsers_show():
    assert in_srgb(RED, P3).round().tolist() == [217, 42, 52]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_every_way_in_reads_the_profile(form, tmp_path):
    blob = file(Image.new("RGB", (16, 16), RED), form, icc_profile=WIDE)
    (tmp_path / "wide").write_bytes(blob)
    server, command, data = decode(blob, "image", 10**6), open_image(tmp_path / "wide"), decode_image(blob, "x", 10**6)
    for image in (server, command, data):
        assert np.abs(at(image) - in_srgb(RED, P3)).max() <= 2 and image.info == {}
    opened = Image.open(io.BytesIO(blob))  # as a user of `Editor` may give it
    assert np.array_equal(at(fit([opened], 16, 16)[0]), at(server))


@pytest.mark.parametrize("gamma", [1.8, 2.2])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_modes_with_three_colours(mode, gamma):
    image = Image.new("RGB", (16, 16), RED)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    made = unpacked(file(image, icc_profile=matrix_profile(SRGB, gamma)))
    assert np.abs(at(made) - in_srgb(RED, SRGB, gamma)).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_greys(mode):
    image = Image.new("L", (16, 16), 100).convert(mode) if mode != "I;16" else Image.new(mode, (16, 16), 100 * 257)
    expected = in_srgb((100, 100, 100), SRGB, 1.8)
    assert np.abs(at(unpacked(file(image, icc_profile=grey_profile(1.8)))) - expected).max() <= 2
    plain = unpacked(file(image, icc_profile=matrix_profile(SRGB)))  # a colour profile on a grey picture
    assert at(plain).tolist() == [100, 100, 100]


def test_inks():
    image = Image.new("CMYK", (16, 16), (255, 0, 40, 90))
    red, green, blue = at(unpacked(file(image, "JPEG", icc_profile=ink_profile())))
    assert red > 200 and max(green, blue) < 60
    assert at(unpacked(file(image, "JPEG")))[0] == 0  # without it the first ink is cyan


def test_transparency_is_kept_apart_from_colours():
    image = Image.new("RGBA", (16, 16), (*RED, 128))
    expected = (in_srgb(RED, P3) * 128 + 255 * 127) / 255
    assert np.abs(at(unpacked(file(image, icc_profile=WIDE))) - expected).max() <= 2


@pytest.mark.parametrize(
    "profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), matrix_profile(SRGB)]
)
def test_srgb_by_any_profile_is_itself_to_the_bit(profile):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(unpacked(file(Image.fromarray(pixels), icc_profile=profile))), pixels)


@pytest.mark.parametrize(
    "profile", [b"", b"no profile", WIDE[:200], bytes(4000), ink_profile(), grey_profile(1.8), WIDE[:132] + bytes(400)]
)
def test_a_profile_that_means_nothing_counts_for_nothing(profile):
    for form in ("PNG", "JPEG", "WEBP"):
        made = at(unpacked(file(Image.new("RGB", (16, 16), RED), form, icc_profile=profile)))
        assert np.abs(made - RED).max() <= 1
