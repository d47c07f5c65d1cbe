"""Functions, ranks and Python files that run in processes forked from one server, which has imported what they need.

A fresh interpreter needs seven seconds of CPU to import torch and diffusers; a fork of the server needs none. The
server runs one thread and never calls torch, so that a fork of it is safe. It does not import Ray, which reads the
environment when it is imported.
"""

import multiprocessing
import os
import pickle
import runpy
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import MappingProxyType
from typing import Any

import torch.multiprocessing as mp

from tests.support import ray_worker

PRELOADED = [
    "aiohttp",
    "av",
    "fastapi",
    "grpc",
    "limits",
    "opentelemetry.sdk.metrics",
    "pandas",
    "prometheus_client",
    "pyarrow.dataset",
    "pytest",
    "rich.progress",
    "tests.support.student",
    "uvicorn",
    "v4e.editing.editor",
    "v4e.evaluation.heldout",
    "v4e.training.student",
]


def run(function: Callable[..., None], count: int, *arguments: object) -> None:
    """Calls ``function(rank, *arguments)`` in `count` processes and waits; fails with the traceback of a failing rank.

    `function` stands at the top level of its module, and finds one torch thread (``OMP_NUM_THREADS=1``).
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    work = pickle.dumps((function, arguments))
    mp.start_processes(_call, args=(dict(os.environ), work), nprocs=count, start_method="forkserver")


def start(
    function: Callable[..., None],
    *arguments: object,
    pipe: tuple[Connection, ...] = (),
    environ: Mapping[str, str] = MappingProxyType({}),
) -> BaseProcess:
    """Starts ``function(*pipe, *arguments)`` in one such process, in this one's environment and `environ`."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    fork = multiprocessing.get_context("forkserver")
    process = fork.Process(
        target=_work, args=(dict(os.environ) | dict(environ), pickle.dumps((function, arguments)), *pipe)
    )
    process.start()
    return process


def result(function: Callable[..., Any], *arguments: object) -> Any:
    """Returns ``function(*arguments)`` of such a process, which may have a Ray of its own; raises what it raised.

    Workers of that Ray are not forked: a test that kills a node looks for them below its raylet.
    """
    here, there = multiprocessing.Pipe(duplex=False)
    process = start(_answer, function, *arguments, pipe=(there,))
    there.close()
    try:
        error, value = here.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__name__} ended with status {process.exitcode} and no answer") from None
    process.join()
    if error:
        raise error
    return value


def _answer(caller: Connection, function: Callable[..., Any], *arguments: object) -> None:
    try:
        answer = None, function(*arguments)
    except Exception as error:  # for the process that waits
        answer = error, None
    caller.send(answer)


def run_file(path: str, arguments: list[str], printed: str) -> None:
    """Runs a Python file as ``python path *arguments`` does; all that it prints goes to the file `printed`."""
    ray_worker.use_server()
    with open(printed, "ab") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    become(path, arguments)


def become(path: str, arguments: list[str]) -> None:
    """Turns this process into that of a Python file."""
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")


def _call(rank: int, environ: dict[str, str], work: bytes) -> None:
    _work(environ, work, rank)


def _work(environ: dict[str, str], work: bytes, *first: object) -> None:
    """Calls a function under the test's own environment: the server still has that of the first test that used it.

    The function's module, and with it perhaps Ray, is imported only then.
    """
    os.environ.clear()
    os.environ.update(environ)
    function, arguments = pickle.loads(work)
    function(*first, *arguments)
