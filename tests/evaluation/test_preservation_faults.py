"""Pairs as people have them: turned, transparent, masked in the alpha channel, in files that other programs wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.stages import preservation as pipeline
from v4e.config import parse
from v4e.evaluation.suites.masks import read_mask
from v4e.faults import Fault

SIZE = (64, 48)


def picture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def rows_of(folder: Path, text: bytes) -> list[dict]:
    (folder / "pairs.jsonl").write_bytes(text)
    pipeline.run(parse([f"run.dir={folder}", f"bench.pairs={folder / 'pairs.jsonl'}"]))
    return [json.loads(line) for line in (folder / "bench" / "preservation.jsonl").read_text().splitlines()]


def one(folder: Path, **pair: str) -> dict:
    return rows_of(folder, json.dumps(pair).encode())[0]


def black(folder: Path) -> str:
    """A mask of nothing: all is outside."""
    Image.new("L", SIZE).save(folder / "black.png")
    return "black.png"


@pytest.mark.parametrize("turn", [3, 6, 8])
def test_a_photograph_that_the_camera_turned_is_the_upright_one(tmp_path, turn):
    how = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    picture(1).transpose(how).save(tmp_path / "s.jpg", quality=98, exif=exif)
    picture(1).save(tmp_path / "e.png")
    for source, edit in (("s.jpg", "e.png"), ("e.png", "s.jpg")):
        found = one(tmp_path, source=source, edit=edit, truth="s.jpg", mask=black(tmp_path))
        assert found["figures"]["outside.psnr"] > 30 and found["figures"]["emu_edit.l1"] < 0.02
        assert found["figures"]["magicbrush.l1"] < 0.02


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_hidden_colours_are_not_compared(tmp_path, mode):
    layer = picture(2).convert("RGBA")
    layer.putalpha(Image.linear_gradient("L").resize(SIZE).point(lambda v: 255 * (v > 127)))
    layer = layer.convert("LA") if mode == "LA" else layer
    layer = layer.quantize(64) if mode == "P" else layer
    layer.save(tmp_path / "s.png")
    ground = Image.new("RGBA", SIZE, "white")
    Image.alpha_composite(ground, Image.open(tmp_path / "s.png").convert("RGBA")).convert("RGB").save(
        tmp_path / "e.png"
    )
    assert one(tmp_path, source="s.png", edit="e.png", mask=black(tmp_path))["figures"]["outside.psnr"] == 100


def test_a_mask_in_the_alpha_channel_is_refused_in_words(tmp_path):
    """OpenAI's has holes where the edit goes, others' are opaque there: nobody can tell."""
    alpha = Image.new("L", SIZE)
    alpha.paste(255, (0, 0, 30, 20))
    for number, colour in enumerate(("white", "black")):
        mask = Image.new("RGB", SIZE, colour)
        mask.putalpha(alpha)
        mask.save(tmp_path / "m.png")
        picture(number).save(tmp_path / "s.png")
        found = one(tmp_path, source="s.png", edit="s.png", mask="m.png")
        assert "alpha channel" in found["reason"] and found["figures"] == {}
    both = Image.merge("LA", (alpha, alpha))
    both.save(tmp_path / "both.png")
    assert read_mask(str(tmp_path / "both.png"), SIZE).sum() == 30 * 20, "both readings are one"


@pytest.mark.parametrize("how", ["L", "1", "zeros and ones", "I;16", "P", "opaque", "jpeg", "half the size"])
def test_masks_of_all_kinds_are_one_mask(tmp_path, how):
    grey = Image.new("L", SIZE)
    grey.paste(255, (8, 8, 40, 32))
    made = {
        "1": lambda: grey.convert("1"),
        "zeros and ones": lambda: grey.point(lambda v: v // 255),
        "I;16": lambda: Image.fromarray(np.asarray(grey).astype(np.uint16) * 257),
        "P": lambda: grey.convert("RGB").quantize(2),
        "opaque": lambda: grey.convert("RGBA"),
        "half the size": lambda: grey.resize((32, 24), Image.Resampling.NEAREST),
    }
    name = "m.jpg" if how == "jpeg" else "m.png"
    made.get(how, lambda: grey)().save(tmp_path / name)
    mask = read_mask(str(tmp_path / name), SIZE)
    assert np.abs(mask.astype(int) - (np.asarray(grey) > 0)).sum() == 0


def test_what_is_no_mask_is_refused_and_one_over_all_leaves_no_outside(tmp_path):
    picture(3).save(tmp_path / "s.png")
    for name, image, words in (
        ("grey", Image.new("L", SIZE, 100), "neither black nor white"),
        ("dark labels", Image.new("L", SIZE, 38), "neither black nor white"),
        ("square", Image.new("L", (48, 48), 255), "another aspect: mask 48 x 48"),
    ):
        image.save(tmp_path / f"{name}.png")
        assert words in one(tmp_path, source="s.png", edit="s.png", mask=f"{name}.png")["reason"]
    Image.new("L", SIZE, 255).save(tmp_path / "all.png")
    found = one(tmp_path, source="s.png", edit="s.png", mask="all.png")
    assert "every pixel" in found["note"] and not any(key.startswith("outside") for key in found["figures"])


def test_an_edit_of_another_aspect_is_refused_and_of_another_size_measured(tmp_path):
    picture(4).save(tmp_path / "s.png")
    for size in ((48, 48), (48, 64)):
        picture(4, size).save(tmp_path / "e.png")
        for key in ("edit", "truth"):
            found = one(tmp_path, **{"source": "s.png", "edit": "s.png"} | {key: "e.png"})
            assert f"another aspect: {key} {size[0]} x {size[1]}, source 64 x 48" in found["reason"]
    for size in ((128, 96), (64, 47), (32, 24)):
        picture(4, size).save(tmp_path / "e.png")
        assert one(tmp_path, source="s.png", edit="e.png")["reason"] == ""


def test_lines_are_read_as_other_programs_write_them_and_a_bad_one_ends_nothing(tmp_path):
    picture(5).save(tmp_path / "s.png")
    pair = {"source": "s.png", "edit": "s.png"}
    lines = [
        json.dumps(pair | {"source_caption": "a\u2028b\x85c"}, ensure_ascii=False),
        "",
        "   ",
        json.dumps(pair | {"mask": None, "truth": None, "id": 7, "group": 1.5}),
        "{broken",
        "[1]",
        json.dumps(pair | {"masks": "x"}),
        json.dumps(pair | {"edit": 3}),
        json.dumps({"source": "s.png"}),
    ]
    text = "\r\n".join(lines).encode() + b'\n{"source": "\xff"}\n' + json.dumps(pair).encode()
    rows = rows_of(tmp_path, b"\xef\xbb\xbf" + text)
    assert [row["id"] for row in rows] == ["1", "7", "5", "6", "7", "8", "9", "10", "11"]
    assert [bool(row["reason"]) for row in rows] == [False, False, *[True] * 6, False]
    assert rows[1]["group"] == "1.5" and "line 5 is no JSON" in rows[2]["reason"] and "masks" in rows[4]["reason"]
    with pytest.raises(Fault, match="names no pair") as caught:
        rows_of(tmp_path, b"\n \n")
    assert caught.value.code == "P01"


def test_an_entry_of_pie_bench_that_is_none_ends_nothing(tmp_path):
    (tmp_path / "annotation_images").mkdir()
    picture(6, (512, 512)).save(tmp_path / "annotation_images" / "a.png")
    good = {"image_path": "a.png", "original_prompt": "a", "editing_prompt": "b", "mask": [0, 9]}
    entries = [
        good,
        good | {"mask": None},
        good | {"mask": [1]},
        good | {"image_path": None},
        good | {"mask": ["a", 1]},
    ]
    (tmp_path / "m.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(dict(enumerate(entries))).encode())
    args = [
        f"run.dir={tmp_path}",
        f"bench.pairs={tmp_path / 'm.json'}",
        f"bench.edits={tmp_path / 'annotation_images'}",
    ]
    pipeline.run(parse(args))
    rows = [json.loads(line) for line in (tmp_path / "bench" / "preservation.jsonl").read_text().splitlines()]
    assert [bool(row["reason"]) for row in rows] == [False, True, True, True, True]
