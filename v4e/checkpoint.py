"""Checkpoints of a training run.

A checkpoint is the folder ``step-000100`` in PyTorch's distributed format: any number of workers can read it back.
It exists from the moment its folder has its final name. Read checkpoints of your own runs only: the format's
metadata is a pickle.
"""

import re
import shutil
from pathlib import Path
from typing import cast

import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from v4e.student import State

NAME = re.compile(r"step-(\d{6,})")


def steps_of(folder: Path) -> list[int]:
    """Steps of the finished checkpoints below `folder`, rising."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for path in folder.iterdir() if (match := NAME.fullmatch(path.name)))


def path_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}"


def save(folder: Path, step: int, state: State, *, keep: int) -> Path:
    """Writes the checkpoint of `step` and drops all but the newest `keep`. Every worker must call it.

    Written under another name and renamed when complete: a crash at any moment leaves the previous one intact.
    """
    final, part = path_of(folder, step), folder / f".step-{step:06d}.part"
    if _rank() == 0:
        shutil.rmtree(part, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    _barrier()
    dcp.save(dict(state), storage_writer=dcp.FileSystemWriter(part), no_dist=not dist.is_initialized())
    if _rank() == 0:
        shutil.rmtree(final, ignore_errors=True)  # an older attempt at this very step
        part.rename(final)
        for old in steps_of(folder)[:-keep]:
            shutil.rmtree(path_of(folder, old))
    _barrier()
    return final


def load(folder: Path, step: int, state: State) -> None:
    """Fills `state`'s tensors in place from the checkpoint of `step`. Every worker must call it."""
    reader = dcp.FileSystemReader(path_of(folder, step))
    dcp.load(cast(dict, state), storage_reader=reader, no_dist=not dist.is_initialized())


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _barrier() -> None:
    if dist.is_initialized():
        dist.barrier()
