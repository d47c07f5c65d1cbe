"""``metrics.jsonl``: one line a training step, each step exactly once however often the run was interrupted.

Object stores cannot append to a file. A run that lives on one writes a copy on rank 0's machine, and publishes it with
every checkpoint, just before that exists: a published journal reaches at least to the newest checkpoint.
"""

import json
import math
import tempfile
from pathlib import Path

from fsspec.core import url_to_fs

from v4e.files.uri import json_object, of_v4e, write_atomic

Record = dict[str, float | int]
WORDS = "not_finite"  # in a line: which of its numbers are null, and what they are


def read(uri: str | Path) -> list[Record]:
    """All complete records, in order; a line that a crash cut short is left out."""
    return follow(uri, 0)[0]


def follow(uri: str | Path, offset: int) -> tuple[list[Record], int]:
    """The complete records behind byte `offset`, and the offset to follow from.

    Raises:
        Fault: a line is no record.

    A file that was rewritten is read anew, as far as that shows: no line of it ends at `offset`.
    """
    fs, path = url_to_fs(str(uri))
    fs.invalidate_cache()  # another process writes there
    if not fs.exists(path):
        return [], 0
    with fs.open(path, "rb") as file:
        start = 0
        if 0 < offset <= fs.size(path):
            file.seek(offset - 1)
            start = offset if file.read(1) == b"\n" else 0
        file.seek(start)
        text = file.read()
    end = text.rfind(b"\n") + 1
    return [_record(line, f"{uri}, line {line!r:.60}") for line in text[:end].split(b"\n") if line], start + end


def working_copy(uri: str) -> Path:
    """Returns the file to append to: the journal at `uri`, or a local copy where files cannot be appended to."""
    if "://" not in uri:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        return Path(uri)
    copy = Path(tempfile.mkdtemp(prefix="v4e-journal-"), "metrics.jsonl")
    fs, path = url_to_fs(uri)
    if fs.exists(path):
        fs.get_file(path, str(copy))
    return copy


def publish(copy: Path, uri: str) -> None:
    """Brings the journal at `uri` up to its working copy; they may be one."""
    if "://" in uri:
        write_atomic(uri, copy.read_bytes())


def rewind(path: Path, step: int) -> None:
    """Drops the records after `step`: the run goes on from its checkpoint and will write them again."""
    kept = [_line(record) for record in read(path) if record["step"] <= step]
    write_atomic(str(path), "".join(kept).encode())


def append(path: Path, record: Record) -> None:
    """Adds one step's record."""
    with path.open("a") as file:
        file.write(_line(record))


def _line(record: Record) -> str:
    """A record as JSON that every parser reads: ``NaN`` and ``Infinity`` are none, so these are null and named."""
    words = {name: str(value) for name, value in record.items() if not math.isfinite(value)}
    line: dict[str, object] = {name: None if name in words else value for name, value in record.items()}
    return json.dumps(line | ({WORDS: words} if words else {}), allow_nan=False) + "\n"


def _record(line: bytes, told: str) -> Record:
    """The record of a line, with its numbers as they were; `told` names the line."""
    record = json_object(line, told)
    with of_v4e(told):
        return record | {name: float(word) for name, word in record.pop(WORDS, {}).items()}


def bottleneck(records: list[Record]) -> str:
    """Returns a line on where the time of these steps went.

    It holds the ``student / wait / io`` shares, the pool and the rate of the stream.
    """
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
