"""What a target takes from a replica to a student: GB/s against a plain memcpy of the same bytes, and ms a small one.

The real path: pool, replica, TargetStream, and a consumer that touches every page; only the teacher is a stub with a
fixed answer. Each block of targets is followed by a block of memcpys. `python benchmarks/stream.py [rounds]`.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import get_args, get_type_hints

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import ray
import torch
from ray.actor import ActorHandle

from actors.target_stream import TargetStream
from actors.teacher_pool import await_pool, start_pool, stop_pool
from benchmarks.result import write_result
from benchmarks.stub_pool import asked, show, start_ray, stub
from v4e.config import Config, Teacher
from v4e.recipes import tiny

LARGE = (4, 1, 2048, 4096)  # K B N D in bf16: 64 MiB
SMALL = (1, 1, 8, 4096)  # 64 KiB
COUNTS = {LARGE: 16, SMALL: 200}  # targets a block
AHEAD = (1, 4)  # teacher.prefetch: one at a time, and as recipes have it
TRANSPORTS = ("object_store", "nixl")
PAGE = 4096  # bytes


def unavailable(transport: str) -> str:
    """Why this transport cannot be measured here, or ""."""
    if transport not in get_args(get_type_hints(Teacher)["transport"]):
        return f"teacher.transport={transport} is not implemented"
    if transport == "nixl" and find_spec("nixl") is None:
        return "nixl is not installed"
    return ""


def consume(pool: ActorHandle, count: int, settings: Teacher) -> None:
    """Takes `count` targets and touches every page of each."""
    for _, target in TargetStream(pool, asked(count), settings):
        target.taps_KBND.view(torch.uint8).flatten()[::PAGE].sum()
        del target  # else the last one would be held while the next is waited for


def timed(work: Callable[[], object], count: int) -> float:
    """Seconds for each of `count`."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count


def measure(config: Config, rounds: int, counts: dict[tuple[int, ...], int]) -> list[dict]:
    """A row for each size and prefetch, through the transport of `config`."""
    rows = []
    for shape, count in counts.items():
        source = np.ones(shape, np.uint16)
        copy = np.zeros_like(source)
        pool = start_pool(config, stub(shape))
        await_pool(pool)

        def copies(copy=copy, source=source, count=count) -> None:
            for _ in range(count):
                np.copyto(copy, source)

        settings = {ahead: replace(config.teacher, prefetch=ahead) for ahead in AHEAD}
        consume(pool, count, settings[AHEAD[-1]])  # the first ones pay for fresh pages and connections
        pairs = {ahead: [] for ahead in AHEAD}
        for _ in range(rounds):
            for ahead in AHEAD:
                stream_s = timed(lambda ahead=ahead: consume(pool, count, settings[ahead]), count)
                pairs[ahead].append((stream_s, timed(copies, count)))
        stop_pool(pool)
        for ahead in AHEAD:
            shares = [copied / streamed for streamed, copied in pairs[ahead]]
            streamed, copied = (median(column) for column in zip(*pairs[ahead], strict=True))
            rows.append(
                {
                    "transport": config.teacher.transport,
                    "bytes": source.nbytes,
                    "prefetch": ahead,
                    "ms": 1e3 * streamed,
                    "gb_per_s": source.nbytes / streamed / 1e9,
                    "memcpy_gb_per_s": source.nbytes / copied / 1e9,
                    "vs_memcpy": median(shares),
                    "vs_memcpy_min": min(shares),
                    "vs_memcpy_max": max(shares),
                }
            )
    return rows


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    start_ray(cpus=4, store_mib=2048)
    rows, summary = [], {}
    for transport in TRANSPORTS:
        if reason := unavailable(transport):
            rows.append({"transport": transport, "unavailable": reason})
            continue
        config = tiny()
        config = replace(config, teacher=replace(config.teacher, transport=transport))
        found = measure(config, rounds, COUNTS)
        of = {(row["bytes"], row["prefetch"]): row for row in found}
        large, small = (2 * int(np.prod(shape)) for shape in (LARGE, SMALL))
        suffix = "" if transport == "object_store" else f"_{transport}"
        summary |= {
            f"{transport}_vs_memcpy": of[large, AHEAD[-1]]["vs_memcpy"],
            f"gb_per_s{suffix}": of[large, AHEAD[-1]]["gb_per_s"],
            f"per_target_ms{suffix}": of[small, 1]["ms"],
            f"per_target_ms_ahead{suffix}": of[small, AHEAD[-1]]["ms"],
        }
        rows += found
    ray.shutdown()
    for row in rows:
        show(row)
    write_result(
        "stream",
        " ".join(["python benchmarks/stream.py", *sys.argv[1:]]),
        rows,
        {key: round(value, 3) for key, value in summary.items()},
    )


if __name__ == "__main__":
    main()
