"""The shape of the code and the time that a newcomer waits for it.

It counts rooms, imports against their order and circles of imports. It times ``v4e --help`` and a mistyped setting.
The time of ``make test`` is read from what pytest printed, which .ci/run writes to runs/test.txt.

`python -m benchmarks.repo.structure [PRINTED]`
"""

import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.support.result import write_result
from tests.repo.rooms import FILES, ROOMS, ROOT, arrows_back, circles, ours, room_of

PRINTED = ROOT / "runs" / "test.txt"  # by .ci/run
V4E = Path(sys.executable).with_name("v4e")
RUNS = 9
COMMANDS = {"help": (["--help"], 0), "typo": (["train", "kd.wieght=0"], 2)}  # arguments, exit status


def main() -> None:
    rows = [of_room(room) for room in ROOMS] + [timed(name) for name in COMMANDS]
    seconds = {f"{row['command']}_s": round(row["wall_s"], 3) for row in rows if "command" in row}
    printed = Path(sys.argv[1]) if len(sys.argv) > 1 else PRINTED
    write_result(
        "structure",
        " ".join(["python -m benchmarks.repo.structure", *sys.argv[1:]]),
        rows,
        {"rooms": len(ROOMS), "arrows_back": len(arrows_back()), "circles": len(circles(ours()))}
        | {"test_minutes": test_minutes(printed.read_text())}
        | seconds,
    )


def of_room(room: str) -> dict:
    """Size of a room, and how many rooms above it its files import."""
    modules = [module for module in FILES if room_of(module) == room]
    above = {room_of(name) for module in modules for name in ours()[module]} - {room}
    lines = [len(FILES[module].read_text().splitlines()) for module in modules]
    return {"room": room, "files": len(modules), "lines": sum(lines), "longest": max(lines), "imports": len(above)}


def timed(name: str) -> dict:
    """Medians of wall and processor seconds of one command.

    Raises:
        RuntimeError: the command ended with another exit status than expected.
    """
    arguments, expected = COMMANDS[name]
    walls, cpus = [], []
    for _ in range(RUNS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run([V4E, *arguments], cwd=ROOT, capture_output=True, text=True)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode != expected:
            raise RuntimeError(f"v4e {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:]}")
    wall, cpu = (statistics.median(values) for values in (walls, cpus))
    return {
        "command": name,
        "runs": RUNS,
        "wall_s": wall,
        "wall_min_s": min(walls),
        "wall_max_s": max(walls),
        "cpu_s": cpu,
    }


def test_minutes(printed: str) -> float:
    """Returns the minutes of ``make test`` by the clock, from the last line that pytest printed.

    Raises:
        ValueError: there is no such line, or tests failed.
    """
    closing = re.findall(r"^\W*(\d+ (?:passed|failed|error).*) in ([\d.]+)s", printed, re.M)
    if not closing or "passed" not in closing[-1][0] or re.search("failed|error", closing[-1][0]):
        found = closing[-1][0] if closing else "no closing line of pytest"
        raise ValueError(f"expected the output of a `make test` that passed, got {found}: run .ci/run again")
    return round(float(closing[-1][1]) / 60, 2)


if __name__ == "__main__":
    main()
