"""The trainer against a bare PyTorch loop, communication, checkpoints, waits of a run; its memory is in plan.py.

Steps of the tiny recipe and of a student of 55 M parameters take turns with a minimal loop. It trains the same model
on the same batch. That loop is forward, mean square, backward, clipping, fused AdamW. At two ranks, one thread
each, sharded steps take turns with steps of two students that know nothing of each other. At last it measures the
time from the command `python pipelines/train.py` to its first step on record, and the reader on stores of many sizes
(benchmarks/data/store_scaling.py).
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import WanTransformer3DModel
from torch.distributed.device_mesh import init_device_mesh

from benchmarks.data import store_scaling
from benchmarks.support.random_student import batch_of, wan, write_checkpoint
from benchmarks.support.result import write_result
from benchmarks.support.watched import first_step
from benchmarks.training.payload import prepare
from benchmarks.training.student_memory import CPU, IMAGE, RANKS, meet
from v4e.config import KD, Config, Models, Optim, Train, tiny
from v4e.files.uri import read_json, write_json_atomic
from v4e.method.inputs import noised, student_inputs
from v4e.models import sizes
from v4e.models.dit import predict
from v4e.parallel.fsdp import student_mesh
from v4e.training.checkpoint import Saver
from v4e.training.student import Batch, StudentTrainer
from v4e.weights.load import load_student

WARM, ROUNDS = 3, 40  # steps before the clock, pairs of steps; a tenth of them for the larger model
SAVES, STARTS = 5, 3  # checkpoints, runs of train.py


def bare_loop(dit: WanTransformer3DModel, config: Config, batch: Batch) -> Callable[[], object]:
    """A step that knows neither teacher nor tail, noise drawn and inputs made beforehand."""
    noise = noised(batch.seeds, batch.z_clip_BCFHW, config.flow.shift)
    inputs = student_inputs(batch.samples, CPU, torch.float32)
    optimizer = torch.optim.AdamW(dit.train().parameters(), lr=config.optim.lr, fused=True)

    def step() -> None:
        u_BCFHW, _ = predict(dit, noise.x_t_BCFHW, noise.t_B, inputs)
        (u_BCFHW - batch.z_clip_BCFHW).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(dit.parameters(), config.optim.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def in_turns(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each of `steps`, which take turns; ranks of a group start each together."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(WARM + rounds):
        for name, step in steps.items():
            if dist.is_initialized():
                dist.barrier()
            start = time.perf_counter()
            step()
            if number >= WARM:
                taken[name].append(1000 * (time.perf_counter() - start))
    return {f"{name}_ms": round(median(times), 2) for name, times in taken.items()}


def timed_models(folder: Path) -> list[tuple[str, Config, dict, int, int, int]]:
    """Name, config, transformer, side of the latents, image tokens and rounds of each."""
    large = Config(
        recipe="large", models=Models(student=str(folder / "4-12")), optim=Optim(accumulate=1), kd=KD(taps=(3, 7, 11))
    )
    small = tiny()
    transformer = dict(sizes.pipeline(small.models.student, "models.student").transformer)
    return [("tiny", small, transformer, 8, 17, ROUNDS), ("55M", large, wan(4, 12), 32, IMAGE, ROUNDS // 10)]


def time_alone(rank: int, folder: str) -> None:
    """One process: the trainer as one worker has it, the trainer over a mesh of one, the bare loop."""
    torch.set_num_threads(1)
    rows = []
    meet(rank, 1, f"{folder}/meet-alone")
    for name, config, transformer, side, image_tokens, rounds in timed_models(Path(folder)):
        batch = batch_of(config, transformer, side, image_tokens)
        trainers = {
            kind: StudentTrainer(config, load_student(config, CPU, mesh), device=CPU, mesh=mesh)
            for kind, mesh in (("trainer", None), ("sharded", init_device_mesh("cpu", (1,))))
        }
        steps = {"bare": bare_loop(load_student(config, CPU, None), config, batch)}
        steps |= {
            kind: lambda trainer=trainer, batch=batch: trainer.step([batch]) for kind, trainer in trainers.items()
        }
        rows.append({"part": "alone", "model": name, **in_turns(steps, rounds)})
    dist.destroy_process_group()
    write_json_atomic(f"{folder}/alone.json", rows)


def time_together(rank: int, folder: str) -> None:
    """Two processes: steps that are sharded over them, and steps of two students that know nothing of each other."""
    torch.set_num_threads(1)
    rows = []
    meet(rank, RANKS, f"{folder}/meet-together")
    for name, config, transformer, side, image_tokens, rounds in timed_models(Path(folder)):
        batch = batch_of(config, transformer, side, image_tokens)
        alone = StudentTrainer(config, load_student(config, CPU, None), device=CPU)
        both = replace(config, optim=replace(config.optim, accumulate=RANKS), train=Train(workers=RANKS))
        mesh = student_mesh(both.train, "cpu", RANKS)
        sharded = StudentTrainer(both, load_student(both, CPU, mesh), device=CPU, mesh=mesh)
        steps = {"alone": partial(alone.step, [batch]), "sharded": partial(sharded.step, [batch])}
        rows.append({"part": "together", "model": name, **in_turns(steps, rounds)})
    dist.destroy_process_group()
    if rank == 0:
        write_json_atomic(f"{folder}/together.json", rows)


def time_saving(rank: int, folder: str) -> None:
    """One process: how long the loop waits for a checkpoint, and how long writing it takes."""
    torch.set_num_threads(1)
    meet(rank, 1, f"{folder}/meet-saving")
    _, config, *_ = timed_models(Path(folder))[-1]
    trainer = StudentTrainer(config, load_student(config, CPU, None), device=CPU)
    saver = Saver(f"{folder}/checkpoints", config)
    waits, wholes = [], []
    for step in range(1, 1 + SAVES):
        start = time.perf_counter()
        saver.save(step, trainer.state_dict())
        waits.append(1000 * (time.perf_counter() - start))
        saver.wait()
        wholes.append(1000 * (time.perf_counter() - start))
    dist.destroy_process_group()
    row = {
        "part": "checkpoint",
        "model": "55M",
        "waited_ms": round(median(waits), 1),
        "whole_ms": round(median(wholes), 1),
    }
    write_json_atomic(f"{folder}/saving.json", [row])


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_checkpoint(folder / "4-12", wan(4, 12))
        mp.spawn(time_alone, args=(name,), nprocs=1)
        mp.spawn(time_together, args=(name,), nprocs=RANKS)
        mp.spawn(time_saving, args=(name,), nprocs=1)
        rows += [row for part in ("alone", "together", "saving") for row in read_json(f"{name}/{part}.json")]
        config = tiny()
        config = replace(config, data=replace(config.data, store=f"{name}/store"))
        prepare(config)
        starts = [first_step(f"{name}/start-{number}", config.data.store).seconds for number in range(STARTS)]
    stores, flat = store_scaling.measure()
    for row in rows:
        if row["part"] == "alone":
            row["ratio"] = round(row["trainer_ms"] / row["bare_ms"], 3)
            row["sharded_ratio"] = round(row["sharded_ms"] / row["bare_ms"], 3)
        elif row["part"] == "together":
            row["communication_share"] = round(1 - row["alone_ms"] / row["sharded_ms"], 3)
    by = {(row["part"], row.get("model")): row for row in rows}
    saved = by["checkpoint", "55M"]
    write_result(
        "trainer",
        "python -m benchmarks.training.trainer",
        [*rows, {"part": "start", "first_step_s": starts}, *stores],
        {
            "ratio_to_bare_loop": by["alone", "tiny"]["ratio"],
            "ratio_to_bare_loop_55m": by["alone", "55M"]["ratio"],
            "communication_share_2": by["together", "tiny"]["communication_share"],
            "communication_share_2_55m": by["together", "55M"]["communication_share"],
            "checkpoint_waited_share": round(saved["waited_ms"] / saved["whole_ms"], 3),
            "first_step_s": median(starts),
            **flat,
        },
    )


if __name__ == "__main__":
    main()
