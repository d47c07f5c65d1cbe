"""Functions that run on several ranks, as processes forked from one server that has imported the trainer.

A fresh interpreter needs seconds to import torch and diffusers; a fork of the server needs none. The server runs one
thread and never calls torch, so that a fork of it is safe.
"""

import multiprocessing
import os
from collections.abc import Callable

import torch.multiprocessing as mp

PRELOADED = ["v4e.training.student", "tests.support.student"]


def run(function: Callable[..., None], count: int, *arguments: object) -> None:
    """Calls ``function(rank, *arguments)`` in `count` processes and waits; fails with the traceback of a failing rank.

    `function` stands at the top level of its module, and finds one torch thread (``OMP_NUM_THREADS=1``).
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    environ = dict(os.environ)
    mp.start_processes(_rank, args=(environ, function, *arguments), nprocs=count, start_method="forkserver")


def start(function: Callable[..., None], *arguments: object) -> multiprocessing.process.BaseProcess:
    """Starts ``function(*arguments)`` in one such process, for a test that kills it."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    fork = multiprocessing.get_context("forkserver")
    process = fork.Process(target=_in_environment, args=(dict(os.environ), function, *arguments))
    process.start()
    return process


def _rank(rank: int, environ: dict[str, str], function: Callable[..., None], *arguments: object) -> None:
    _in_environment(environ, function, rank, *arguments)


def _in_environment(environ: dict[str, str], function: Callable[..., None], *arguments: object) -> None:
    """Calls `function` under the test's own environment: the server still has that of the first test that used it."""
    os.environ.clear()
    os.environ.update(environ)
    function(*arguments)
