"""``metrics.jsonl``: one line a training step, each step exactly once however often the run was interrupted."""

import json
import os
from pathlib import Path

Record = dict[str, float | int]


def read(path: Path) -> list[Record]:
    """All complete records, in order; a line that a crash cut short is left out."""
    return follow(path, 0)[0]


def follow(path: Path, offset: int) -> tuple[list[Record], int]:
    """The complete records behind byte `offset`, and the offset to follow from; a file that shrank is read anew."""
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        file.seek(offset if offset <= path.stat().st_size else 0)
        start = file.tell()
        text = file.read()
    end = text.rfind(b"\n") + 1
    return [json.loads(line) for line in text[:end].splitlines()], start + end


def rewind(path: Path, step: int) -> None:
    """Drops the records after `step`: the run goes on from its checkpoint and will write them again."""
    kept = [json.dumps(record) + "\n" for record in read(path) if record["step"] <= step]
    part = path.with_suffix(".part")
    part.write_text("".join(kept))
    os.replace(part, path)


def append(path: Path, record: Record) -> None:
    """Adds one step's record."""
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def bottleneck(records: list[Record]) -> str:
    """Where the time of these steps went: ``student / wait / io`` shares, the pool, the stream's rate."""
    seconds = sum(r["seconds"] - r.get("watch_s", 0.0) for r in records)  # strips are no part of a step
    wait = sum(r["wait_s"] for r in records) / seconds
    io = sum(r["io_s"] for r in records) / seconds
    line = f"student {max(0.0, 1 - wait - io):.0%} / wait {wait:.0%} / io {io:.0%}"
    last = records[-1]
    if last["replicas"]:
        rate = sum(r["mib"] for r in records) / seconds
        coming = f" (+{last['starting']} starting)" if last["starting"] else ""
        line += f" · pool {last['replicas']}{coming} queue {last['queue']} · {rate:.1f} MiB/s"
        if last["restarts"]:
            line += f" · {last['restarts']} teacher restarts"
    return line
