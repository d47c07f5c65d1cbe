"""Time and memory of each stage of a run, in ``<run.dir>/stages.json``."""

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from v4e.files.uri import exists, join, read_json, write_json_atomic

SAMPLE_S = 0.5


def _tree_rss_mib() -> float:
    """Unshared resident memory of all processes of the machine, MiB: a run's workers are not its children."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/statm"):
        try:
            resident, shared = map(int, status.read_text().split()[1:3])
        except (FileNotFoundError, ProcessLookupError):  # the process ended meanwhile
            continue
        total += resident - shared
    return total * resource.getpagesize() / 2**20


@contextmanager
def stage(run_dir: str, name: str) -> Iterator[None]:
    """Record the wall seconds and the machine's peak of unshared resident memory while the body runs.

    Seconds add up over restarts; `finished` says whether the stage ever came to its end.
    """
    uri = join(run_dir, "stages.json")
    start, peak, stop = time.monotonic(), [_tree_rss_mib()], threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            peak[0] = max(peak[0], _tree_rss_mib())

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
