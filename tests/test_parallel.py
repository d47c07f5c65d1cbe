"""The sharded student over real processes: it starts from its own rows, does the single process's step, and speaks no
more than it must."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from diffusers import WanTransformer3DModel
from synthetic import config
from test_student import CPU, make_batch, make_dit, make_trainer
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode

from v4e.config import Config, Train
from v4e.models.load import load_student
from v4e.parallel import shard_student, student_mesh
from v4e.student import StudentTrainer

RANKS = 4
STEPS = 3
FORWARDS = 8  # a step, over all ranks: two on each
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "groups of two": {"shard": 2},
    "replicas": {"shard": 1},
    "selective": {"recompute": "selective", "shard": 2},
    "offloaded": {"offload": "all", "recompute": "full"},
    "offloaded moments": {"offload": "optimizer"},
    "bfloat16": {"dtype": "bfloat16"},
}


def settings(**train: object) -> Config:
    return config(train={"workers": RANKS, **train}, optim={"accumulate": FORWARDS})


def run(trainer: StudentTrainer, rank: int) -> list[dict[str, float]]:
    """Ranks take the forwards of a step in turns, as v4e.schedule deals them."""
    forwards = range(rank, FORWARDS, trainer.world)
    return [trainer.step(make_batch(step, forward) for forward in forwards) for step in range(STEPS)]


def whole(tensors) -> torch.Tensor:
    return torch.cat([(t.full_tensor() if isinstance(t, DTensor) else t).detach().flatten() for t in tensors])


def rank_main(rank: int, folder: str, family: str) -> None:
    """Everything that is asked of a rank, in one process, since starting one takes seconds."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    found: dict[str, object] = {}
    for name, train in VARIANTS.items():
        mesh = student_mesh(settings(**train).train, "cpu", RANKS)
        trainer = StudentTrainer(settings(**train), make_dit(), device=CPU, mesh=mesh)
        metrics = run(trainer, rank)
        held = sum(p.to_local().numel() for p in trainer.parameters if isinstance(p, DTensor))
        weights, ema = whole(trainer.parameters), whole(trainer.ema.shadow.values())
        found[name] = {"metrics": metrics, "weights": weights, "ema": ema, "held": held}
    found["start"] = start_weights(family)
    found["traffic"] = traffic(rank)
    if rank == 0:
        torch.save(found, f"{folder}/found.pt")
    dist.destroy_process_group()


def start_weights(family: str) -> dict[str, object]:
    """Of a student that is started sharded: its weights and rotary tables, and those of one that goes on from them."""
    started = config(models={"student": family}, train={"workers": RANKS, "shard": 2, "dtype": "bfloat16"})
    mesh = student_mesh(started.train, "cpu", RANKS)
    dit = load_student(started, CPU, mesh)
    rope = torch.stack([dit.rope.freqs_cos, dit.rope.freqs_sin])
    return {"weights": {name: p.full_tensor() for name, p in dit.named_parameters()}, "rope": rope}


def traffic(rank: int) -> dict[str, dict[str, int]]:
    """Collectives of a first and a last forward with its backward, without and with a second dimension of the mesh."""
    counts = {}
    for shard in (0, 2):
        trainer = StudentTrainer(settings(shard=shard), make_dit(), device=CPU, mesh=_mesh(shard))
        run_step: Callable[[], object] = lambda: trainer.step(  # noqa: E731
            make_batch(0, forward) for forward in range(rank, FORWARDS, RANKS)
        )
        run_step()  # FSDP sets itself up in its first forward
        with CommDebugMode() as both:
            run_step()
        counts[str(shard)] = {str(op): n for op, n in both.get_comm_counts().items()}
    return counts


def _mesh(shard: int):
    return student_mesh(Train(workers=RANKS, shard=shard), "cpu", RANKS)


@pytest.fixture(scope="module")
def found(tmp_path_factory, random_family) -> dict:
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(rank_main, args=(str(folder), str(random_family / "tiny-wan-i2v")), nprocs=RANKS)
    return torch.load(folder / "found.pt", weights_only=True)


@pytest.mark.slow
def test_show(found):
    print(found["traffic"])
    for v in VARIANTS: print(v, found[v]["metrics"], found[v]["held"])
