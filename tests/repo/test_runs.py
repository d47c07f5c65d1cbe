"""``v4e runs`` lists runs with their state; ``v4e runs clean`` shows what can go, and leaves alone what is in use."""

import json
from pathlib import Path

import pytest

from pipelines.parts.command import main
from pipelines.parts.runs import removable, runs_below, state_of
from v4e.files import journal
from v4e.files.owner import owning


def made(folder: Path, *, steps: int, checkpoints: tuple[int, ...], torn: int = 0, export: bool = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"optim": {"steps": steps, "extend": [2]}}))
    for step in checkpoints:
        place = folder / "checkpoints" / f"step-{step:06d}"
        place.mkdir(parents=True)
        (place / ".metadata").write_text("x" * 100)
        journal.append(folder / "metrics.jsonl", {"step": step, "loss": 1.0 / step, "kd": 0.25})
    if torn:
        (folder / "checkpoints" / f"step-{torn:06d}").mkdir(parents=True)
    if export:
        (folder / "export" / "ema").mkdir(parents=True)
    return folder


@pytest.fixture
def place(tmp_path):
    made(tmp_path / "done", steps=6, checkpoints=(6, 8), export=True)
    made(tmp_path / "half", steps=6, checkpoints=(2, 4), torn=5)
    made(tmp_path / "new", steps=6, checkpoints=())
    (tmp_path / "other").mkdir()
    (tmp_path / "half" / ".config.json.12ab.tmp").write_text("{")
    (tmp_path / "half" / "ray").mkdir()
    return tmp_path


def test_every_run_is_listed_with_state_step_losses_owner_and_size(place, capsys):
    with owning(str(place / "new"), "train"):
        done, half, new = runs_below(str(place))
    assert [(run.state, run.step, run.steps) for run in (done, half, new)] == [
        ("finished", 8, 8),
        ("stopped", 4, 8),
        ("train", 0, 8),
    ]
    assert half.losses == {"loss": 0.25, "kd": 0.25} and "process" in new.owner and half.size > 200
    assert state_of(str(place / "new")).state == "not trained"
    main("runs", [f"where={place}"])
    said = capsys.readouterr().out
    assert "4/8" in said and "finished" in said and "other" not in said


def test_what_can_go_is_shown_and_goes_only_when_asked(place, capsys):
    main("runs", ["clean", f"where={place}"])
    said = capsys.readouterr().out
    for name in ("done/checkpoints/step-000006", "half/checkpoints/step-000005", "half/ray", ".config.json.12ab.tmp"):
        assert (name in said and (place / name).exists()) or "tmp" in name
    assert "step-000004" not in said and "step-000008" not in said and "step-000002" not in said
    main("runs", ["clean", f"where={place}", "remove=true"])
    left = {path.relative_to(place).as_posix() for path in place.rglob("*")}
    assert "done/checkpoints/step-000008" in left and "half/checkpoints/step-000002" in left
    assert not {"done/checkpoints/step-000006", "half/checkpoints/step-000005", "half/ray"} & left
    assert not any(name.endswith(".tmp") for name in left)


def test_a_run_in_use_is_left_alone(place):
    with owning(str(place / "half"), "train"):
        assert list(removable(state_of(str(place / "half")))) == []
    assert len(list(removable(state_of(str(place / "half"))))) == 3


def test_a_folder_without_runs_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main("runs", [f"where={tmp_path}/none"])
    assert "no run in" in capsys.readouterr().err
