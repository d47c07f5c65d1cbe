"""The cost of a target on its way from replica to student: GB/s against a memcpy of the same bytes, and ms a small one.

The path is the real one: pool, replica, TargetStream, and a consumer that touches every page. Only the teacher is a
stub with a fixed answer. Each block of targets is followed by a block of memcpys. `python
benchmarks/training/stream.py [rounds]`.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import get_args

import numpy as np
import ray
import torch
from ray.actor import ActorHandle

from actors.cluster import connect
from actors.stream.stream import TargetStream
from actors.stream.transport import check_transport
from actors.teacher.pool import await_pool, start_pool, stop_pool
from benchmarks.support.result import write_result
from benchmarks.support.stub_pool import asked, show, stub
from v4e.config import Config, Teacher, Transport, tiny

LARGE = (4, 1, 2048, 4096)  # K B N D in bf16: 64 MiB
SMALL = (1, 1, 8, 4096)  # 64 KiB
COUNTS = {LARGE: 16, SMALL: 100}  # targets a block
AHEAD = (1, 4)  # teacher.prefetch: one at a time, and as recipes have it
PAGE = 4096  # bytes


def unavailable(transport: Transport) -> str:
    """Returns why this transport cannot be measured here, or ""."""
    try:
        check_transport(replace(tiny().teacher, transport=transport))
    except ValueError as error:
        return str(error)
    return ""


def stream_s(pool: ActorHandle, count: int, settings: Teacher) -> float:
    """Seconds for each of `count` targets, every page of which is touched."""
    start = time.perf_counter()
    for _, target in TargetStream(pool, asked(count), settings):
        target.taps_KBND.view(torch.uint8).flatten()[::PAGE].sum()
        del target  # else it would be held while the next one is waited for
    return (time.perf_counter() - start) / count


def memcpy_s(copy: np.ndarray, source: np.ndarray, count: int) -> float:
    """Seconds for each of `count` copies in this process."""
    start = time.perf_counter()
    for _ in range(count):
        np.copyto(copy, source)
    return (time.perf_counter() - start) / count


def measure(config: Config, shape_KBND: Sequence[int], count: int, rounds: int) -> list[dict]:
    """A row for each prefetch: targets of this shape, `count` a block, through the transport of `config`."""
    source = np.ones(shape_KBND, np.uint16)
    copy = np.zeros_like(source)
    pool = start_pool(config, stub(shape_KBND))
    await_pool(pool, config.teacher)
    settings = [replace(config.teacher, prefetch=ahead) for ahead in AHEAD]
    stream_s(pool, count, settings[-1])  # the first ones pay for fresh pages and connections
    pairs = {
        (turn, each.prefetch): (stream_s(pool, count, each), memcpy_s(copy, source, count))
        for turn in range(rounds)
        for each in settings
    }
    stop_pool(pool)
    return [row_of(config, source.nbytes, ahead, [pairs[turn, ahead] for turn in range(rounds)]) for ahead in AHEAD]


def row_of(config: Config, size: int, ahead: int, pairs: list[tuple[float, float]]) -> dict:
    """Medians over the rounds, of which each took one pair of seconds a target and seconds a memcpy."""
    shares = [copied / streamed for streamed, copied in pairs]
    streamed, copied = (median(column) for column in zip(*pairs, strict=True))
    return {
        "transport": config.teacher.transport,
        "bytes": size,
        "prefetch": ahead,
        "ms": 1e3 * streamed,
        "gb_per_s": size / streamed / 1e9,
        "memcpy_gb_per_s": size / copied / 1e9,
        "vs_memcpy": median(shares),
        "vs_memcpy_min": min(shares),
        "vs_memcpy_max": max(shares),
    }


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    connect(cpus=4, store_bytes=2 << 30)
    rows, summary = [], {}
    for transport in get_args(Transport):
        if reason := unavailable(transport):
            rows.append({"transport": transport, "unavailable": reason})
            continue
        config = tiny()
        config = replace(config, teacher=replace(config.teacher, transport=transport))
        found = [row for shape, count in COUNTS.items() for row in measure(config, shape, count, rounds)]
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
        " ".join(["python -m benchmarks.training.stream", *sys.argv[1:]]),
        rows,
        {key: round(value, 3) for key, value in summary.items()},
    )


if __name__ == "__main__":
    main()
