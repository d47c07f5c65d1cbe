"""Ray Data over files of corpora and over chosen rows: a task reads, and leaves what it found on disk."""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray.data

MAX_TASKS = 1000
T = TypeVar("T")


def each(work: Callable[[T], Any], items: Sequence[T], readers: int) -> Iterator[int]:
    """Does `work` on every item, `readers` at a time; yields an item's index when it is done, in any order.

    What `work` returns stays behind: results go to files, so that a killed run finds them again. A task that dies with
    its node is done again.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)

    def do(row: dict[str, Any]) -> dict[str, int]:
        work(pickle.loads(row["item"]))
        return {"index": row["index"]}

    if not items:
        return
    rows = [{"index": index, "item": pickle.dumps(item)} for index, item in enumerate(items)]
    tasks = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_TASKS)).map(
        do, num_cpus=1, compute=ray.data.TaskPoolStrategy(size=readers)
    )
    for row in tasks.iter_rows():
        yield row["index"]
