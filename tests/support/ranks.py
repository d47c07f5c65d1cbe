"""Functions that run on several ranks, as processes forked from one server that has imported the trainer.

A fresh interpreter needs seconds to import torch and diffusers; a fork of the server needs none. The server runs one
thread and never calls torch, so that a fork of it is safe.
"""

import multiprocessing
from collections.abc import Callable

import torch.multiprocessing as mp

PRELOADED = ["v4e.training.student", "tests.support.student"]


def run(function: Callable[..., None], count: int, *arguments: object) -> None:
    """Calls ``function(rank, *arguments)`` in `count` processes and waits; fails with the traceback of a failing rank.

    `function` stands at the top level of its module, and finds one torch thread (``OMP_NUM_THREADS=1``).
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    mp.start_processes(function, args=arguments, nprocs=count, start_method="forkserver")


def start(function: Callable[..., None], *arguments: object) -> multiprocessing.process.BaseProcess:
    """Starts ``function(*arguments)`` in one such process, for a test that kills it."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    process = multiprocessing.get_context("forkserver").Process(target=function, args=arguments)
    process.start()
    return process
