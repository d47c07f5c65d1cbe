"""One benchmark's result file: benchmarks/results/<name>.json, committed with the change that it belongs to."""

import datetime
import json
import os
import platform
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "results"


def write_result(name: str, command: str, rows: list[dict], summary: dict[str, float]) -> None:
    """Writes the file and prints its summary."""
    RESULTS.mkdir(exist_ok=True)
    result = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": _machine(),
        "rows": rows,
        "summary": summary,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(f"{key:20} {value}" for key, value in summary.items()))


def _machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(": ")[1] for line in cpu.splitlines() if line.startswith("model name")), platform.machine()
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {gib:.0f} GiB, Python {platform.python_version()}"
