"""Two ranks against one: tensor parallelism of the teacher, and two sharded steps of the student. NCCL on GPUs."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import DeviceMesh

from benchmarks.gpu.sizes import BF16, FLOAT32, Absent, Figures, GpuSize, distance, expect, inputs_of, written
from benchmarks.support.random_student import batch_of
from v4e.config import KD, Config, Models, Optim, Train
from v4e.files.uri import read_json, write_json_atomic
from v4e.models.dit import predict
from v4e.parallel.fsdp import student_mesh
from v4e.training.student import StudentTrainer
from v4e.weights.load import DTYPES, load_dit, load_student, move

RANKS, STEPS = 2, 2
LOSS = 1e-3  # of a loss: batches of two ranks are averaged in another order


def check_tp(device: str, size: GpuSize) -> Figures:
    """Velocity and taps of a split DiT against the whole one."""
    found = on_ranks(device, size, tp_rank)
    for dtype, most in (("float32", FLOAT32), ("bfloat16", BF16)):
        expect(f"the error of tp={RANKS} in {dtype}", float(found[f"{dtype} error"]), most)
    return found


def check_fsdp(device: str, size: GpuSize) -> Figures:
    """Losses of a sharded student in bfloat16 over float32 masters against one rank's."""
    found = on_ranks(device, size, fsdp_rank)
    expect("the difference of a loss", float(found["loss difference"]), LOSS)
    return found


def on_ranks(device: str, size: GpuSize, main: Callable[[int, str, GpuSize, str], None]) -> Figures:
    """Returns what rank 0 of two wrote.

    Raises:
        Absent: there are not as many GPUs.
    """
    if device == "cuda" and torch.cuda.device_count() < RANKS:
        raise Absent(f"needs {RANKS} GPUs, found {torch.cuda.device_count()}")
    with tempfile.TemporaryDirectory() as folder:
        written(size, Path(folder, "model"))
        mp.spawn(main, args=(device, size, folder), nprocs=RANKS)
        return read_json(f"{folder}/figures.json")


def meet(rank: int, device: str, folder: str) -> torch.device:
    """Joins the other rank; this one's device."""
    torch.set_num_threads(1)
    on = torch.device("cuda", rank) if device == "cuda" else torch.device("cpu")
    if device == "cuda":
        torch.cuda.set_device(on)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "cpu:gloo"
    dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    return on


@torch.inference_mode()
def tp_rank(rank: int, device: str, size: GpuSize, folder: str) -> None:
    """One rank of the teacher."""
    on, taps, figures = meet(rank, device, folder), tuple(range(size.blocks)), {}
    for dtype in DTYPES:
        inputs = inputs_of(size, dtype, on)
        outputs = []
        for group in (None, dist.group.WORLD):
            model = move(load_dit(f"{folder}/model", DTYPES[dtype], fold_pad=False, group=group), on)
            u_BCFHW, h_KBND = predict(model, *inputs, taps=taps)
            outputs.append([u_BCFHW, *h_KBND])
            del model
        figures[f"{dtype} error"] = max(distance(split, whole) for whole, split in zip(*outputs, strict=True))
    if rank == 0:
        write_json_atomic(f"{folder}/figures.json", figures)
    dist.destroy_process_group()


def fsdp_rank(rank: int, device: str, size: GpuSize, folder: str) -> None:
    """One rank of the student, which then takes both ranks' steps alone."""
    on, losses = meet(rank, device, folder), []
    torch.manual_seed(2)
    for world, batches in ((RANKS, slice(rank, rank + 1)), (1, slice(0, RANKS))):
        config = Config(
            recipe="gpu-check",
            models=Models(student=f"{folder}/model", fold_pad=False),
            optim=Optim(accumulate=RANKS, steps=10, warmup=0.0),
            kd=KD(taps=tuple(range(size.blocks))),
            train=Train(workers=world, dtype="bfloat16", recompute="full"),
        )
        torch.manual_seed(3)
        both = [batch_of(config, size.transformer, size.side, size.image_tokens) for _ in range(RANKS)]
        mesh = student_mesh(config.train, on.type, RANKS) if world == RANKS else alone(rank, on.type)
        trainer = StudentTrainer(config, load_student(config, on, mesh), device=on, mesh=mesh)
        losses.append([trainer.step(both[batches])["loss"] for _ in range(STEPS)])
        del trainer
    differences = [abs(ours / theirs - 1) for ours, theirs in zip(*losses, strict=True)]
    if rank == 0:
        write_json_atomic(f"{folder}/figures.json", {"loss": losses[0][-1], "loss difference": max(differences)})
    dist.destroy_process_group()


def alone(rank: int, device_type: str) -> DeviceMesh:
    """A mesh of this rank only: all ranks make all of them."""
    meshes = [DeviceMesh(device_type, torch.tensor([number]), mesh_dim_names=("shard",)) for number in range(RANKS)]
    return meshes[rank]
