"""Pipelines as processes of their own: started, killed, finished."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support import ranks

ROOT = Path(__file__).resolve().parent.parent.parent


class Pipeline:
    """``python pipelines/<name> <arguments>`` in a process, with all that it prints in a file."""

    def __init__(self, name: str, arguments: Sequence[str], environ: dict[str, str]) -> None:
        self.printed = tempfile.NamedTemporaryFile()  # noqa: SIM115  (goes with this object)
        file, words = str(ROOT / "pipelines" / name), list(arguments)
        self.process = ranks.start(ranks.run_file, file, words, self.printed.name, environ=environ)

    def output(self) -> str:
        """Returns what it has printed so far."""
        return Path(self.printed.name).read_text()


def start(name: str, arguments: Sequence[str], *, own_ray: bool = False) -> Pipeline:
    """Starts a pipeline on the cluster that this process has joined, or with `own_ray` on one that it starts itself."""
    if own_ray:
        return Pipeline(name, arguments, {"RAY_ADDRESS": ""})
    import ray

    return Pipeline(name, arguments, {"RAY_ADDRESS": ray.get_runtime_context().gcs_address})


def finish(pipeline: Pipeline) -> str:
    """Waits for the end of a pipeline, which must be a good one, and returns what it printed."""
    pipeline.process.join(timeout=900)
    assert pipeline.process.exitcode == 0, pipeline.output()
    return pipeline.output()


def kill_once(pipeline: Pipeline, ready: Callable[[], bool]) -> None:
    """Sends SIGKILL to a pipeline as soon as `ready`."""
    while not ready():
        assert pipeline.process.exitcode is None, pipeline.output()
        time.sleep(0.01)
    pipeline.process.kill()
    pipeline.process.join()


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
