"""Evaluation: its figures against ones worked by hand, and that no clip is made twice, kept too long or changed."""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from math import log10
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.stages import evaluate
from tests.support.processes import ROOT, kill_once, start
from tests.support.triplets import image
from v4e.config import Config, parse
from v4e.data.buckets import to_bucket
from v4e.data.reject import read_rejected
from v4e.data.store.jobs import DUPLICATE
from v4e.data.write import write_triplets
from v4e.evaluation.heldout import HeldoutModel, clip_uri
from v4e.evaluation.heldout_editor import HeldoutEditor
from v4e.files.uri import read_json, write_json_atomic
from v4e.tiny.world import Record, make_record
from v4e.types import EditTriplet

TASKS = ("removal", "color", "tone")  # in Table 1's order; a tone leaves nothing outside
RECORDS = [make_record("heldout", task, index, 0) for index in (0, 1) for task in TASKS]
RECORDS.append(replace(make_record("heldout", "material", 0, 0), task=""))  # as of a corpus with other labels
MODELS = ("native_i2v", "base_caption", "teacher", "vae")


def arguments(folder: Path, family: Path, *more: str) -> list[str]:
    options = [
        f"run.dir={folder}",
        f"data.heldout={folder / 'heldout.parquet'}",
        f"models.student={family / 'tiny-wan-i2v'}",
        f"models.teacher={family / 'tiny-wan-flf2v'}",
        *("sample.steps=2", "eval.batch=3", "eval.actors=1"),
        *more,  # in the place of the same key above
    ]
    return [f"{key}={value}" for key, value in dict(option.split("=", 1) for option in options).items()]


def clips(folder: Path, model: str = "*") -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(f"eval/{model}/*.npy")}


def made_at(folder: Path, *models: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for model in models for path in folder.glob(f"eval/{model}/*")}


# By hand


def by_hand(record: Record, edit: np.ndarray) -> tuple[bool, float, float | None]:
    """(success, L1 inside, dB outside) in plain Python, pixel by pixel."""
    pixels = list(zip(*(image.reshape(-1, 3).tolist() for image in (record.source, record.edit, edit)), strict=True))
    inside = [p for p in pixels if any(abs(a - b) > 2 for a, b in zip(p[0], p[1], strict=True))]
    outside = [p for p in pixels if p not in inside]
    before = [a - b for source, truth, _ in inside for a, b in zip(source, truth, strict=True)]
    after = [a - b for _, truth, edited in inside for a, b in zip(edited, truth, strict=True)]
    moved = [a - b for source, _, edited in outside for a, b in zip(edited, source, strict=True)]
    noise = mean(x * x for x in moved) if moved else None
    kept = None if noise is None else 20 * log10(255) - 10 * log10(noise) if noise else 100.0
    done = 4 * sum(x * x for x in after) < sum(x * x for x in before)
    return done and (kept is None or kept >= 20), mean(map(abs, after)) / 255, kept


def means(found: list[tuple[bool, float, float | None]]) -> dict:
    kept = [db for _, _, db in found if db is not None]
    return {
        "success": pytest.approx(mean(s for s, _, _ in found), abs=1e-4),
        "edit_l1": pytest.approx(mean(l1 for _, l1, _ in found), abs=1e-4),
        "preserve_psnr": pytest.approx(mean(kept), abs=0.01) if kept else None,
        "n": len(found),
    }


def table_by_hand(edits: Mapping[str, np.ndarray]) -> dict:
    found = {record.id: by_hand(record, edits[record.id]) for record in RECORDS}
    by_task = {task: means([found[r.id] for r in RECORDS if r.task == task]) for task in TASKS}
    return {"overall": means(list(found.values())), "by_task": by_task}


# Without an edit


def planted(folder: Path, *more: str) -> Config:
    """A run whose clips are all there: the ground truths."""
    config = parse(arguments(folder, ROOT / "v4e" / "assets", *more))
    write_triplets(config.data.heldout, RECORDS)
    for model in evaluate.models(config):
        write_json_atomic(f"{folder}/eval/{model.name}/made-by.json", evaluate.made_by(config, model))
        for record in RECORDS:
            np.save(folder / "eval" / model.name / f"{record.id}.npy", record.frames)
    return config


def test_a_lost_clip_is_made_again_in_the_company_of_the_first_time(tmp_path):
    config = planted(tmp_path)
    model, triplets = evaluate.models(config)[0], evaluate.read_heldout(config)[0]
    assert evaluate.unfinished(config, model, triplets) == []
    (tmp_path / "eval" / model.name / f"{RECORDS[1].id}.npy").unlink()
    (tmp_path / "eval" / model.name / f"{RECORDS[6].id}.npy").unlink()
    found = evaluate.unfinished(config, model, triplets)
    assert [[t.id for t in batch] for batch in found] == [[r.id for r in RECORDS[:3]], [RECORDS[6].id]]


def test_a_run_killed_before_its_first_edit_leaves_no_clips_of_other_settings(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die():
        raise Killed

    monkeypatch.setattr("actors.batch.editors.connect", die)
    config = planted(tmp_path)
    evaluate.run(config)  # nothing to make
    for again in range(2):
        with pytest.raises(Killed):
            evaluate.run(replace(config, sample=replace(config.sample, steps=3)), ("base_caption",))
        assert clips(tmp_path, "base_caption") == {}, f"run {again}"
    assert len(clips(tmp_path)) == 3 * len(RECORDS)


def test_an_id_with_another_picture_is_edited_again_and_others_are_kept(tmp_path):
    config = planted(tmp_path)
    evaluate.run(config)
    model = evaluate.models(config)[0]
    other = replace(RECORDS[2], frames=RECORDS[2].frames[::-1].copy())
    write_triplets(config.data.heldout, [*RECORDS[:2], other, *RECORDS[3:]])
    triplets = evaluate.read_heldout(config)[0]
    evaluate.drop_changed(config, model, triplets)
    kept = {r.id for r in RECORDS} - {other.id}
    assert {Path(name).stem for name in clips(tmp_path, model.name)} == kept


def test_what_cannot_be_scored_is_recorded_and_the_rest_is_scored(tmp_path):
    config = planted(tmp_path)
    still = replace(RECORDS[1], id="still", frames=RECORDS[1].frames[:1].repeat(5, 0))
    silent = replace(RECORDS[0], id="silent", instruction=" ")
    write_triplets(config.data.heldout, [*RECORDS, still, silent])
    evaluate.run(config)
    reasons = {row["id"]: row["reason"] for row in read_rejected(str(tmp_path))}
    assert reasons == {"still": "source and edit are the same image at 32 x 32", "silent": "empty instruction"}
    assert read_json(str(tmp_path / "metrics.json"))["teacher"]["overall"]["n"] == len(RECORDS)
    write_triplets(config.data.heldout, [still])
    with pytest.raises(ValueError, match="none of the 1 triplets"):
        evaluate.run(config)


def test_of_a_doubled_id_the_first_triplet_is_scored(tmp_path):
    config = planted(tmp_path)
    write_triplets(config.data.heldout, [*RECORDS, replace(RECORDS[1], id=RECORDS[0].id)])
    good, rejected = evaluate.read_heldout(config)
    assert [t.id for t in good] == [r.id for r in RECORDS] and good[0].instruction == RECORDS[0].instruction
    assert [(row["id"], row["reason"]) for row in rejected] == [(RECORDS[0].id, DUPLICATE)]


@pytest.mark.slow
def test_triplets_of_several_sizes_are_edited_and_scored_bucket_by_bucket(tmp_path):
    """Each clip has its triplet's size, and the figures are those of the cut images."""
    config = parse(
        arguments(tmp_path, ROOT / "v4e" / "assets", "data.aspect=buckets", "data.height=64", "data.width=64")
    )
    shapes = [(64, 64), (128, 32), (64, 64), (100, 70), (128, 32), (640, 10)]  # width, height
    pictures = [
        EditTriplet(id=f"p{n}", instruction="x", source=image(2 * n, *size), edit=image(2 * n + 1, *size), task="color")
        for n, size in enumerate(shapes)
    ]
    write_triplets(config.data.heldout, pictures)
    triplets, rejected = evaluate.read_heldout(config)
    assert [t.id for t in triplets] == ["p0", "p1", "p2", "p3", "p4"]
    assert [row["reason"] for row in rejected] == [
        "640 x 10: the long side is more than data.max_aspect=4.0 times the short one"
    ]
    model = evaluate.models(config)[0]
    batches = evaluate.unfinished(config, model, triplets)
    assert [[t.id for t in batch] for batch in batches] == [["p0", "p2"], ["p1", "p4"], ["p3"]]

    for one in (model, evaluate.models(config)[-1]):
        edit = HeldoutEditor(config, one, torch.device("cpu"))
        for batch in batches:
            edit((batch, evaluate.asks(one, batch)))
    sizes = {t.id: evaluate.read_clip(config, model, t.id).shape for t in triplets}
    assert sizes == {
        "p0": (5, 64, 64, 3),
        "p1": (5, 32, 128, 3),
        "p2": (5, 64, 64, 3),
        "p3": (5, 48, 80, 3),
        "p4": (5, 32, 128, 3),
    }
    again = evaluate.scores(config, triplets, lambda t: evaluate.read_clip(config, model, t.id)[-1])
    assert again["overall"]["n"] == 5
    perfect = evaluate.scores(config, triplets, lambda t: np.asarray(to_bucket(t.edit, config.data)))
    assert perfect["overall"]["success"] == 1 and perfect["overall"]["edit_l1"] == 0


def test_a_missing_heldout_corpus_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.parquet: set data\.heldout"):
        evaluate.read_heldout(parse([f"run.dir={tmp_path}", f"data.heldout={tmp_path / 'none.parquet'}"]))


def test_no_id_leads_out_of_the_folder(tmp_path):
    config = parse([f"run.dir={tmp_path}"])
    folder = (tmp_path / "eval" / "ema").resolve()
    for key in ("../../x", "/etc/x", "a/b"):
        path = Path(clip_uri(config, HeldoutModel(name="ema", folder=""), key)).resolve()
        assert path.parent == folder, key


# With Ray


@pytest.fixture(scope="module")
def family(tmp_path_factory, random_family) -> Path:
    """A family of random weights of this file's own: other tests change the session's."""
    return shutil.copytree(random_family, tmp_path_factory.mktemp("own") / "family")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, family, cluster) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    write_triplets(str(folder / "heldout.parquet"), RECORDS)
    evaluate.run(parse(arguments(folder, family)))
    return folder


@pytest.fixture
def folder(tmp_path, evaluated) -> Path:
    """A finished evaluation that a test may change."""
    return shutil.copytree(evaluated, tmp_path / "run")


@pytest.mark.ray
@pytest.mark.slow
def test_figures_are_those_of_the_stored_clips(folder, family):
    for record in RECORDS[2:5]:
        np.save(folder / "eval" / "teacher" / f"{record.id}.npy", record.frames)  # some that succeed
    before = made_at(folder, *MODELS)
    evaluate.run(parse(arguments(folder, family)))
    assert made_at(folder, *MODELS) == before and len(before) == 4 * (len(RECORDS) + 2)  # and who made them, of what

    table = read_json(f"{folder}/metrics.json")
    assert list(table) == [*MODELS, "copy", "seconds"] and list(table["seconds"]) == ["evaluate"]
    for model in MODELS:
        found = {r.id: np.load(folder / "eval" / model / f"{r.id}.npy") for r in RECORDS}
        assert {clip.shape for clip in found.values()} == {(5, 32, 32, 3)}
        assert table[model] == table_by_hand({key: clip[-1] for key, clip in found.items()})
    assert table["teacher"]["overall"]["success"] == pytest.approx(3 / 7, abs=1e-4)
    assert table["copy"] == table_by_hand({r.id: r.source for r in RECORDS})
    assert table["copy"]["overall"]["success"] == 0 and table["copy"]["overall"]["preserve_psnr"] == 100
    assert table["copy"]["by_task"]["tone"]["preserve_psnr"] is None


@pytest.mark.ray
@pytest.mark.slow
def test_students_are_evaluated_once_exported_and_again_when_their_weights_change(folder, family):
    config, before = parse(arguments(folder, family)), made_at(folder, *MODELS)
    for name in ("student", "ema"):
        shutil.copytree(family / "tiny-wan-i2v", folder / "export" / name)
    evaluate.run(config)
    first, student = clips(folder, "ema"), made_at(folder, "student")
    assert len(first) == len(RECORDS) and list(first.values()) == list(clips(folder, "student").values())
    assert list(read_json(f"{folder}/metrics.json")) == ["ema", "student", *MODELS, "copy", "seconds"]

    path = folder / "export" / "ema" / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    save_file(weights | {"proj_out.bias": weights["proj_out.bias"] + 1}, path)
    evaluate.run(config)
    again = clips(folder, "ema")
    assert again.keys() == first.keys() and all(again[key] != first[key] for key in first)
    assert made_at(folder, "student") == student and made_at(folder, *MODELS) == before


@pytest.mark.ray
@pytest.mark.slow
def test_other_settings_of_the_sampler_make_new_edits_and_no_new_reconstructions(folder, family):
    first, before = clips(folder, "native_i2v"), made_at(folder, "base_caption", "teacher", "vae")
    evaluate.run(parse(arguments(folder, family, "sample.steps=3")), ("native_i2v", "vae"))
    again = clips(folder, "native_i2v")
    assert again.keys() == first.keys() and all(again[key] != first[key] for key in first)
    assert made_at(folder, "base_caption", "teacher", "vae") == before
    assert list(read_json(f"{folder}/metrics.json")) == ["native_i2v", "vae", "copy", "seconds"]


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_sigkill_and_the_same_command_give_the_same_clips_and_figures(cluster, tmp_path):
    # trained weights and more steps: most of what else could be in a forward shows in some 8-bit value
    def command(folder: Path) -> list[str]:
        return arguments(folder, ROOT / "v4e" / "assets", "eval.batch=2", "sample.steps=4")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for run in (whole, killed):
        write_triplets(str(run / "heldout.parquet"), RECORDS)
    kill_once(start("evaluate.py", command(killed)), lambda: len(clips(killed, "base_caption")) > 1)
    (killed / "eval" / "base_caption" / f"{RECORDS[0].id}.npy").unlink()  # as if killed within a batch
    first = made_at(killed, "native_i2v")
    assert len(clips(killed, "native_i2v")) == len(RECORDS) > len(clips(killed, "base_caption")) > 0
    for run in (killed, whole):
        evaluate.run(parse(command(run)))
    assert made_at(killed, "native_i2v") == first
    assert clips(killed) == clips(whole) and len(clips(whole)) == len(MODELS) * len(RECORDS)
    tables = [read_json(f"{run}/metrics.json") for run in (killed, whole)]
    assert all(table.pop("seconds") for table in tables)
    assert tables[0] == tables[1]


@pytest.mark.ray
@pytest.mark.slow
def test_an_actor_that_dies_does_not_end_the_evaluation(tmp_path, evaluated, family, monkeypatch):
    """Its first batch kills its process; the clips are those of a run that nothing disturbed."""
    died = tmp_path / "died"

    class Mortal(HeldoutEditor):
        def __call__(self, batch):
            if not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return HeldoutEditor.__call__(self, batch)

    monkeypatch.setattr(evaluate, "load_editor", Mortal)
    write_triplets(str(tmp_path / "heldout.parquet"), RECORDS)
    evaluate.run(parse(arguments(tmp_path, family)), ("native_i2v",))
    assert died.exists() and clips(tmp_path) == clips(evaluated, "native_i2v")
