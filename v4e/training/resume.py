"""The settings that a run remembers in ``training.json``, and what may go on from it or be exported of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from v4e.config import Config, decided_by, differing
from v4e.data.store.fingerprint import lora_hash, loras_hash, sketch
from v4e.data.store.ids import ids_hash
from v4e.faults import Fault
from v4e.files.uri import exists, join, read_json, remove, write_json_atomic
from v4e.training.steps import drop, steps_of
from v4e.weights.hub import lora_file

SAMPLES = "the samples of data.train"  # their hash, among the settings that a run remembers
INSIDE = "what is in "  # before a setting that names files: the key of a hash of them


def memory(run_dir: str) -> str:
    """The file of what the run in `run_dir` remembers."""
    return join(run_dir, "training.json")


def remember(config: Config, ids: Sequence[str]) -> None:
    """Leaves in ``run.dir`` the settings and samples that decide the run which begins, or goes on, there."""
    write_json_atomic(memory(config.run.dir), _deciding(config, ids))


def check_resume(config: Config, ids: Sequence[str]) -> None:
    """Refuses to go on with a run under other settings or on other samples than it was trained with.

    A folder without a checkpoint or an export was not trained: whatever it remembers may change. So may settings that
    cannot change the result (workers, logging, replicas). A setting that is younger than the run had its default.

    Raises:
        Fault: a setting differs; the first one is named.
    """
    folder = config.run.dir
    uri = memory(folder)
    if not exists(uri) or not (steps_of(join(folder, "checkpoints")) or exists(join(folder, "export"))):
        return
    now = _deciding(config, ids)
    before = {SAMPLES: now[SAMPLES]} | read_json(uri)
    done = (steps_of(join(folder, "checkpoints")) or [0])[-1]
    for key, (had, has) in _changed(before, now).items():
        if key == "optim.extend" and done <= config.optim.steps + _shared(had or [], has or []):
            continue  # what was trained so far is the same
        longer = f"; to train longer, set optim.steps={had} optim.extend={has - had}" if _longer(key, had, has) else ""
        raise Fault(
            "T02",
            f"{folder} was trained with {key}={had}, this recipe has {key}={has}: "
            f"set {key} back, choose another run.dir, or start anew with run.overwrite=true{longer}",
        )


def chosen_step(config: Config) -> int:
    """The step that the run goes on from: the newest checkpoint's, or ``train.resume``, once; 0 for a new run.

    Raises:
        Fault: ``train.resume`` names no checkpoint.
    """
    folder, wanted = config.run.dir, config.train.resume
    steps = steps_of(join(folder, "checkpoints"))
    if not wanted or _resumed(folder) == wanted:
        return (steps or [0])[-1]
    if wanted not in steps:
        there = ", ".join(map(str, steps)) or "none"
        raise Fault("T12", f"train.resume={wanted}: {folder} has checkpoints of steps {there}: choose one of them")
    return wanted


def go_back(config: Config) -> None:
    """Drops the checkpoints after ``train.resume``, and remembers that, so that the same command goes on later."""
    folder, wanted = config.run.dir, config.train.resume
    uri = join(folder, "resumed.json")
    if not wanted:
        remove(uri)
    elif _resumed(folder) != wanted:
        for step in steps_of(join(folder, "checkpoints")):
            if step > wanted:
                drop(join(folder, "checkpoints"), step)
        write_json_atomic(uri, {"step": wanted})


def _resumed(folder: str) -> int:
    """The step that the run in `folder` has gone back to already; 0 if to none."""
    uri = join(folder, "resumed.json")
    return read_json(uri).get("step", 0) if exists(uri) else 0


def _shared(had: Sequence[int], has: Sequence[int]) -> int:
    """The steps of the cycles with which both begin."""
    same = 0
    for one, other in zip(had, has, strict=False):
        if one != other:
            break
        same += one
    return same


def _longer(key: str, had: object, has: object) -> bool:
    return key == "optim.steps" and isinstance(had, int) and isinstance(has, int) and has > had


def check_export(config: Config) -> str:
    """Refuses to export a run's weights as what they are not; the hash of the samples that it trained on.

    Where :func:`remember` left nothing, nothing is refused and the hash is "unknown".

    Raises:
        Fault: the run started from another student or LoRA, had other places in time, or adapters of another scale.
    """
    uri = memory(config.run.dir)
    if not exists(uri):
        return "unknown"
    trained = read_json(uri)
    changes = _changed(trained, _deciding(config, []))
    for key in ("models.student", "models.lora", "models.positions", "lora.rank", "lora.alpha"):
        had, has = changes.get(key, (None, None))
        if had is not None and key in trained:  # a run that remembers no such setting is taken at the recipe's word
            raise Fault("T02", f"the run was trained with {key}={had}, this recipe has {key}={has}: set it back")
    return trained.get(SAMPLES, "unknown")


def _deciding(config: Config, ids: Sequence[str]) -> dict[str, object]:
    """Everything that decides the weights, as JSON keeps it, with what the files hold that settings name."""
    contents = {f"{INSIDE}{key}": content for key, content in _contents(config).items() if content}
    return decided_by(config, "training") | {SAMPLES: ids_hash(ids)} | contents


def _contents(config: Config) -> dict[str, str]:
    """A hash of what each setting names that names files; empty for what is not on this machine."""
    lora = config.teacher.lora
    return {
        "models.student": sketch(config.models.student),
        "models.teacher": sketch(config.models.teacher),
        "models.lora": loras_hash(config.models.lora),
        "teacher.lora": lora_hash(lora) if lora and lora_file(lora).is_file() else "",
    }


def _changed(before: Mapping[str, object], now: Mapping[str, object]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ; a name of files does not where the files are the same in another place."""
    settings = {key: value for key, value in now.items() if not key.startswith(INSIDE)}
    found = differing(before, settings)
    same = {key for key in found if now.get(f"{INSIDE}{key}", 0) == before.get(f"{INSIDE}{key}")}
    return {key: pair for key, pair in found.items() if key not in same}
