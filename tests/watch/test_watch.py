"""Watching a run: the strips show what the models make, no number of the training changes, alarms do not cry wolf."""

import io
import math
import struct
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from rich.console import Console
from torch.distributed.device_mesh import init_device_mesh

from tests.support import ranks
from tests.support.student import make_batch, make_dit, run
from tests.support.synthetic import config, rollout
from tests.support.triplets import image, triplet
from v4e.config import Config, Sample, Watch
from v4e.data.sources import parts, rows
from v4e.data.store.features import encode_samples
from v4e.data.store.paths import heldout_uri, store_uri, train_uri
from v4e.data.store.store import RolloutStore, Store, Texts
from v4e.data.write import write_triplets
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.evaluation.metrics.exact import edit_mask, psnr
from v4e.files import journal, progress
from v4e.files.pictures import png
from v4e.method.flow import sample_seed
from v4e.method.losses import TERMS
from v4e.models.encoders import decode_clip, to_images
from v4e.training.student import StudentTrainer
from v4e.watch import plots, validation
from v4e.watch.alarms import Alarm, alarms, fall
from v4e.watch.files import add_to_curves, read_curves, strip_steps, strip_uri
from v4e.watch.follow import Follower
from v4e.watch.picture import GAP, LINE, MARGIN, cell_size
from v4e.watch.picture import rows as page
from v4e.watch.strips import Strips, averaged
from v4e.watch.trackers import check_trackers, trackers
from v4e.weights.frozen import load_frozen

CPU = torch.device("cpu")
WATCH = {"samples_every": 2, "per_task": 2}


def settings(folder: Path, family: Path | None = None, **sections) -> Config:
    models = {"student": str(family / "tiny-wan-i2v"), "teacher": str(family / "tiny-wan-flf2v")} if family else {}
    watch = Watch(**(WATCH | sections.pop("watch", {})))
    made = config(run={"dir": str(folder)}, models=models, **sections)
    return replace(made, watch=watch, sample=Sample(steps=3))


# Which samples


def chosen(settings: Config) -> list[str]:
    assert validation.choose(settings)
    uri = train_uri(validation.validation(settings))
    return [row.id for part in parts(uri) for row in rows(part)]


def test_samples_are_fixed_by_seed_and_ids_whatever_their_order(tmp_path):
    corpus = [
        triplet(n, task) for n, task in enumerate(("color", "removal", "color", "color", "removal", "motion") * 3)
    ]
    corpus.append(replace(triplet(90, "size"), instruction="add a tree"))  # no task of ours: its instruction says which
    first = settings(tmp_path / "a")
    write_triplets(heldout_uri(first), corpus)
    ids = chosen(first)
    by_id = {t.id: t.task for t in corpus}
    assert sorted(by_id[key] for key in ids) == ["color", "color", "motion", "motion", "removal", "removal", "size"]
    turned = settings(tmp_path / "b")
    write_triplets(heldout_uri(turned), [*corpus[::-1], corpus[3]])
    assert chosen(turned) == ids
    seeded = settings(tmp_path / "c")
    seeded = replace(seeded, run=replace(seeded.run, seed=1))
    write_triplets(heldout_uri(seeded), corpus)
    assert chosen(seeded) != ids


def test_triplets_that_cannot_be_used_are_passed_over(tmp_path):
    first = settings(tmp_path)
    same = replace(triplet(1), edit=triplet(1).source)
    write_triplets(heldout_uri(first), [same, replace(triplet(2), instruction=" "), triplet(3)])
    assert chosen(first) == ["t/003"]
    none = settings(tmp_path / "none")
    write_triplets(heldout_uri(none), [same])
    assert not validation.choose(none)


def test_without_held_out_triplets_the_last_to_train_on_are_taken(tmp_path):
    first = settings(tmp_path, watch={"per_task": 3})
    assert validation.origin(first) == "" and not validation.choose(first)
    write_triplets(train_uri(first), [triplet(n) for n in range(400)])  # row groups of 64: 256 rows are the last five
    ids = chosen(first)
    assert validation.origin(first) == validation.TRAINED
    assert len(ids) == 3 and all(int(key[2:]) >= 400 - validation.LAST_ROWS - 64 for key in ids)
    write_triplets(heldout_uri(first), [triplet(n) for n in range(1000, 1005)])
    assert all(int(key[2:]) >= 1000 for key in chosen(first))


def test_samples_are_chosen_once_and_anew_under_other_settings(tmp_path):
    first = settings(tmp_path)
    write_triplets(heldout_uri(first), [triplet(n) for n in range(6)])
    ids = chosen(first)
    write_triplets(heldout_uri(first), [triplet(n) for n in range(100, 106)])
    assert chosen(first) == ids
    Path(store_uri(validation.validation(first)), "samples").mkdir(parents=True)
    more = replace(first, watch=replace(first.watch, per_task=3))
    assert len(chosen(more)) == 3 and not set(chosen(more)) & set(ids)
    assert not Path(store_uri(validation.validation(first))).exists()  # features of other images under the same ids
    assert len(chosen(replace(more, run=replace(more.run, overwrite=True)))) == 3


def test_samples_of_a_run_of_many_sizes_have_one_size_and_no_weights(tmp_path):
    made = settings(tmp_path, data={"aspect": "buckets", "weights": "color=2"})
    wide = Image.fromarray(np.tile(np.asarray(triplet(1).source), (1, 3, 1)))
    pairs = [triplet(0), replace(triplet(1), source=wide, edit=Image.new("RGB", wide.size))]
    write_triplets(heldout_uri(made), pairs)
    assert len(chosen(made)) == 2
    sizes = {picture.shape for t in pairs for picture in validation.pixels(t, made)}
    assert sizes == {(made.data.height, made.data.width, 3)}, "pictures and latents of a strip are stacked"
    data = validation.validation(made).data
    assert (data.aspect, data.weights) == ("fixed", "")


# Strips


@pytest.fixture(scope="module")
def ready(tmp_path_factory, random_family) -> Config:
    """A run with three validation samples, encoded and rolled out as the pipelines would."""
    made = settings(tmp_path_factory.mktemp("watch"), random_family, watch={"per_task": 3})
    write_triplets(heldout_uri(made), [triplet(n) for n in range(3)])
    assert validation.choose(made) and not validation.ready(made)
    samples = validation.validation(made)
    store, frozen = Store.create(samples), load_frozen(made.models.student, torch.float32)
    triplets = [triplet(int(key[2:])) for key in chosen(made)]
    source, edit = (np.stack([np.asarray(getattr(t, side)) for t in triplets]) for side in ("source", "edit"))
    texts = [Texts(instruction=t.instruction, caption=t.instruction, task="color") for t in triplets]
    encoded = encode_samples(frozen, [t.id for t in triplets], texts, source, edit, frames=5, context="source")
    for number, sample in enumerate(encoded):
        store.write(sample, instruction=texts[number].instruction, caption=texts[number].caption)
        RolloutStore.open(samples).write(sample.id, rollout(number))
    assert validation.ready(made)
    return made


def trainer_of(settings: Config, **options) -> StudentTrainer:
    return StudentTrainer(settings, make_dit(), device=CPU, **options)


def cells(settings: Config, step: int) -> dict[str, list[np.ndarray]]:
    """The images in the picture of a strip, at their own size."""
    pixels = np.asarray(Image.open(strip_uri(settings, step)).convert("RGB"))
    width, height = cell_size((32, 32, 3))
    found = {}
    for column, name in enumerate(("source", "student", "EMA", "teacher", "target")):
        x = MARGIN + column * (width + GAP) + 1
        found[name] = [pixels[LINE + row * (height + GAP) + 1 :, x:][:height:3, :width:3] for row in range(3)]
    return found


def edited(settings: Config, weights: Mapping[str, torch.Tensor]) -> np.ndarray:
    """What an Editor with `weights` makes of the validation samples, with its own encoders: int (N, h, w, 3)."""
    editor = Editor.load(settings.models.student)
    editor.dit.load_state_dict(weights, strict=False)
    triplets = validation.triplets(settings)
    edits = editor.edit(
        [t.source for t in triplets],
        [t.instruction for t in triplets],
        [sample_seed(settings.run.seed, t.id, 0) for t in triplets],
        EditSettings.of(settings, 32, 32),
    )
    return np.stack([np.asarray(edit.image) for edit in edits]).astype(int)


@pytest.mark.slow
def test_strips_edit_as_serving_does_with_guidance_and_another_solver(ready):
    guided = replace(ready, sample=Sample(steps=2, guidance=3.0, solver="unipc"))
    trainer, strips = trainer_of(guided), Strips.open(guided, CPU, step=0)
    assert strips is not None
    strips.after(0, trainer.dit, trainer.ema)
    expected = edited(guided, dict(trainer.dit.named_parameters()))
    assert np.abs(np.array(cells(guided, 0)["student"], int) - expected).max() <= 1
    plain = edited(ready, dict(trainer.dit.named_parameters()))
    assert np.abs(plain - expected).max() > 1


@pytest.mark.slow
def test_a_strip_shows_source_student_ema_teacher_and_target(ready):
    trainer = trainer_of(ready)
    run(trainer, range(2))
    strips = Strips.open(ready, CPU, step=0)
    assert strips is not None and strips.after(1, trainer.dit, trainer.ema) == 0.0
    assert strip_steps(ready) == []
    assert strips.after(2, trainer.dit, trainer.ema) > 0
    shown = cells(ready, 2)
    triplets = strips.triplets
    for name, weights in (("student", dict(trainer.dit.named_parameters())), ("EMA", trainer.ema.shadow)):
        for cell, edit in zip(shown[name], edited(ready, weights), strict=True):
            assert np.abs(cell.astype(int) - edit).max() <= 1
    assert not np.array_equal(shown["student"], shown["EMA"])
    for row, example in enumerate(triplets):
        assert np.array_equal(shown["source"][row], example.source)
        assert np.array_equal(shown["target"][row], example.edit)
        number = [t.id for t in triplets].index(example.id)
        clip_BCPHW = decode_clip(strips.vae, rollout(number)[None])
        alone = np.asarray(to_images(clip_BCPHW[:, :, -1])[0], int)
        assert np.abs(shown["teacher"][row] - alone).max() <= 1  # decoded one by one it is rounded otherwise
    [record] = read_curves(ready)
    assert record["step"] == 2 and 0 < record["decode_s"] < record["seconds"]
    for name in ("student", "ema", "teacher", "source"):
        images = shown[{"ema": "EMA"}.get(name, name)]
        l1 = []
        for cell, example in zip(images, triplets, strict=True):
            source, edit = np.asarray(example.source), np.asarray(example.edit)
            mask = edit_mask(source, edit)
            l1.append(np.abs(cell.astype(float) - edit)[mask].mean() / 255)
        assert record[f"edit_l1_{name}"] == pytest.approx(np.mean(l1), abs=6e-5)


def test_figures_are_psnr_outside_and_l1_inside_the_edit(ready):
    strips = Strips.open(ready, CPU, step=0)
    assert strips is not None
    rng = np.random.default_rng(0)
    sources = [rng.integers(0, 200, (32, 32, 3), dtype=np.uint8) for _ in range(3)]
    targets = [source.copy() for source in sources]
    for target in targets:
        target[:16] += 40
    strips.sources, strips.targets = sources, targets
    edits = [source.copy() for source in sources]
    for number, edit in enumerate(edits):
        edit[:16] += 30
        edit[16:] += number + 1
    found = strips.figures(edits)
    assert found["edit_l1"] == pytest.approx(10 / 255, abs=1e-4) and found["success"] == 1
    expected = np.mean([psnr(edit[16:], source[16:]) for edit, source in zip(edits, sources, strict=True)])
    assert found["preserve_psnr"] == pytest.approx(expected, abs=0.01)
    strips.targets = [255 - source // 4 for source in sources]
    assert "preserve_psnr" not in strips.figures(edits)


@pytest.mark.slow
def test_watching_changes_no_number_of_the_training(ready):
    watched, alone = trainer_of(ready), trainer_of(ready)
    strips = Strips.open(ready, CPU, step=0)
    assert strips is not None
    strips.after(0, watched.dit, watched.ema)
    metrics = []
    for step in range(3):
        metrics += run(watched, range(step, step + 1))
        strips.after(step + 1, watched.dit, watched.ema)
    assert metrics == run(alone, range(3))
    for name, shadow in alone.ema.shadow.items():
        assert torch.equal(watched.ema.shadow[name], shadow)
    assert watched.dit.training


@pytest.mark.slow
def test_weights_and_average_are_back_after_an_error(ready):
    trainer, again = trainer_of(ready), trainer_of(ready)
    run(trainer, range(1))
    run(again, range(1))
    weight = next(iter(trainer.parameters))
    with pytest.raises(RuntimeError, match="inside"), averaged(trainer.dit, trainer.ema):
        assert not torch.equal(weight, next(iter(again.parameters)))
        raise RuntimeError("inside")
    assert all(torch.equal(a, b) for a, b in zip(trainer.parameters, again.parameters, strict=True))
    assert all(torch.equal(trainer.ema.shadow[n], again.ema.shadow[n]) for n in again.ema.shadow)


@pytest.mark.slow
def test_a_run_that_goes_on_drops_the_strips_of_later_steps(ready):
    trainer = trainer_of(ready)
    for begin, after, left in ((0, (0, 2, 4), [0, 2, 4]), (2, (4,), [0, 2, 4]), (3, (), [0, 2]), (0, (0,), [0])):
        strips = Strips.open(ready, CPU, step=begin)
        assert strips is not None
        for step in after:
            strips.after(step, trainer.dit, trainer.ema)
        assert [record["step"] for record in read_curves(ready)] == left
        assert strip_steps(ready) == left


def test_there_are_no_strips_where_none_are_wanted_or_nothing_is_ready(ready, tmp_path, random_family):
    assert Strips.open(replace(ready, watch=Watch(samples_every=0)), CPU, step=0) is None
    assert Strips.open(settings(tmp_path, random_family), CPU, step=0) is None


def sharded_watch(rank: int, made: Config, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    metrics = {}
    for watched in (False, True):
        trainer = trainer_of(made, mesh=mesh)
        strips = Strips.open(made, CPU, step=0, rank=rank, world=2) if watched else None
        metrics[watched] = []
        for step in range(3):
            if strips:
                strips.after(step, trainer.dit, trainer.ema)
            metrics[watched].append(trainer.step([make_batch(step, rank)]))
    if rank == 0:
        torch.save(metrics, f"{folder}/metrics.pt")
    dist.destroy_process_group()


@pytest.mark.long
@pytest.mark.slow
def test_a_sharded_student_makes_the_same_strips_and_trains_on_as_if_it_had_not(ready, tmp_path):
    single = trainer_of(ready)
    strips = Strips.open(ready, CPU, step=0)
    assert strips is not None
    run(single, range(2))
    strips.after(2, single.dit, single.ema)
    expected = cells(ready, 2)
    ranks.run(sharded_watch, 2, ready, str(tmp_path))
    metrics = torch.load(tmp_path / "metrics.pt", weights_only=True)
    assert metrics[True] == metrics[False]
    shown = cells(ready, 2)
    for name, images in shown.items():
        assert np.abs(np.array(images, int) - np.array(expected[name], int)).max() <= 1, name
    assert [record["step"] for record in read_curves(ready)] == [0, 2]


def test_pictures_have_whole_pixels_small_and_smooth_ones_large():
    small = {name: [np.asarray(image(10 * n + m, 32, 24)) for m in range(7)] for n, name in enumerate("ab")}
    made = np.asarray(page(small, ["x"] * 7).convert("RGB"))
    width, height = cell_size((24, 32, 3))
    assert (width, height) == (96, 72)
    block = MARGIN + 2 * (width + GAP)
    assert made.shape[:2] == (LINE + 4 * (height + GAP), 2 * block)
    at = made[LINE + 2 * (height + GAP) :, block + MARGIN + width + GAP :][:height, :width]  # row 6, column b
    assert np.array_equal(at[1::3, 1::3], small["b"][6])
    assert cell_size((480, 832, 3)) == (192, 111)


# Alarms


def stalls(records: list[journal.Record]) -> list[Alarm]:
    return [alarm for alarm in alarms(records, [], Watch()) if alarm.kind == "stalled"]


def curve(shape, n: int, noise: float, seed: int, spikes: float = 0.0) -> list[journal.Record]:
    rng, steps = np.random.default_rng(seed), np.arange(1, n + 1)
    values = shape(steps) * np.exp(noise * rng.standard_normal(n))
    values = np.where(rng.random(n) < spikes, 50 * values, values)
    return [{"step": int(step), "kd": float(value)} for step, value in zip(steps, values, strict=True)]


FALLING = {
    "power": lambda t: t**-0.5,
    "slow power": lambda t: t**-0.3,
    "exponential": lambda t: np.exp(-t / 2500),
    "line": lambda t: 2 - t / 1600,
}


@pytest.mark.parametrize("shape", FALLING)
@pytest.mark.parametrize("noise", [0.02, 0.15, 0.8])  # kd's in the tiny run is 0.15, tail's 0.8
def test_a_falling_loss_raises_no_alarm(shape, noise):
    raised = [stalls(curve(FALLING[shape], 2000, noise, seed, spikes=0.02)) for seed in range(5)]
    assert raised == 5 * [[]]


@pytest.mark.parametrize("term", TERMS)
def test_every_term_of_the_objective_is_watched(term):
    records = [{"step": r["step"], term: r["kd"]} for r in curve(lambda t: 1.0 + 0 * t, 1500, 0.02, 0)]
    [alarm] = stalls(records)
    assert alarm.text.startswith(f"{term} has stopped falling")


@pytest.mark.parametrize("noise", [0.02, 0.15])
def test_a_loss_that_stops_falling_is_told_once_and_soon(noise):
    def shape(t):
        return np.exp(-np.minimum(t, 1000) / 500)

    for seed in range(5):
        [alarm] = stalls(curve(shape, 2500, noise, seed, spikes=0.02))
        assert 1200 <= alarm.step <= 2300 and alarm.text.startswith("kd has stopped falling: it ")


def test_a_loss_that_rises_raises_an_alarm_however_noisy():
    for seed in range(3):
        assert stalls(curve(lambda t: np.exp(t / 700), 1500, 0.8, seed))


def test_a_loss_can_stop_falling_twice():
    def shape(t):
        return np.exp(-np.clip(t, 0, 500) / 250 - np.clip(t - 1500, 0, 1500) / 400)

    first, second = stalls(curve(shape, 5500, 0.02, 0))
    assert 500 < first.step < 1500 and second.step > 3000


def test_fall_is_the_share_lost_from_first_to_last():
    values = np.linspace(math.log(2.0), math.log(1.0), 300)
    assert fall(np.exp(values)) == pytest.approx((0.5, 0.5, 0.5), abs=0.01)
    noisy = [fall(np.exp(values + 0.3 * np.random.default_rng(s).standard_normal(300))) for s in range(20)]
    assert sum(found.least < 0.5 < found.most for found in noisy) >= 19
    assert all(0.05 < found.most - found.least < 0.4 for found in noisy)
    assert fall([1.0] * 50 + [0.0]).likely == pytest.approx(0, abs=1e-9)  # a loss of 0 has no logarithm


def test_too_few_records_are_not_judged():
    assert stalls(curve(lambda t: t**0, 199, 0.01, 0)) == []
    assert len(stalls(curve(lambda t: t**0, 200, 0.01, 0))) == 1


def test_of_steps_without_a_finite_loss_the_first_in_a_row_is_told():
    records = [{"step": n, "loss": 1.0} for n in range(1, 9)]
    for n in (3, 4, 5):
        records[n - 1]["loss"] = math.nan
    records[7]["skipped"] = 1
    assert [(alarm.step, alarm.kind) for alarm in alarms(records, [], Watch())] == [
        (3, "not finite"),
        (8, "not finite"),
    ]
    assert alarms([{"step": 1}], [], Watch()) == []


def test_drift_is_against_the_best_strip_and_told_again_after_recovery():
    strips = [
        {"step": 100 * n, "preserve_psnr_ema": value} for n, value in enumerate((25.0, 27.0, 21.9, 20.0, 24.0, 21.0))
    ]
    assert [alarm.step for alarm in alarms([], strips, Watch(drift_db=3.0))] == [200, 500]
    assert [alarm.step for alarm in alarms([], strips, Watch(drift_db=6.0))] == [300]
    assert alarms([], strips, Watch(drift_db=8.0)) == []
    assert alarms([], [{"step": 0}, {"step": 1}], Watch()) == []


def test_all_alarms_come_by_step():
    records = [{**r, "loss": math.inf if r["step"] == 7 else 1.0} for r in curve(lambda t: t**0, 300, 0.01, 0)]
    samples = [{"step": 0, "preserve_psnr_ema": 30.0}, {"step": 250, "preserve_psnr_ema": 20.0}]
    assert [(a.step, a.kind) for a in alarms(records, samples, Watch())] == [
        (7, "not finite"),
        (200, "stalled"),
        (250, "drift"),
    ]


def test_pool_events_are_rises_of_its_counts():
    counts = [(0, 0), (1, 0), (1, 2), (0, 0), (0, 1)]  # it died before the fourth record
    records = [{"step": n, "restarts": a, "grown": b} for n, (a, b) in enumerate(counts, 1)]
    assert plots.pool_events(records) == [(2, "restarts", 1), (3, "grown", 2), (5, "grown", 1)]


# Trackers


def events(folder: Path) -> list[tuple[int, str, float | bytes]]:
    """(step, tag, value or PNG) in TensorBoard's files: records of 8 bytes of length, 4 of checksum, data, 4 more."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            for value in event.summary.value:
                found.append((event.step, value.tag, value.image.encoded_image_string or value.simple_value))
            data = data[16 + length :]
    return found


@pytest.fixture()
def picture() -> bytes:
    return png(Image.new("RGBA", (20, 10), (255, 0, 0, 255)))


def tracked(settings: Config, picture: bytes) -> None:
    """Three steps, then a resume from step 2."""
    for done in (0, 2):
        with trackers(settings, done) as tracks:
            for step in range(done + 1, done + 4):
                for track in tracks:
                    track(step, {"loss": step / 2}, picture if step == 3 else None)


def test_tensorboard_gets_every_number_and_every_strip(tmp_path, picture):
    made = settings(tmp_path / "run")
    assert made.watch.trackers == ("tensorboard",)
    check_trackers(made)
    tracked(made, picture)
    found = events(tmp_path / "run" / "tensorboard")
    assert sorted((step, value) for step, tag, value in found if tag == "loss") == [
        (1, 0.5), (2, 1.0), (3, 1.5), (3, 1.5), (4, 2.0), (5, 2.5),
    ]  # fmt: skip
    assert [step for step, tag, value in found if tag == "samples/strip" and value[:4] == b"\x89PNG"] == [3, 3]


def test_wandb_offline(tmp_path, picture, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    made = settings(tmp_path / "run", watch={"tracker": "wandb"})
    check_trackers(made)
    tracked(made, picture)
    runs = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert len({path.name.rsplit("-", 1)[1] for path in runs}) == 1 and len(runs) == 2  # two parts of one run
    assert all(list(path.glob("files/media/images/samples/*.png")) and list(path.glob("*.wandb")) for path in runs)


def test_mlflow_local(tmp_path, picture, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = settings(tmp_path / "run", watch={"tracker": "mlflow"})
    check_trackers(made)
    tracked(made, picture)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    [found] = client.search_runs([client.get_experiment_by_name("v4e").experiment_id])
    assert found.info.status == "FINISHED" and found.data.params["optim.steps"] == str(made.optim.steps)
    history = [(metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, "loss")]
    assert sorted(history) == [(1, 0.5), (2, 1.0), (3, 1.5), (3, 1.5), (4, 2.0), (5, 2.5)]
    assert [Path(file.path).name for file in client.list_artifacts(found.info.run_id, "samples")] == ["step-000003.png"]


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("wandb", "wandb", r"pip install wandb, or"),
        ("mlflow", "mlflow", r"pip install mlflow-skinny sqlalchemy alembic, or"),
        ("tensorboard", "tensorboardX", r"pip install tensorboardX, or"),
    ],
)
def test_a_tracker_that_is_not_there_is_refused_with_the_line_that_installs_it(monkeypatch, name, package, line):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=line):
        check_trackers(settings(Path("x"), watch={"tracker": name}))


def test_settings_of_watching_are_checked():
    assert Watch(tracker=" wandb,tensorboard,wandb").trackers == ("wandb", "tensorboard")
    assert Watch(tracker="").trackers == ()
    with pytest.raises(ValueError, match=r"names aim, comet: expected tensorboard, wandb, mlflow"):
        Watch(tracker="aim,wandb,comet")
    for wrong in ({"window": 5}, {"min_fall": 1.0}, {"per_task": 0}, {"max_bad_steps": 0}, {"drift_db": 0}):
        with pytest.raises(ValueError, match=f"watch.{next(iter(wrong))}"):
            Watch(**wrong)


# The driver


def test_the_driver_passes_on_each_step_and_strip_once_and_says_what_is_wrong(tmp_path, picture):
    made = settings(tmp_path)
    got: list[tuple[int, dict, bytes | None]] = []
    said: list[str] = []

    def track(step, numbers, strip):
        got.append((step, dict(numbers), strip))

    def strip(step: int, psnr: float) -> None:
        Path(strip_uri(made, step)).parent.mkdir(exist_ok=True)
        Path(strip_uri(made, step)).write_bytes(picture)
        add_to_curves(made, {"step": step, "preserve_psnr_ema": psnr})

    follower = Follower(made, 1, [track], said.append)
    strip(0, 30.0)
    follower.see([{"step": 1, "loss": math.nan}, {"step": 2, "loss": 0.5}])
    strip(2, 20.0)
    follower.see([{"step": 2, "loss": 0.7}, {"step": 3, "loss": math.inf}])  # 2 is done again after a failure
    follower.see([])
    psnr = "samples/preserve_psnr_ema"
    assert got == [(2, {"loss": 0.5}, None), (3, {"loss": math.inf}, None), (2, {psnr: 20.0}, picture)]
    assert said == [
        "warning: step 3: the loss or its gradient is not finite: skipped",
        "warning: step 2: the EMA drifts outside the edit: 20.0 dB, 10.0 dB below step 0",
    ]


def test_a_tracker_that_fails_is_told_once_and_left_out(tmp_path):
    said: list[str] = []
    got: list[int] = []

    def broken(step, numbers, strip):
        raise ConnectionError("no route to host")

    follower = Follower(settings(tmp_path), 0, [broken, lambda step, numbers, strip: got.append(step)], said.append)
    follower.see([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}])
    assert got == [1, 2]
    assert said == ["warning: step 1: a tracker failed and is left out from here: no route to host"]


def test_a_terminal_shows_the_note_beside_the_bar_and_a_log_does_not(monkeypatch):
    for terminal in (True, False):
        out = io.StringIO()
        monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=terminal, width=200))
        with progress.bar("training", 3, unit="steps") as advance:
            advance(2, "kd 0.25")
            advance(1)
            advance(0, "kd 0.125")
        assert ("kd 0.125" in out.getvalue()) == terminal and "3/3" in out.getvalue()
