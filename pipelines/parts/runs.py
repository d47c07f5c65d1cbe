"""The runs below a folder: their state, and what of them can go."""

from collections.abc import Iterator
from dataclasses import dataclass

from fsspec.core import url_to_fs

from v4e.files import journal
from v4e.files.owner import owner_of
from v4e.files.uri import exists, join, of_v4e, read_json
from v4e.training.steps import path_of, steps_of, torn_steps

FILES = ("config.json", "training.json", "stages.json")  # by which a folder is known as a run
STAGES = ("train", "rollout", "precompute", "caption", "evaluate", "export", "ingest")
LOSSES = ("loss", "kd", "tail", "flow")


@dataclass(frozen=True, kw_only=True)
class RunState:
    """One run as it lies in its folder."""

    place: str
    state: str  # finished, stopped, not trained, or the stage that is under way
    step: int  # of the newest checkpoint
    steps: int  # of the whole run; 0 where nothing says it
    losses: dict[str, float]  # of the last step on record
    owner: str  # empty where nobody works there
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Removable:
    """A file or folder of a run that nothing needs any more."""

    place: str
    why: str
    size: int  # bytes


def runs_below(where: str) -> Iterator[RunState]:
    """Yields the runs in `where`, which may be one itself, and in its subfolders, by name."""
    for place in (where, *_folders(where)):
        if any(exists(join(place, name)) for name in FILES):
            with of_v4e(place):
                state = state_of(place)
            yield state


def state_of(place: str) -> RunState:
    """Reads the state of the run in the folder `place`."""
    optim = _optim(place)
    steps = optim.get("steps", 0) + sum(optim.get("extend", ()))
    step = (steps_of(join(place, "checkpoints")) or [0])[-1]
    owners = {stage: owner for stage in STAGES if (owner := owner_of(place, stage))}
    records = journal.read(join(place, "metrics.jsonl"))
    ended = "finished" if step and step >= steps else "stopped" if step or records else "not trained"
    return RunState(
        place=place,
        state=next(iter(owners), ended),
        step=step,
        steps=steps,
        losses={name: records[-1][name] for name in LOSSES if name in records[-1]} if records else {},
        owner=next(iter(owners.values()), ""),
        size=_size(place),
    )


def removable(run: RunState) -> Iterator[Removable]:
    """Yields what of a run can go; nothing while somebody works there."""
    if run.owner:
        return
    checkpoints = join(run.place, "checkpoints")
    for step in torn_steps(checkpoints):
        place = path_of(checkpoints, step)
        yield Removable(place=place, why="half a checkpoint", size=_size(place))
    exported = exists(join(run.place, "export"))
    for step in steps_of(checkpoints)[:-1] if run.state == "finished" and exported else ():
        place = path_of(checkpoints, step)
        yield Removable(place=place, why="older than the last checkpoint of a finished run", size=_size(place))
    for name, why in (("ray", "Ray Train's own records"), ("stop", "a request to stop that nobody reads")):
        if exists(place := join(run.place, name)):
            yield Removable(place=place, why=why, size=_size(place))
    fs, path = url_to_fs(run.place)
    for file in sorted(fs.find(path, withdirs=True)):
        name = file.rsplit("/", 1)[-1]
        if name.endswith((".tmp", ".part")) and "/checkpoints/" not in file:
            place = fs.unstrip_protocol(file) if "://" in run.place else file
            yield Removable(place=place, why="half a file", size=_size(place))


def _optim(place: str) -> dict:
    """The settings ``optim`` of a run; empty where it wrote none."""
    uri = join(place, "config.json")
    return read_json(uri).get("optim", {}) if exists(uri) else {}


def _folders(where: str) -> list[str]:
    fs, path = url_to_fs(where)
    if not fs.isdir(path):
        return []
    there = (one["name"] for one in fs.ls(path, detail=True) if one["type"] == "directory")
    return [join(where, name) for name in sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in there)]


def _size(place: str) -> int:
    fs, path = url_to_fs(place)
    return fs.du(path)
