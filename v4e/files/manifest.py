"""The time and memory of each stage of a run, in ``<run.dir>/stages.json``."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from v4e.files.owner import owning
from v4e.files.uri import exists, join, read_json, write_json_atomic

SAMPLE_S = 0.5


def _resident_mib() -> float:
    """Returns the unshared resident memory of this process and of all processes below it, MiB.

    A Ray that this process started is below it, with its workers. Workers of a cluster that it joined are not.
    """
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            memory = process.memory_info()
            total += memory.rss - memory.shared
    return total / 2**20


@contextmanager
def stage(run_dir: str, name: str) -> Iterator[None]:
    """Records the wall seconds of the body, and the peak of its processes' unshared resident memory.

    Seconds add up over restarts. `finished` says whether the stage ever came to its end.

    Raises:
        Fault: another process is at this stage of the run.
    """
    with owning(run_dir, name):
        yield from _measured(run_dir, name)


def _measured(run_dir: str, name: str) -> Iterator[None]:
    uri = join(run_dir, "stages.json")
    start, peak, stop = time.monotonic(), [_resident_mib()], threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            peak[0] = max(peak[0], _resident_mib())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    finished = False
    try:
        yield
        finished = True
    finally:
        stop.set()
        thread.join()
        stages = read_json(uri) if exists(uri) else {}
        before = stages.get(name, {"seconds": 0.0, "peak_rss_mib": 0.0, "finished": False})
        stages[name] = {
            "seconds": round(before["seconds"] + time.monotonic() - start, 2),
            "peak_rss_mib": round(max(before["peak_rss_mib"], peak[0]), 1),
            "finished": finished or before["finished"],
        }
        write_json_atomic(uri, stages)
