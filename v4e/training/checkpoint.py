"""Checkpoints of a training run.

A checkpoint is the folder ``step-000100`` in PyTorch's distributed format (DCP), on any filesystem that fsspec knows:
any number of workers can read it back. DCP writes its file ``.metadata`` last, under another name that it then changes,
and a checkpoint exists from that moment on: object stores have no folders to rename. Read checkpoints of your own
runs only: ``.metadata`` is a pickle.

A checkpoint holds model, moving average, optimizer and step. The place in the data, the noise and the learning rate
are pure functions of the seed and the step, for any number of workers. So there is no cursor and no generator to save.
See :mod:`v4e.training.schedule`, :mod:`v4e.method.flow` and :func:`v4e.training.student.learning_rate`.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.utils._pytree import tree_leaves

from v4e.compat import FsspecReader, FsspecWriter
from v4e.config import Config
from v4e.faults import Fault
from v4e.files.uri import free_bytes, local_path
from v4e.training.steps import path_of, prune, steps_of
from v4e.training.student import State


def save(folder: str | Path, step: int, state: State, *, keep: int) -> str:
    """Writes the checkpoint of `step`, waits for it, and drops all but the newest `keep`. Every worker must call it."""
    _start(folder, step, state, keep, None, lambda: None).result()
    return path_of(folder, step)


def load(folder: str | Path, step: int, state: State) -> None:
    """Fills `state`'s tensors in place from the checkpoint of `step`. Every worker must call it."""
    reader = FsspecReader(path_of(folder, step))
    dcp.load(cast(dict, state), storage_reader=reader, no_dist=not dist.is_initialized())


class Saver:
    """Saves the run of `config` beside its training: at most one checkpoint is being written at any time.

    Each worker makes one for its `device`, and all make the same calls. `publish` is called on rank 0 when the tensors
    of a checkpoint are written, before the checkpoint exists: what it makes durable is never behind a checkpoint.
    """

    def __init__(
        self,
        folder: str,
        config: Config,
        publish: Callable[[], None] = lambda: None,
        device: torch.device | None = None,
    ) -> None:
        self.folder, self.train, self.last = folder, config.train, config.optim.total
        self.publish = publish
        # From a GPU into pinned memory that is made once: new memory takes several times as long as the bus.
        on_gpu = device is not None and device.type == "cuda"
        self.stager = BlockingAsyncStager(cache_staged_state_dict=True) if on_gpu else None
        self.saving: Future | None = None
        self.since = time.monotonic()
        if _rank() == 0:
            prune(folder, config.train.keep)  # also what a crash left half written
        # Two groups, for writing goes on in a thread of its own while the loop decides on the next checkpoint. Gloo,
        # because DCP saves from host memory.
        self.deciders, self.writers = _gloo(), _gloo()

    def newest(self) -> int:
        """Step of the newest checkpoint, as rank 0 sees it; 0 without one."""
        return self._agreed((steps_of(self.folder) or [0])[-1] if _rank() == 0 else 0)

    def due(self, step: int) -> bool:
        """Returns whether to save `step`, which is done; where the clock decides, it is rank 0's.

        By the clock a checkpoint waits until the one before is written, so that slow storage never stops training.
        """
        every, minutes = self.train.checkpoint_every, self.train.checkpoint_minutes
        if step == self.last or (every > 0 and step % every == 0):
            return True
        if minutes == 0:
            return False
        written = self.saving is None or self.saving.done()
        return self._agreed(int(written and time.monotonic() - self.since >= 60 * minutes)) == 1

    def save(self, step: int, state: State) -> None:
        """Copies `state` to host memory and begins to write it, when the checkpoint before is written.

        Raises:
            CheckpointException: the checkpoint before could not be written.
        """
        self.wait()
        self.check_room(state)
        self.since = time.monotonic()
        keep, group = self.train.keep, self.writers
        self.saving = _start(self.folder, step, state, keep, group, self.publish, self.stager)

    def check_room(self, state: State) -> None:
        """Refuses to save where the disk has no room for one more checkpoint; rank 0 looks, on a local disk.

        Raises:
            Fault: names what is needed and what is free.
        """
        place = local_path(self.folder)
        if _rank() != 0 or place is None:
            return
        tensors = (one for one in tree_leaves(dict(state)) if isinstance(one, torch.Tensor))
        needed = sum(one.numel() * one.element_size() for one in tensors)
        free = free_bytes(place)
        if free < needed:
            raise Fault(
                "T13",
                f"a checkpoint needs {needed / 2**30:.2f} GiB below {self.folder}, {free / 2**30:.2f} GiB are free: "
                f"make room, set train.keep below {self.train.keep}, or move run.dir to a larger disk; the same "
                "command goes on from the newest checkpoint",
            )

    def wait(self) -> None:
        """Waits until the checkpoint under way, if any, is written.

        Raises:
            CheckpointException: it could not be.
        """
        if self.saving is not None:
            self.saving.result()
            self.saving = None

    def _agreed(self, value: int) -> int:
        """Rank 0's `value`."""
        decided = torch.tensor(value)
        if self.deciders is not None:
            dist.broadcast(decided, src=0, group=self.deciders)
        return int(decided)


class _Writer(FsspecWriter):
    """DCP's writer to any filesystem; rank 0 ends a checkpoint with it."""

    def __init__(self, folder: str, step: int, keep: int, publish: Callable[[], None]) -> None:
        path = path_of(folder, step)
        # Where a file cannot be synced, DCP would sync all disks of the machine: object stores need neither.
        super().__init__(path, sync_files=isinstance(url_to_fs(path)[0], LocalFileSystem))
        self.folder, self.keep, self.publish = folder, keep, publish

    def finish(self, *args, **kwargs) -> None:
        self.publish()
        super().finish(*args, **kwargs)
        prune(self.folder, self.keep)


def _start(
    folder: str | Path,
    step: int,
    state: State,
    keep: int,
    group: dist.ProcessGroup | None,
    publish: Callable[[], None],
    stager: BlockingAsyncStager | None = None,
) -> Future:
    """Begins to write; without `stager` the copy to host memory is the writer's, into new memory."""
    writer = _Writer(str(folder), step, keep, publish)
    no_dist = not dist.is_initialized()
    saving = dcp.async_save(
        dict(state), storage_writer=writer, process_group=group, no_dist=no_dist, async_stager=stager
    )
    return cast(Future, saving)


def _gloo() -> dist.ProcessGroup | None:
    """A new group of all workers; None outside of any group."""
    return cast(dist.ProcessGroup, dist.new_group(backend="gloo")) if dist.is_initialized() else None


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0
