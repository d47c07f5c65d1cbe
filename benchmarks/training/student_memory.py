"""The memory of a rank of a sharded student, measured beside the plan of v4e/planning/memory.py.

A process holds more than its student: its imports, and what torch loads and keeps from the first step on. That is
measured on a student so small that its own bytes hardly count, and has to explain the peaks of larger ones. A
process's whole resident memory is compared with that and the plan. benchmarks/training/plan.py writes the results.
"""

import gc
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from actors.cluster import WORKER_ENV
from benchmarks.support.random_student import TEXT, batch_of, wan, write_checkpoint
from benchmarks.support.resident import clear_peak, resident_mib
from v4e.config import KD, Config, Models, Optim, Train
from v4e.files.uri import read_json, write_json_atomic
from v4e.models import sizes
from v4e.parallel.fsdp import student_mesh
from v4e.planning.memory import parameter_count, student_memory
from v4e.planning.work import Reads
from v4e.training.student import StudentTrainer
from v4e.weights.load import load_student

CPU = torch.device("cpu")
RANKS = 2
IMAGE = 257  # tokens of one
# Heads of 128, blocks, side of the latents, steps, and what differs from the defaults of `train`. The first is the
# process itself.
STUDENTS = [
    (1, 12, 8, 2, {}),
    (4, 12, 32, 2, {}),
    (6, 12, 32, 2, {}),
    (8, 12, 32, 2, {}),
    (8, 12, 32, 2, {"recompute": "selective"}),
    (8, 12, 32, 2, {"recompute": "full"}),
    (4, 12, 32, 2, {"dtype": "bfloat16"}),  # wider ones have no gradient on a CPU with AMX, see docs/limits.md
    (12, 14, 32, 2, {}),
    (16, 15, 32, 0, {}),  # its start alone: a step takes more memory than a small machine has
]


def peak_of_a_rank(rank: int, folder: str, number: int) -> None:
    """Starts a sharded student, takes its steps, and writes down what that took and what was planned."""
    torch.set_num_threads(1)
    meet(rank, RANKS, f"{folder}/meet-{number}")
    heads, blocks, side, steps, train = STUDENTS[number]
    transformer = wan(heads, blocks)
    config = Config(
        recipe="rss",
        models=Models(student=f"{folder}/{heads}-{blocks}"),
        optim=Optim(accumulate=RANKS, steps=max(1, steps)),
        kd=KD(taps=(3, 7, 11)),
        train=Train(workers=RANKS, **train),
    )
    reads = Reads(clip=side * side // 2, text=TEXT, image=IMAGE)
    plan = student_memory(config, sizes.dit(transformer), reads, workers=RANKS, image_tokens=IMAGE)
    gc.collect()
    before = resident_mib("VmRSS")
    clear_peak()
    start = time.perf_counter()
    mesh = student_mesh(config.train, "cpu", RANKS)
    trainer = StudentTrainer(config, load_student(config, CPU, mesh), device=CPU, mesh=mesh)
    row = {
        "part": "memory",
        "parameters": parameter_count(sizes.dit(transformer), IMAGE),
        "rank": rank,
        **{key: getattr(config.train, key) for key in ("recompute", "dtype")},
        "before_mib": round(before, 1),
        "start_s": round(time.perf_counter() - start, 2),
        "start_planned_mib": round((plan.weights + plan.ema) / 2**20, 1),
        "start_peak_mib": round(resident_mib("VmHWM") - before, 1),
    }
    batch = batch_of(config, transformer, side, IMAGE)
    for _ in range(steps):
        if "skipped" in trainer.step([batch]):
            raise RuntimeError(f"{heads} heads, {train}: a step was skipped, so the moments are not there")
    if steps:
        row["planned_mib"] = round(plan.total / 2**20, 1)
        row["peak_mib"] = round(resident_mib("VmHWM") - before, 1)
    write_json_atomic(f"{folder}/rss-{number}-{rank}.json", row)
    dist.destroy_process_group()


def measure() -> list[dict]:
    """A row a rank and student. Larger students' also have the whole process's peak, and what was planned for it."""
    rows = []
    os.environ["MALLOC_MMAP_THRESHOLD_"] = WORKER_ENV["MALLOC_MMAP_THRESHOLD_"]  # read when a process starts
    with tempfile.TemporaryDirectory() as name:
        for number, (heads, blocks, *_) in enumerate(STUDENTS):
            if not Path(name, f"{heads}-{blocks}").exists():
                write_checkpoint(Path(name, f"{heads}-{blocks}"), wan(heads, blocks))
            mp.spawn(peak_of_a_rank, args=(name, number), nprocs=RANKS)
            rows += [read_json(f"{name}/rss-{number}-{rank}.json") for rank in range(RANKS)]
            print(*rows[-RANKS:], sep="\n", flush=True)
    smallest, larger = rows[:RANKS], rows[RANKS:]
    process = sum(row["before_mib"] + row["peak_mib"] - row["planned_mib"] for row in smallest) / RANKS
    for row in (row for row in larger if "peak_mib" in row):
        row["whole_mib"] = round(row["before_mib"] + row["peak_mib"], 1)
        row["whole_planned_mib"] = round(process + row["planned_mib"], 1)
    return rows


def meet(rank: int, size: int, file: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=size)
