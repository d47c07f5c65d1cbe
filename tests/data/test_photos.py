"""Photographs as triplets: exact edits, disjoint splits, and the same pipelines and encoders as any corpus."""

import colorsys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.parts import photo_edits
from pipelines.stages import photos
from v4e.config import parse
from v4e.data.quality import decode_triplet
from v4e.data.sources import parts, rows
from v4e.data.store.features import encode_samples
from v4e.data.store.store import Texts
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.files.uri import read_json
from v4e.language.tasks import rule_task
from v4e.method import sampler
from v4e.tiny.world.scene import MATERIALS, SHAPES, SLOTS, Thing
from v4e.types import EditTriplet
from v4e.weights.frozen import load_frozen

LOCAL = ("addition", "removal", "replacement", "material", "motion")
REACH = photo_edits.RADIUS * photo_edits.SIZE + 1  # pixels


def read(path: Path) -> list[EditTriplet]:
    return [decode_triplet(row, photos.MAX_PIXELS) for part in parts(str(path)) for row in rows(part)]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Two photographs of scikit-image in a folder, one beside a copy of itself, as triplets: one an edit."""
    place = tmp_path_factory.mktemp("photos")
    (place / "album").mkdir()
    bundled = {photo.name: photo.image for photo in photos.read_photos(None)}
    bundled["coffee.png"].save(place / "album" / "coffee.png")
    bundled["rocket.jpg"].save(place / "album" / "rocket.jpg")
    (place / "album" / "zz.png").write_bytes((place / "album" / "coffee.png").read_bytes())
    photos.write(place / "out", place / "album", per_task=1, seed=0)
    return place


@pytest.fixture(scope="module")
def splits(written) -> dict[str, list[EditTriplet]]:
    return {name: read(written / "out" / f"{name}.parquet") for name in ("train", "heldout")}


@pytest.fixture(scope="module")
def picture(splits) -> np.ndarray:
    return next(np.asarray(t.source) for t in splits["train"] if t.task == "tone")


def differs(triplet: EditTriplet) -> np.ndarray:
    return (np.asarray(triplet.source) != np.asarray(triplet.edit)).any(-1)


# Corpus


@pytest.mark.slow
def test_photographs_lie_in_one_split_and_all_tasks_in_both(splits):
    of = {name: {t.id.split("-")[0] for t in triplets} for name, triplets in splits.items()}
    assert sorted(of["train"] | of["heldout"]) == ["coffee.png", "rocket.jpg"]  # and the copy in none
    assert not of["train"] & of["heldout"]
    for triplets in splits.values():
        assert sorted(t.task for t in triplets) == sorted(photo_edits.TASKS)
        assert all(t.source.size == t.edit.size == (256, 256) for t in triplets)


def test_the_seed_decides_all(written, splits):
    album = photos.read_photos(written / "album")
    by_name = {photo.name: photo for photo in album}
    for triplet in splits["heldout"][:4]:
        photo = by_name[triplet.id.split("-")[0]]
        again, other = (photos.make_triplet(photo, triplet.task, 0, seed) for seed in (0, 1))
        assert again is not None and other is not None
        assert (again.id, again.instruction) == (triplet.id, triplet.instruction)
        assert (np.asarray(again.edit) == np.asarray(triplet.edit)).all()
        assert (np.asarray(other.source) != np.asarray(triplet.source)).any()


def test_a_quarter_of_the_photographs_is_held_out():
    album = [photos.Photo(str(n), Image.new("RGB", (1, 1))) for n in range(9)]
    for seed in range(5):
        train, held = photos.split_photos(album, seed)
        assert len(held) == 3
        assert sorted(p.name for p in train + held) == [p.name for p in album]


def test_edits_that_a_thumbnail_loses_are_no_triplets():
    dark = photos.Photo("black", Image.new("RGB", (300, 300)))
    made = [photos.make_triplet(dark, "tone", n, 0) for n in range(6)]
    assert all("bright" in t.instruction or "cold" in t.instruction for t in made if t)
    assert photos.make_triplet(dark, "addition", 0, 0) is not None


def test_the_rules_see_no_other_task_in_an_instruction(splits):
    for triplet in [*splits["train"], *splits["heldout"]]:
        assert rule_task(triplet.instruction)[0] in (triplet.task, ""), triplet.instruction
    for text in photo_edits.BLACK_AND_WHITE:
        assert rule_task(text)[0] == "tone"


def test_one_photograph_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "only.png")
    with pytest.raises(ValueError, match=r"1 photographs in .*: expected at least 2"):
        photos.read_photos(tmp_path)


# Edits


def test_pixels_away_from_stickers_and_signs_stay_to_the_bit(splits):
    y, x = np.indices((256, 256)) + 0.5
    near_slots = np.any([np.maximum(abs(x - 256 * cx), abs(y - 256 * cy)) < REACH for cx, cy in SLOTS.values()], axis=0)
    for triplet in [*splits["train"], *splits["heldout"]]:
        changed = differs(triplet)
        if triplet.task in LOCAL:
            assert not changed[~near_slots].any(), triplet.id
            assert 0.01 < changed.mean() < 0.25
        if triplet.task == "text":
            lines, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
            assert np.ptp(lines) < 5 * 12 and np.ptp(columns) < 11 * 12  # three letters of 3 x 5 cells, two gaps


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sticker_covers_its_slot_alone(picture, shape):
    for material in MATERIALS[:3]:
        stuck = photo_edits.stick(picture, Thing(shape, "green", material, "top left"))
        assert (stuck[:20] == picture[:20]).all() and (stuck[:, 128:] == picture[:, 128:]).all()
        assert (stuck != picture).any(-1).mean() > 0.03
    plain = photo_edits.stick(picture, Thing(shape, "green", "plain", "top left"))
    assert tuple(plain[69, 69]) == (26, 178, 56)  # COLORS["green"], rounded


def test_a_hue_is_turned_inside_its_mask_and_nowhere_else(picture):
    mask = np.zeros((256, 256), bool)
    mask[40:90, 30:200] = True
    edit = photo_edits.recolor(picture, mask, 0.3)
    assert (edit[~mask] == picture[~mask]).all()
    for y, x in ((40, 30), (60, 100), (89, 199)):
        h, s, v = colorsys.rgb_to_hsv(*(picture[y, x] / 255))
        expected = 255 * np.array(colorsys.hsv_to_rgb((h + 0.3) % 1, s, v))
        assert np.abs(edit[y, x] - expected).max() <= 0.5 + 1e-6


def test_colored_areas_are_named_as_they_are_seen():
    canvas = np.full((256, 256, 3), 128, np.uint8)
    canvas[:128, :128] = (200, 20, 20)
    canvas[200:, 100:] = (20, 40, 200)
    (first, mask), (second, _) = photo_edits.colored_areas(canvas)
    assert (first, second) == ("red", "blue")
    assert mask[64, 64] and not mask[160, 64] and abs(mask.mean() - 0.25) < 0.01
    canvas[:128, :128] = (230, 80, 25)  # neither quite red nor quite orange
    assert [name for name, _ in photo_edits.colored_areas(canvas)] == ["blue"]


def test_tones_are_their_formulas(picture):
    r, g, b = (picture[..., i].astype(float) for i in range(3))
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    expected = {
        "black and white": np.stack([luma, luma, luma], -1),
        "bright": 255 - (255 - picture.astype(float)) / 2,
        "cold": np.stack([0.6 * r, 0.9 * g + 8, 1.1 * b + 25], -1),
        "sepia": np.stack([1.1 * luma, 0.85 * luma, 0.58 * luma], -1),
    }
    for tone, values in expected.items():
        edit = photo_edits.grade(picture, tone)
        assert np.abs(edit - values.clip(0, 255)).max() < 0.75, tone


def test_styles_are_their_formulas(picture):
    blocks = picture.reshape(16, 16, 16, 16, 3).mean((1, 3))
    pixel_art = photo_edits.stylize(picture, "pixel art")
    assert np.abs(pixel_art - blocks.repeat(16, 0).repeat(16, 1)).max() <= 0.5 + 1e-6
    pop_art = photo_edits.stylize(picture, "pop art").reshape(-1, 3)
    luma = (picture @ np.array((0.299, 0.587, 0.114))).ravel()
    for low, high in zip(photo_edits.POP, photo_edits.POP[1:], strict=False):  # darker colors where it was darker
        assert luma[(pop_art == low).all(1)].max() <= luma[(pop_art == high).all(1)].min()


def test_crops_of_small_photographs_are_enlarged():
    assert photos.crop(Image.new("RGB", (300, 90)), Random(0)).shape == (256, 256, 3)


# Pipelines


def test_the_editor_sees_what_the_store_holds(random_family, splits, monkeypatch):
    """Image tokens of a 256-pixel photograph, through Editor and through precompute's encoder."""
    folder = str(random_family / "tiny-wan-i2v")
    triplet = splits["train"][0]
    source, edit = (np.asarray(i.resize((32, 32), Image.Resampling.LANCZOS)) for i in (triplet.source, triplet.edit))
    texts = Texts(instruction=triplet.instruction, caption="", task=triplet.task)
    frozen = load_frozen(folder, torch.float32)
    [sample] = encode_samples(frozen, ["a"], [texts], source[None], edit[None], frames=5, context="source")

    seen = []

    def spy(dit, x_t, t, inputs, **options):
        seen.append(inputs)
        return predict(dit, x_t, t, inputs, **options)

    predict = sampler.predict
    monkeypatch.setattr(sampler, "predict", spy)
    student = Editor.load(folder)
    edits = student.edit([triplet.source], [triplet.instruction], [0], EditSettings(height=32, width=32, steps=1))
    [inputs] = seen
    torch.testing.assert_close(inputs.image_BID[0], sample.source_ID, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(inputs.y_BCFHW[0, 4:], sample.z_i2v_CFHW, atol=1e-5, rtol=1e-5)
    assert edits[0].image.size == (256, 256)


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_the_main_job_runs_on_photographs(cluster, written, random_family, tmp_path):
    from pipelines.stages import demo

    settings = {
        "run.dir": tmp_path,
        "data.train": written / "out" / "train.parquet",
        "data.heldout": written / "out" / "heldout.parquet",
        "models.student": random_family / "tiny-wan-i2v",
        "models.teacher": random_family / "tiny-wan-flf2v",
        "caption.candidates": 1,
        "teacher.steps": 1,
        "optim.steps": 2,
        "optim.accumulate": 2,
        "sample.steps": 1,
        "eval.actors": 1,
        "precompute.actors": 1,
    }
    demo.run(parse([f"{key}={value}" for key, value in settings.items()]))
    metrics = read_json(str(tmp_path / "metrics.json"))
    for name in ("ema", "student", "native_i2v", "copy"):
        assert metrics[name]["overall"]["n"] == len(photo_edits.TASKS)
    assert set(metrics["ema"]["by_task"]) == set(photo_edits.TASKS)
    assert (tmp_path / "report.html").stat().st_size > 10_000
