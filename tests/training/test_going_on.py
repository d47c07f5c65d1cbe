"""What a run may go on with: its own settings, those that decide nothing, and anything before it was trained."""

import json
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from pipelines.parts import prepared
from pipelines.stages import train
from tests.support import runs
from tests.support.student import make_trainer
from tests.support.synthetic import config
from v4e.config import Config, parse
from v4e.faults import Fault
from v4e.training.checkpoint import Saver
from v4e.training.resume import SAMPLES, check_export, check_resume, chosen_step, go_back, memory, remember
from v4e.training.steps import steps_of
from v4e.training.student import learning_rate

IDS = ["s000", "s001"]


def begun(folder: Path, settings: Config, *, checkpoint: bool = True) -> Config:
    """`settings` of a run in `folder`, which has a checkpoint if asked for."""
    settings = replace(settings, run=replace(settings.run, dir=str(folder)))
    remember(settings, IDS)
    if checkpoint:
        place = folder / "checkpoints" / "step-000002"
        place.mkdir(parents=True)
        (place / ".metadata").write_text("")
    return settings


def refused(settings: Config, ids: list[str] = IDS) -> str:
    with pytest.raises(Fault) as error:
        check_resume(settings, ids)
    assert error.value.code == "T02"
    return str(error.value)


def changed(settings: Config, **sections: dict[str, object]) -> Config:
    return replace(settings, **{name: replace(getattr(settings, name), **new) for name, new in sections.items()})


def test_a_run_does_not_go_on_under_other_settings(tmp_path):
    run = begun(tmp_path, config())
    check_resume(changed(run, train={"log_every": 7, "notice": False}, plan={"price": 2.0, "gpu": "h100"}), IDS[::-1])
    check_resume(changed(run, models={"attention": "flash", "fold_pad": False}, data={"max_pixels": 5}), IDS)
    assert "tail.weight=20.0, this recipe has tail.weight=1.0" in refused(changed(run, tail={"weight": 1.0}))
    assert SAMPLES in refused(run, IDS[1:])
    for key, value in (("payload", "fp8"), ("tokens", "tail")):
        assert f"teacher.{key}={value}" in refused(changed(run, teacher={key: value}))


def test_what_was_not_trained_may_be_corrected(tmp_path):
    run = begun(tmp_path, config(), checkpoint=False)
    check_resume(changed(run, tail={"weight": 1.0}), IDS[1:])
    (tmp_path / "export").mkdir()  # weights are there, whatever became of their checkpoints
    assert "tail.weight" in refused(changed(run, tail={"weight": 1.0}))


@pytest.mark.parametrize("key", ["teacher.payload", "tail.times", "models.positions", SAMPLES])
def test_a_run_from_before_a_setting_goes_on_with_its_default(key, tmp_path):
    run = begun(tmp_path, config())
    uri = Path(memory(run.run.dir))
    uri.write_text(json.dumps({name: value for name, value in json.loads(uri.read_text()).items() if name != key}))
    check_resume(run, IDS)
    check_export(run)
    if key == "teacher.payload":
        assert "payload=bf16, this recipe has teacher.payload=fp8" in refused(changed(run, teacher={"payload": "fp8"}))
    if key == "tail.times":
        assert "tail.times=all, this recipe has tail.times=0.25" in refused(changed(run, tail={"times": "0.25"}))


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_a_model_in_another_place_is_known_again_and_another_one_is_not(name, tmp_path, random_family):
    folder = {"student": "tiny-wan-i2v", "teacher": "tiny-wan-flf2v"}[name]
    models = {"student": str(random_family / "tiny-wan-i2v"), "teacher": str(random_family / "tiny-wan-flf2v")}
    run = begun(tmp_path / "run", config(models=models))
    copy = shutil.copytree(random_family / folder, tmp_path / "copy")
    moved = changed(run, models={name: str(copy)})
    check_resume(moved, IDS)
    check_export(moved)
    weights = next((copy / "transformer").glob("*.safetensors"))
    with weights.open("r+b") as file:
        file.seek(weights.stat().st_size // 2)
        file.write(b"other numbers" * 8000)
    assert f"models.{name}" in refused(moved)


def test_a_run_that_is_refused_leaves_what_was_there(tmp_path, random_family, monkeypatch):
    """``optim.batch=4000000`` fits no machine; the corrected command goes on."""
    (tmp_path / "place").mkdir()
    place = runs.prepare(tmp_path / "place", random_family)
    folder = tmp_path / "run"
    (folder / "checkpoints" / "step-000002").mkdir(parents=True)
    settings = parse(runs.arguments(folder, place, "optim.steps=4", "run.overwrite=true"))

    def refuse(_: prepared.PreparedRun) -> None:
        raise ValueError("does not fit")

    monkeypatch.setattr(train, "check_fits", refuse)
    with pytest.raises(ValueError, match="does not fit"):
        train.run(settings)
    assert [path.name for path in folder.iterdir()] == ["checkpoints"]  # neither emptied nor entered


# Longer, and from an older checkpoint


def with_checkpoints(folder: Path, settings: Config, *steps: int) -> Config:
    settings = begun(folder, settings, checkpoint=False)
    for step in steps:
        place = folder / "checkpoints" / f"step-{step:06d}"
        place.mkdir(parents=True)
        (place / ".metadata").write_text("")
    return settings


def test_an_ended_run_is_trained_longer_by_one_more_cycle_and_the_steps_before_stay_what_they_were(tmp_path):
    optim = config().optim
    ended = with_checkpoints(tmp_path, config(), optim.steps)
    check_resume(changed(ended, optim={"extend": (5,)}), IDS)
    longer = begun(tmp_path, changed(ended, optim={"extend": (5,)}), checkpoint=False)
    assert longer.optim.total == optim.steps + 5
    (tmp_path / "checkpoints" / f"step-{optim.steps + 2:06d}").mkdir()
    (tmp_path / "checkpoints" / f"step-{optim.steps + 2:06d}" / ".metadata").write_text("")
    check_resume(longer, IDS)
    assert "optim.extend=[5]" in refused(ended)  # the cycle has begun
    assert "optim.extend=[5]" in refused(changed(longer, optim={"extend": (6,)}))
    check_resume(changed(longer, optim={"extend": (5, 7)}), IDS)  # of these cycles nothing else is trained
    more = refused(changed(longer, optim={"steps": optim.steps + 4}))
    assert f"set optim.steps={optim.steps} optim.extend=4" in more


def test_a_cycle_is_the_schedule_of_a_run_of_its_length():
    optim = replace(config().optim, steps=20, warmup=0.2)
    longer = replace(optim, extend=(30, 10))
    rates = [learning_rate(step, longer) for step in range(longer.total)]
    parts = [[learning_rate(step, replace(optim, steps=steps)) for step in range(steps)] for steps in (20, 30, 10)]
    assert rates == [*chain(*parts)]
    assert learning_rate(20, optim) == learning_rate(20, replace(optim, extend=()))  # past the end, as before


def test_a_run_goes_back_to_a_named_step_once(tmp_path):
    run = with_checkpoints(tmp_path, config(), 2, 4, 6)
    back = changed(run, train={"resume": 4})
    assert (chosen_step(run), chosen_step(back)) == (6, 4)
    go_back(back)
    assert steps_of(tmp_path / "checkpoints") == [2, 4]
    (tmp_path / "checkpoints" / "step-000006").mkdir()
    (tmp_path / "checkpoints" / "step-000006" / ".metadata").write_text("")
    assert chosen_step(back) == 6  # the same command after a death: it goes on
    go_back(back)
    assert steps_of(tmp_path / "checkpoints") == [2, 4, 6]
    go_back(run)  # without the setting it is forgotten
    assert chosen_step(back) == 4


def test_a_step_without_a_checkpoint_is_refused_with_those_that_there_are(tmp_path):
    run = with_checkpoints(tmp_path, config(), 2, 4)
    with pytest.raises(Fault, match=r"train\.resume=3: .* steps 2, 4") as error:
        chosen_step(changed(run, train={"resume": 3}))
    assert error.value.code == "T12"


# Room on the disk


def test_a_full_disk_is_told_before_a_checkpoint_is_begun(tmp_path, monkeypatch):
    trainer = make_trainer(config(run={"dir": str(tmp_path)}))
    saver = Saver(str(tmp_path / "checkpoints"), trainer.config)
    state = trainer.state_dict()
    saver.check_room(state)
    weights = sum(p.numel() * 4 for p in trainer.dit.parameters())
    for free, full in ((3.9 * weights, True), (4.5 * weights, False)):  # weights, their average and two moments
        usage = shutil.disk_usage(tmp_path)._replace(free=int(free))
        monkeypatch.setattr("v4e.files.uri.shutil.disk_usage", lambda _, usage=usage: usage)
        if full:
            with pytest.raises(Fault, match=r"a checkpoint needs .* GiB below .*make room") as error:
                saver.save(1, state)
            assert error.value.code == "T13" and not list((tmp_path / "checkpoints").glob("*"))
        else:
            saver.check_room(state)
    Saver("memory://x/checkpoints", trainer.config).check_room(state)  # nobody knows the room there
