"""The checkpoints that a run has: their names, which of them are complete, and which are dropped. No torch in here."""

import re
from pathlib import Path

from v4e.files.uri import exists, join, numbers_in, remove

NAME = re.compile(r"step-(\d{6,})")
LAST_FILE = ".metadata"  # PyTorch writes it when all else is there: with it a checkpoint begins to exist


def steps_of(folder: str | Path) -> list[int]:
    """Steps of the finished checkpoints below `folder`, a path or URI, rising."""
    return _steps(folder)[0]


def torn_steps(folder: str | Path) -> list[int]:
    """Steps of what a crash left half written below `folder`, rising."""
    return _steps(folder)[1]


def path_of(folder: str | Path, step: int) -> str:
    """Path or URI of the checkpoint of `step`."""
    return join(str(folder), f"step-{step:06d}")


def prune(folder: str | Path, keep: int) -> None:
    """Drops all but the newest `keep` checkpoints, and what is no checkpoint yet or any more."""
    finished, torn = _steps(folder)
    for step in finished[:-keep] + torn:
        drop(folder, step)


def drop(folder: str | Path, step: int) -> None:
    """Drops the checkpoint of `step`."""
    remove(join(path_of(folder, step), LAST_FILE))  # first: half a checkpoint must not exist as one
    remove(path_of(folder, step))


def _steps(folder: str | Path) -> tuple[list[int], list[int]]:
    """Steps of the finished and of the unfinished checkpoints below `folder`, rising."""
    found = numbers_in(str(folder), NAME)
    finished = [step for step in found if exists(join(path_of(folder, step), LAST_FILE))]
    return finished, [step for step in found if step not in finished]
