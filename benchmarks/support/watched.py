"""A training run watched from outside: its steps, a hang, and the files that it leaves behind."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.stages.train import run
from v4e.config import Config
from v4e.files import journal
from v4e.files.uri import join
from v4e.training import checkpoint

POLL_S = 0.01
LOOK_S = 0.1  # between looks at a command's processes, which take a few milliseconds
ROOT = Path(__file__).resolve().parents[2]


class WatchedTraining:
    """A run in a thread of its own, because Ray's nodes can be added from the main thread only.

    It counts as hanging when it makes no new step for `bound_s` seconds; the start and the end are bounded too.
    """

    def __init__(self, config: Config, bound_s: float) -> None:
        self.bound_s = bound_s
        self.path = Path(config.run.dir, "metrics.jsonl")
        self.error: BaseException | None = None
        self.step = 0  # the highest on record so far
        self.times = [time.monotonic()]  # of the start and of every new step
        self.thread = threading.Thread(target=self._train, args=(config,), daemon=True)
        self.thread.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def reaches(self, step: int) -> bool:
        """Waits until `step` is on record. Returns False if the run ends or hangs before."""
        return self._wait(lambda: self.step >= step)

    def ends(self) -> bool:
        """Waits until the run has ended, well or not. Returns False if it hangs."""
        return self._wait(lambda: not self.thread.is_alive())

    def _wait(self, until: Callable[[], bool]) -> bool:
        while not until():
            if not self.thread.is_alive() or time.monotonic() - self.times[-1] > self.bound_s:
                return until()
            time.sleep(POLL_S)
        return True

    def _train(self, config: Config) -> None:
        try:
            run(config)
        except BaseException as error:
            self.error = error

    def _watch(self) -> None:
        while self.thread.is_alive():
            step = max((int(record["step"]) for record in journal.read(self.path)), default=0)
            if step > self.step:
                self.step = step
                self.times.append(time.monotonic())
            time.sleep(POLL_S)


@dataclass(frozen=True)
class Outcome:
    """The records and the checkpoint of a run that has ended."""

    records: list[tuple[float, ...]]  # step, losses and norm of the gradient
    checkpoint: dict[str, bytes]  # the tensors of the last one, by file

    def lost(self, steps: int) -> int:
        """Counts the steps of `steps` that have no record."""
        return len(set(range(1, steps + 1)) - {step for step, *_ in self.records})

    def doubled(self) -> int:
        """Counts the records of steps that have one already."""
        return len(self.records) - len({step for step, *_ in self.records})


def outcome(config: Config) -> Outcome:
    """Reads the outcome of the run of `config`, complete or not."""
    folder = Path(checkpoint.path_of(join(config.run.dir, "checkpoints"), config.optim.steps))
    return Outcome(
        records=[
            tuple(record[name] for name in ("step", "loss", "kd", "tail", "grad_norm"))
            for record in journal.read(Path(config.run.dir, "metrics.jsonl"))
        ],
        checkpoint={path.name: path.read_bytes() for path in folder.glob("*.distcp")},
    )


@dataclass(frozen=True)
class FirstStep:
    """The time of a run until its first step was on record."""

    seconds: float
    cpu_s: float  # of all its processes, Ray's included


def first_step(folder: str, store: str, tree: Path = ROOT) -> FirstStep:
    """Trains one step by the command `python pipelines/train.py` of the checkout `tree`, to the end.

    Raises:
        RuntimeError: the command ended before its first step.
    """
    settings = [f"run.dir={folder}", f"data.store={store}", "optim.steps=1", "watch.samples_every=0"]
    cpu_s: dict[int, float] = {}  # of a process, when it was last seen
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "pipelines/train.py", *settings],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    command = psutil.Process(process.pid)
    while not journal.read(Path(folder, "metrics.jsonl")):
        if process.poll() is not None:
            raise RuntimeError(f"pipelines/train.py of {tree} ended with {process.returncode} before its first step")
        cpu_s |= cpu_seconds(command)
        time.sleep(LOOK_S)
    seconds = time.perf_counter() - start
    cpu_s |= cpu_seconds(command)
    process.wait()
    return FirstStep(round(seconds, 2), round(sum(cpu_s.values()), 2))


def cpu_seconds(command: psutil.Process) -> dict[int, float]:
    """Process id to CPU seconds, of a process and all below it."""
    found = {}
    for process in (command, *command.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found
