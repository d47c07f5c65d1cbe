"""Pipelines as processes of their own: started, killed, finished."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent


class Pipeline:
    """``python pipelines/<name> <arguments>`` in a process, with all that it prints in a file."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.printed = tempfile.TemporaryFile("w+")  # noqa: SIM115  (a pipe that nobody reads would stop the process)
        self.process = subprocess.Popen(command, env=env, stdout=self.printed, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """Returns what it has printed so far."""
        self.printed.seek(0)
        return self.printed.read()


def start(name: str, arguments: Sequence[str], *, own_ray: bool = False) -> Pipeline:
    """Starts a pipeline on the cluster that this process has joined, or with `own_ray` on one that it starts itself."""
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    if not own_ray:
        import ray

        env["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    return Pipeline([sys.executable, "-W", "ignore", str(ROOT / "pipelines" / name), *arguments], env)


def finish(pipeline: Pipeline) -> str:
    """Waits for the end of a pipeline, which must be a good one, and returns what it printed."""
    assert pipeline.process.wait(timeout=900) == 0, pipeline.output()
    return pipeline.output()


def kill_once(pipeline: Pipeline, ready: Callable[[], bool]) -> None:
    """Sends SIGKILL to a pipeline as soon as `ready`."""
    while not ready():
        assert pipeline.process.poll() is None, pipeline.output()
        time.sleep(0.01)
    pipeline.process.kill()
    pipeline.process.wait()


def below(title: str) -> list[psutil.Process]:
    """The processes below this one whose command line starts with `title`, the oldest first."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if (process.cmdline() or [""])[0].startswith(title):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def actors_of_ours(name: str) -> list[psutil.Process]:
    """The Ray actors of class `name` in the cluster that this process has started."""
    return below(f"ray::{name}")
