"""Pipelines as processes of their own: started, killed, finished."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent


def start(pipeline: str, args: Sequence[str]) -> subprocess.Popen[str]:
    """``python pipelines/<pipeline> <args>``, on a Ray of its own."""
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, str(ROOT / "pipelines" / pipeline), *args]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Waits for its end, a good one, and returns what it printed."""
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    return output


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


def kill_once(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """SIGKILL as soon as `ready`."""
    while not ready():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    process.communicate()
