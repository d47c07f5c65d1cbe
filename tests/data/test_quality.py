"""Untrusted rows: every defect has its reason, and what passes is what the rest relies on."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from v4e.data.quality import MAX_SIDE, BadTriplet, decode_image, decode_triplet
from v4e.data.reject import read_rejected, record_rejected, replace_rejected
from v4e.data.sources import RawTriplet

LIMIT = 1_000_000


def encode(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that only claims its size: decoding it would fail, so a check that decodes first would say 'corrupt'."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8))


def animated(form: str) -> bytes:
    return encode(PHOTO, form, save_all=True, append_images=[PHOTO.rotate(90), PHOTO.rotate(180)])


GOOD = RawTriplet(id="a/1", instruction=" make it red\n", task="color", source=encode(PHOTO), edit=encode(PHOTO))


def test_a_good_row_is_decoded():
    triplet = decode_triplet(GOOD, LIMIT)
    assert (triplet.id, triplet.instruction, triplet.task) == ("a/1", "make it red", "color")
    assert triplet.source.mode == "RGB" and np.array_equal(np.asarray(triplet.source), np.asarray(PHOTO))
    assert decode_triplet(replace(GOOD, task="attribute_modification"), LIMIT).task == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"instruction": " \n"}, "empty instruction"),
        ({"instruction": "x" * 5000}, "instruction of 5000 characters"),
        ({"id": ""}, "id of 0 characters"),
        ({"id": "/" * 100}, "id of 100 characters"),
        ({"source": None}, "source: no image"),
        ({"edit": b""}, "edit: no image"),
        ({"edit": b"not an image"}, "edit: corrupt image (none of PNG, JPEG, WEBP, GIF"),
        ({"source": encode(PHOTO)[:-40]}, "source: corrupt image"),
        ({"source": encode(PHOTO)[:60] + b"\xff" * 20 + encode(PHOTO)[80:]}, "source: corrupt image"),
        ({"edit": encode(PHOTO.resize((9, 7)))}, "mismatched sizes: source 9 x 6, edit 9 x 7"),
        ({"source": encode(PHOTO, "PPM")}, "source: a netpbm file is not read: convert it to PNG"),
        *(({"source": animated(form)}, f"source: an animated {form}") for form in ("GIF", "PNG", "WEBP")),
        ({"source": png_header(30_000, 8)}, f"source: 30000 x 8, limit {MAX_SIDE} pixels a side"),
        ({"source": png_header(30_000, 30_000)}, "source: "),
        ({"source": png_header(2_000, 2_000)}, "source: 2000 x 2000, limit data.max_pixels=1000000"),
        ({"source": png_header(2**31 - 1, 2**31 - 1)}, "source: too large"),
    ],
)
def test_every_defect_has_its_reason(changed: dict, reason: str):
    with pytest.raises(BadTriplet) as caught:
        decode_triplet(replace(GOOD, **changed), LIMIT)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_huge_images_are_refused_by_their_header():
    """Not one pixel of them is decoded: their data is not even there."""
    with pytest.raises(BadTriplet, match="limit"):
        decode_image(png_header(16_000, 16_000), "source", 64_000_000)


def test_transparency_lies_on_white():
    layer = np.zeros((2, 2, 4), dtype=np.uint8)
    layer[0, 0] = (200, 0, 0, 255)
    layer[0, 1] = (0, 0, 0, 128)
    pixels = np.asarray(decode_image(encode(Image.fromarray(layer)), "source", LIMIT))
    assert pixels[0, 0].tolist() == [200, 0, 0] and pixels[1, 1].tolist() == [255, 255, 255]
    assert abs(int(pixels[0, 1, 0]) - 127) <= 1


def test_a_still_gif_is_an_image():
    assert decode_image(encode(PHOTO, "GIF"), "source", LIMIT).size == PHOTO.size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str):
    if mode == "I;16":
        data = encode(Image.fromarray(np.full((6, 9), 200 * 256 + 17, dtype=np.uint16)))
    else:
        grey = Image.new("RGB", (9, 6), (200, 200, 200))
        made = grey.quantize() if mode == "P" else grey.convert(mode)
        data = encode(made, "JPEG" if mode == "CMYK" else "PNG")
    image = decode_image(data, "source", LIMIT)
    assert image.mode == "RGB" and image.size == (9, 6)
    if mode != "1":
        assert np.abs(np.asarray(image).astype(int) - 200).max() <= 4


def test_a_transparent_palette_lies_on_white_too():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    pixels = np.asarray(decode_image(encode(image, transparency=0), "source", LIMIT))
    assert pixels.tolist() == [[[255, 255, 255], [200, 100, 50]]]


def test_photographs_are_turned_as_their_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    assert decode_image(encode(PHOTO, "JPEG", exif=exif), "source", LIMIT).size == (6, 9)


def test_rejected_rows_are_merged_and_kept_once(tmp_path):
    run_dir = str(tmp_path)
    assert read_rejected(run_dir) == []
    first = {"id": "b", "stage": "precompute", "reason": "empty"}
    other = {"id": "b", "stage": "caption", "reason": "empty"}
    record_rejected(run_dir, [first, other])
    record_rejected(run_dir, [{**first, "reason": "corrupt"}, {**first, "id": "a"}])
    assert read_rejected(run_dir) == [other, {**first, "id": "a"}, {**first, "reason": "corrupt"}]
    replace_rejected(run_dir, "precompute", [])
    assert read_rejected(run_dir) == [other]


def test_a_rejected_row_may_have_no_id(tmp_path):
    bad = {"id": None, "stage": "caption", "reason": "empty"}
    record_rejected(str(tmp_path), [{**bad, "id": "b"}, bad])
    assert read_rejected(str(tmp_path)) == [{**bad, "id": ""}, {**bad, "id": "b"}]
