"""Ray Data over Python objects: a dataset of them, and work on each of them that leaves its results on disk."""

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray.data

MAX_TASKS = 1000  # blocks that a dataset is cut into
T = TypeVar("T")


def dataset(items: Sequence[Any]) -> ray.data.Dataset:
    """Returns one row per item, with its `index` and the pickled `item`; `items` must not be empty.

    Switches off Ray Data's progress bars and all its logs but errors.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"index": index, "item": pickle.dumps(item)} for index, item in enumerate(items)]
    return ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_TASKS))


def each(work: Callable[[T], Any], items: Sequence[T], readers: int) -> Iterator[int]:
    """Does `work` on every item, `readers` at a time; yields an item's index when it is done, in any order.

    The return value of `work` is dropped: results go to files, so that a killed run finds them again. A task that dies
    with its node is done again.
    """

    def do(row: dict[str, Any]) -> dict[str, int]:
        work(pickle.loads(row["item"]))
        return {"index": row["index"]}

    if not items:
        return
    tasks = dataset(items).map(do, num_cpus=1, compute=ray.data.TaskPoolStrategy(size=readers))
    for row in tasks.iter_rows():
        yield row["index"]
