"""Samples/s of the schedule and the reader as the store grows, and what a run waits for before its first step.

Synthetic features, some KiB a sample; nothing is kept in memory (data.cache_mib=0), so every sample is read from its
file each time. The smallest and the largest store are measured in turns, and the figure is the median of the pairs'
ratios: what else the machine does hits both. ``benchmarks/training/trainer.py`` runs it.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from actors.student.worker import Batches
from v4e.config import Config, Data, Run, tiny
from v4e.data.store.ids import training_ids
from v4e.data.store.paths import train_uri
from v4e.data.store.store import RolloutStore, Store, file_uri
from v4e.language.tasks import TASKS
from v4e.training.mixing import mix_of, mix_rows
from v4e.training.schedule import requests
from v4e.types import Sample

SIZES = (100, 1_000, 10_000, 100_000)
READ = 1_000  # samples of a measurement
PAIRS = 9
WEIGHTS = "color=2,tone=0.5"  # of the mixed schedule


def make_store(folder: str, count: int) -> Config:
    """A run with `count` triplets (texts alone), samples, rollouts and the index."""
    config = replace(tiny(), run=Run(dir=folder), data=Data(cache_mib=0))
    ids = [f"synthetic_task_{number:06d}" for number in range(count)]
    tasks = [TASKS[number % len(TASKS)] for number in range(count)]
    Path(folder, "triplets").mkdir(parents=True)
    table = pa.table({"omni_edit_id": ids, "task": tasks, "edited_prompt_list": [["make it red"]] * count})
    pq.write_table(table, train_uri(config))
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    store, rollouts = Store.create(config), RolloutStore.open(config)
    sample = Sample(
        id="",
        task="",
        z_i2v_CFHW=normal(16, 2, 4, 4),
        z_flf_CFHW=normal(16, 2, 4, 4),
        z_tail_CHW=normal(16, 4, 4),
        instruction_TD=normal(4, 64),
        evolution_TD=normal(8, 64),
        source_ID=normal(4, 64),
        edit_ID=normal(4, 64),
    )
    for sample_id, task in zip(ids[: len(TASKS)], tasks, strict=False):
        store.write(replace(sample, id=sample_id, task=task), instruction="make it red", caption="It turns red.")
        rollouts.write(sample_id, sample.z_i2v_CFHW)
    for folder in (store.samples, rollouts.uri):  # the others are copies: a file does not hold its sample's id
        firsts = [Path(file_uri(folder, key)).read_bytes() for key in ids[: len(TASKS)]]
        for number, key in enumerate(ids[len(TASKS) :]):
            Path(file_uri(folder, key)).write_bytes(firsts[number % len(TASKS)])
    store.write_index()
    return config


def start_up(config: Config) -> dict[str, float]:
    """Seconds of what train.py does with the store before the first step, and of its first forward."""
    marks = [time.perf_counter()]

    def lap() -> float:
        marks.append(time.perf_counter())
        return round(marks[-1] - marks[-2], 4)

    ids = training_ids(config)
    found = {"ids_s": lap()}
    assert not set(ids) - set(RolloutStore.open(config).ids())
    found["rollouts_s"] = lap()
    headers = Store.open(config).headers()
    mix_rows(mix_of(ids, config, headers), headers, config)
    found["plan_s"] = lap()
    next(iter(Batches(config, ((request, None) for request in requests(ids, config, first_step=0)))))
    return found | {"first_forward_s": lap(), "whole_s": round(marks[-1] - marks[0], 4)}


def schedule_us(ids: list[str], config: Config) -> float:
    """Microseconds a sample of the schedule alone, over whole epochs: each one's shuffling is in it."""
    per_step = config.optim.batch * config.optim.accumulate
    steps = max(len(ids), READ) // per_step
    endless = replace(config, optim=replace(config.optim, steps=2 * steps + 2))
    asked = requests(ids, endless, first_step=0)
    next(asked)  # the first epoch and the mix are of start_up
    start = time.perf_counter()
    for _ in range(steps * config.optim.accumulate):
        next(asked)
    return 1e6 * (time.perf_counter() - start) / (steps * per_step)


def read_us(ids: list[str], config: Config, first_step: int) -> tuple[float, float]:
    """Microseconds a sample of the reader, in the order of the run from `first_step` on; and of them, CPU time."""
    steps = READ // (config.optim.batch * config.optim.accumulate)
    endless = replace(config, optim=replace(config.optim, steps=first_step + steps))
    batches = Batches(config, ((request, None) for request in requests(ids, endless, first_step=first_step)))
    forwards = iter(batches)
    next(forwards)  # the first epoch is of start_up
    batches.io_s, start = 0.0, time.process_time()
    count = sum(len(batch.samples) for batch in forwards)
    return 1e6 * batches.io_s / count, 1e6 * (time.process_time() - start) / count


def measure(sizes: tuple[int, ...] = SIZES) -> tuple[list[dict], dict[str, float]]:
    """A row a size, and their summary."""
    with tempfile.TemporaryDirectory() as folder:
        runs, rows = {}, []
        for size in sizes:
            start = time.perf_counter()
            config = make_store(f"{folder}/{size}", size)
            made = time.perf_counter() - start
            ids = training_ids(config)
            runs[size] = ids, config
            mixed = replace(config, data=replace(config.data, weights=WEIGHTS))
            starts = [start_up(config) for _ in range(3)]
            rows.append(
                {"part": "store", "samples": size, "written_s": round(made, 1)}
                | {key: median(row[key] for row in starts) for key in starts[0]}
                | {
                    "schedule_us": round(median(schedule_us(ids, config) for _ in range(3)), 2),
                    "schedule_mixed_us": round(median(schedule_us(ids, mixed) for _ in range(3)), 2),
                    "read_us": [],
                }
            )
        shown = {row["samples"]: row for row in rows}
        for pair in range(PAIRS):
            for size in sizes if pair % 2 else sizes[::-1]:
                shown[size]["read_us"].append(read_us(*runs[size], first_step=pair * READ))
    for row in rows:
        wall, cpu = zip(*row.pop("read_us"), strict=True)
        row["us_a_sample"] = [round(us + row["schedule_us"], 1) for us in wall]
        row["cpu_us_a_sample"] = [round(us, 1) for us in cpu]
        row["samples_per_s"] = round(1e6 / median(row["us_a_sample"]), 1)

    def flat(name: str) -> float:
        return round(median(b / a for a, b in zip(rows[0][name], rows[-1][name], strict=True)), 3)

    key = f"flat_1e{len(str(sizes[-1])) - 1}_over_1e2"
    return rows, {
        key: flat("us_a_sample"),
        f"{key}_cpu": flat("cpu_us_a_sample"),
        "samples_per_s_largest": rows[-1]["samples_per_s"],
        "store_s_largest": rows[-1]["whole_s"],
        "store_s_smallest": rows[0]["whole_s"],
    }
