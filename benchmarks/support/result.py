"""The result file of a benchmark, benchmarks/results/<name>.json. It is committed with the change it belongs to."""

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
    (RESULTS / f"{name}.json").write_text(as_text(result))
    print("\n".join(f"{key:20} {value}" for key, value in summary.items()))


def as_text(result: dict) -> str:
    """Returns the file's text with one row a line, so that a diff shows which rows a new run changed."""
    head = {key: value for key, value in result.items() if key not in ("rows", "summary")}
    rows = ",\n".join(f"  {json.dumps(row)}" for row in result["rows"])
    fields = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    fields.append(f' "rows": [\n{rows}\n ]')
    fields.append(' "summary": ' + json.dumps(result["summary"], indent=1).replace("\n", "\n "))
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(": ")[1] for line in cpu.splitlines() if line.startswith("model name")), platform.machine()
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores of {model}, {gib:.0f} GiB, Python {platform.python_version()}"
