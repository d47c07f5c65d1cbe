"""The time from the command `v4e train` to its first step, of this checkout and of an earlier revision, in pairs.

`python -m benchmarks.training.first_step [revision] [pairs]`: the tiny recipe with its teacher pool on a local Ray,
one step, from a store that is made once. The two trees take turns, because a machine's load drifts. Beside the wall
clock, which other programs lengthen, it reports the CPU time of all processes of the run.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.support.result import write_result
from benchmarks.support.watched import ROOT, first_step
from benchmarks.training.payload import prepare
from v4e.config import tiny

BEFORE = "bc02ccb"  # before the start was looked at
PAIRS = 3


@contextmanager
def checkout(revision: str, folder: Path) -> Iterator[Path]:
    """A worktree of `revision` below `folder`, for the length of a block."""
    tree = folder / "before"
    subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(tree), revision], cwd=ROOT, check=True)
    try:
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def main() -> None:
    revision = sys.argv[1] if len(sys.argv) > 1 else BEFORE
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else PAIRS
    rows = []
    with tempfile.TemporaryDirectory() as name, checkout(revision, Path(name)) as tree:
        config = tiny()
        config = replace(config, data=replace(config.data, store=f"{name}/store"))
        prepare(config)
        for number in range(pairs):
            then, now = (first_step(f"{name}/{number}-{at.name}", config.data.store, at) for at in (tree, ROOT))
            rows.append(
                {
                    "before_s": then.seconds,
                    "now_s": now.seconds,
                    "before_cpu_s": then.cpu_s,
                    "now_cpu_s": now.cpu_s,
                }
            )
            print(rows[-1], flush=True)
    write_result(
        "first_step",
        f"python -m benchmarks.training.first_step {revision} {pairs}",
        rows,
        {
            "now_over_before": round(median(row["now_s"] / row["before_s"] for row in rows), 3),
            "cpu_now_over_before": round(median(row["now_cpu_s"] / row["before_cpu_s"] for row in rows), 3),
            **{name: median(row[name] for row in rows) for name in rows[0]},
        },
    )


if __name__ == "__main__":
    main()
