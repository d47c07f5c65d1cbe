"""What a run may go on with: its own settings, those that decide nothing, and anything before it was trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.parts import prepared
from pipelines.stages import train
from tests.support import runs
from tests.support.synthetic import config
from v4e.config import Config, parse
from v4e.faults import Fault
from v4e.training.resume import SAMPLES, check_export, check_resume, memory, remember

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
