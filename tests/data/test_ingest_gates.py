"""The image stage: what is decoded, what is refused and why, and that no image is used twice."""

import io
import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.support.triplets import encoded
from v4e.config import Ingest
from v4e.data.ingest.check import check
from v4e.data.ingest.dedupe import hashes_of, perceptual_hash, repeats
from v4e.data.ingest.drawing import drawn
from v4e.data.ingest.gates import KEPT, bad_change, edge_gain, turned_round
from v4e.data.quality import decode_image
from v4e.data.sources import RawTriplet
from v4e.data.write import write_triplets
from v4e.language.tasks import TASKS
from v4e.tiny.world import make_record
from v4e.types import EditTriplet

INGEST = Ingest(min_side=64)
LIMIT = 1_000_000
COLOR = drawn("color", "gates", (160, 120))
NONE = np.array([], np.uint64)


def raw(source: bytes | None, edit: bytes | None) -> RawTriplet:
    return RawTriplet(id="1", instruction="make the mug red", task="color", corpus="folder", source=source, edit=edit)


def reason_of(source: bytes | None, edit: bytes | None, task: str = "color") -> str:
    return check(raw(source, edit), task, INGEST, LIMIT)["reason"]


def bomb(width: int, height: int) -> bytes:
    """A small PNG that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


GOOD = encoded(COLOR.source)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "source: no image"),
        (GOOD[:-200], "source: corrupt image"),
        (bomb(40_000, 40_000), "source: "),
        (bomb(9_000, 9_000), "source: 9000 x 9000, limit data.max_pixels=1000000"),
        (
            encoded(COLOR.source, "GIF", save_all=True, append_images=[COLOR.edit]),
            "source: an animated GIF, expected a still image",
        ),
        (encoded(COLOR.source.resize((160, 63))), "source: 160 x 63: a side is below ingest.min_side"),
        (encoded(COLOR.source.resize((300, 90))), "source: 300 x 90: longer than ingest.max_aspect"),
        (encoded(COLOR.source.resize((160, 110))), "mismatched sizes: source 160 x 110, edit 160 x 120"),
        (encoded(COLOR.edit), "no visible edit: ingest.min_change"),
    ],
)
def test_every_defect_has_its_reason(source: bytes | None, reason: str):
    row = check(raw(source, encoded(COLOR.edit)), "color", INGEST, LIMIT)
    assert row["reason"].startswith(reason) and "src_img" not in row
    assert row["id"] == "folder/1"


def test_images_of_all_kinds_are_taken_as_they_are(tmp_path):
    """Their bytes are kept; the gates and hashes see what training will see."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    grey = COLOR.source.convert("L")
    layer = COLOR.source.convert("RGBA")
    layer.putalpha(200)
    made = {
        "CMYK": (COLOR.source.convert("CMYK"), COLOR.edit.convert("CMYK"), "JPEG", {}),
        "16 bit": (deep(grey), deep(COLOR.edit.convert("L")), "PNG", {}),
        "alpha": (layer, COLOR.edit, "PNG", {}),
        "turned": (COLOR.source, COLOR.edit, "JPEG", {"exif": exif}),
        "still GIF": (COLOR.source, COLOR.edit, "GIF", {}),
    }
    for name, (source, edit, form, options) in made.items():
        images = [encoded(image, form, **options) for image in (source, edit)]
        row = check(raw(*images), "style", INGEST, LIMIT)
        assert row["reason"] == "", name
        assert [row["src_img"]["bytes"], row["edited_img"]["bytes"]] == images
        assert (row["width"], row["height"]) == ((120, 160) if name == "turned" else (160, 120))
        assert row["source_hash"] == perceptual_hash(decode_image(images[0], "source", LIMIT))


def deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) << 8)


def test_two_sizes_of_one_frame_are_brought_together():
    """As HQ-Edit's and GPT-Image-Edit's; another frame is a mismatch."""
    row = check(raw(GOOD, encoded(COLOR.edit.resize((323, 240)))), "color", INGEST, LIMIT)
    assert row["reason"] == ""
    edit = decode_image(row["edited_img"]["bytes"], "edit", LIMIT)
    assert edit.size == COLOR.source.size and row["src_img"]["bytes"] == GOOD
    assert np.abs(np.asarray(edit, int) - np.asarray(COLOR.edit, int)).mean() < 3
    assert reason_of(GOOD, encoded(COLOR.edit.resize((330, 240)))).startswith("mismatched sizes")


@pytest.mark.parametrize("task", TASKS)
def test_edits_of_every_task_pass_and_shifted_ones_do_not(task: str):
    made = drawn(task, "gates", (256, 256))
    assert bad_change(made.source, made.edit, task, INGEST) == ""
    warped = Image.fromarray(np.roll(np.asarray(made.edit), (60, 90), (0, 1)))
    if KEPT.get(task, 0) > 0.1:
        assert bad_change(made.source, warped, task, INGEST) == "changed outside the edit: ingest.max_outside"


def test_a_gate_is_met_at_its_threshold():
    grey = Image.new("RGB", (64, 64), (100, 100, 100))
    pixels = np.full((64, 64, 3), 100, np.uint8)
    pixels[0, 0] = 100 + 51  # one cell of 64 x 64 changes by 0.2
    one = Image.fromarray(pixels)
    assert bad_change(grey, one, "color", replace(INGEST, min_change=0.2)) == ""
    assert bad_change(grey, one, "color", replace(INGEST, min_change=0.21)).startswith("no visible edit")
    brighter = Image.new("RGB", (64, 64), (151, 151, 151))
    assert bad_change(grey, brighter, "color", replace(INGEST, max_outside=0.201)) == ""
    assert bad_change(grey, brighter, "color", replace(INGEST, max_outside=0.199)).startswith("changed outside")
    assert bad_change(grey, brighter, "tone", replace(INGEST, max_outside=0.0)) == "", "tone changes all of it"


@pytest.mark.parametrize("task", ["addition", "removal"])
def test_swapped_pairs_are_told_by_the_edges_of_what_changed(task: str):
    """Of drawn edits and of the world's, all are right; turned round, nearly all are dropped (D8)."""
    made = [drawn(task, f"swap{n}", (160, 120)) for n in range(20)]
    pairs = [(one.source, one.edit) for one in made]
    for n in range(30):
        record = make_record("val", task, n, 0)
        pairs.append((Image.fromarray(np.asarray(record.source)), Image.fromarray(np.asarray(record.edit))))
    assert not any(turned_round(a, b, task) for a, b in pairs)
    back = [turned_round(b, a, task) for a, b in pairs]
    assert all(back[:20]) and sum(back) >= 48
    drop = replace(INGEST, swapped="drop")
    assert bad_change(made[0].edit, made[0].source, task, drop) == "source and edit are swapped: ingest.swapped"
    assert bad_change(made[0].edit, made[0].source, task, INGEST) == ""
    assert not turned_round(*pairs[0], "color") and edge_gain(COLOR.source, COLOR.source) is None


@dataclass(frozen=True)
class Hashed:
    id: str
    row: tuple[int, int]
    source_hash: int
    edit_hash: int


def hashed(name: str, number: int, source: Image.Image, edit: Image.Image) -> Hashed:
    return Hashed(name, (0, number), perceptual_hash(source), perceptual_hash(edit))


def test_an_image_is_used_once():
    """Recompressed, resized or brightened; as source or as edit; another image is none of them."""
    first, other = drawn("color", "a", (256, 256)), drawn("color", "b", (256, 256))
    again = io.BytesIO()
    first.source.resize((200, 200)).save(again, "JPEG", quality=60)
    copy = ImageEnhance.Brightness(Image.open(again)).enhance(1.1)
    ones = [
        hashed("first", 0, first.source, first.edit),
        hashed("copy", 1, copy, other.edit),
        hashed("turned round", 2, other.edit, first.source),
        hashed("other", 3, other.source, other.edit),
    ]
    assert repeats(ones, NONE, 4) == ["", "shares an image with first", "shares an image with first", ""]
    excluded = np.array([ones[3].edit_hash], np.uint64)
    assert repeats([ones[3]], excluded, 4) == ["in ingest.exclude"]


def test_both_directions_of_a_row_are_never_kept():
    """Even where no hash tells: by the row they come from. An id is used once as well."""
    far = [int(np.uint64(0xFFFF) << np.uint64(16 * n)) for n in range(4)]
    ones = [
        Hashed("x", (3, 7), far[0], far[1]),
        Hashed("x-inverse", (3, 7), far[2], far[3]),
        Hashed("x", (4, 7), far[2], far[3]),
    ]
    assert repeats(ones, NONE, 0) == ["", "the other direction of x", "id appears twice: the first triplet is used"]


def test_hashes_nearer_than_the_distance_are_one_image():
    ones = [Hashed(str(n), (0, n), hash_, 2**63 + n * 2**40) for n, hash_ in enumerate([0, 0b1111, 0b11111])]
    ones = [replace(one, edit_hash=~(0x5555 << 16 * n) & 2**64 - 1) for n, one in enumerate(ones)]
    assert repeats(ones, NONE, 4)[1:] == ["shares an image with 0", ""]
    assert repeats(ones, NONE, 3)[1] == ""


def test_images_of_an_older_set_are_hashed(tmp_path):
    path = str(tmp_path / "old.parquet")
    write_triplets(path, [EditTriplet(id="a", instruction="x", source=COLOR.source, edit=COLOR.edit)])
    assert hashes_of(path, LIMIT).tolist() == [perceptual_hash(COLOR.source), perceptual_hash(COLOR.edit)]
    with pytest.raises(FileNotFoundError, match=r"ingest\.exclude"):
        hashes_of(str(tmp_path / "none.parquet"), LIMIT)
