"""A run of the student at Wan2.1-14B's sizes on the pretended device: its steps, strips, checkpoints and export.

Functions of ``server``: each is run in a process of its own.
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import flash_attn
import numpy as np
import torch
from torch import Tensor
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.distributed.device_mesh import DeviceMesh
from torch.utils._pytree import tree_leaves

from actors.stream.packing import pack
from actors.stream.transport import Arrivals
from benchmarks.support.pretended import models
from benchmarks.support.pretended.device import replaced
from benchmarks.support.pretended.models import CUDA, EXPLAIN, config_of, ranks
from benchmarks.support.pretended.seen import Case
from benchmarks.support.pretended.watch import watched
from v4e.config import Config
from v4e.models import sizes
from v4e.parallel.fsdp import student_mesh
from v4e.parallel.local import local
from v4e.planning.frozen_memory import strips_bytes
from v4e.planning.memory import StudentMemory, student_memory
from v4e.planning.work import Reads
from v4e.training.student import Batch, StudentTrainer
from v4e.types import TeacherTarget
from v4e.watch import strips as strips_of
from v4e.weights import export
from v4e.weights.load import DTYPES, load_student


def trainer_of(config: Config, mesh: DeviceMesh | None) -> StudentTrainer:
    """A rank of a student's training. Call it inside of ``models.reading_nothing``."""
    dit = load_student(config, CUDA, mesh)
    vae = models.made_vae().to(CUDA) if config.tail.space == "pixel" else None
    return StudentTrainer(config, dit, device=CUDA, mesh=mesh, vae=vae)


def with_moments(trainer: StudentTrainer) -> None:
    """Makes AdamW's moments, which are there from the first step on."""
    for parameter in trainer.parameters:
        parameter.grad = torch.zeros_like(parameter)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad(set_to_none=True)


def arrived(batch: Batch) -> Batch:
    """`batch` with its target on the device, to which a thread of the stream brings it during the step before."""
    assert batch.target is not None
    return replace(batch, target=TeacherTarget(taps_KBND=Arrivals(CUDA).take(pack(batch.target.taps_KBND))))


def student(*arguments: str, layers: int = 2, world: int = 8, bad: bool = False) -> Case:
    """A later step of the student on one of `world` ranks; with `bad` one that has no finite loss."""
    config, parts = config_of((*arguments, f"train.workers={world}"), layers), {}
    of = models.transformer("i2v", layers)
    ranks(world)
    mesh = student_mesh(config.train, "cuda", world)
    with watched() as watch, models.reading_nothing(of):
        with watch.part() as parts["load"]:
            trainer = trainer_of(config, mesh)
            with_moments(trainer)
        models.collected()
        with watch.part() as parts["arrive"]:
            batches = [arrived(models.batch_of(config)) for _ in range(trainer.forwards)]
        watch.number = math.nan if bad else watch.number
        with watch.part(parts=EXPLAIN) as parts["step"]:
            metrics = trainer.step(batches.pop(0) for _ in range(trainer.forwards))
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
        host = watch.held["cpu"]
    plan = plan_of(config, layers)
    notes = {"metrics": metrics, "at peak": at_peak, "plan": vars(plan), "host": host}
    notes |= {"flash": sorted(flash_attn.SEEN)}
    return Case(parts=parts, planned=plan.total - plan.in_host_memory(config.train.offload), notes=notes)


def plan_of(config: Config, layers: int) -> StudentMemory:
    """The memory that is planned for a rank that trains a student of `layers` blocks."""
    frames, height, width = models.grid_of(config)
    reads = Reads(clip=frames * height * width // 4, text=512, image=models.IMAGE)
    dit = sizes.dit(models.transformer("i2v", layers))
    return student_memory(config, dit, reads, workers=config.train.workers, image_tokens=models.IMAGE)


def strips(*arguments: str, layers: int = 2, world: int = 8) -> Case:
    """The strips of a step, on the first of `world` ranks: one validation sample each."""
    config, parts = config_of((*arguments, f"train.workers={world}"), layers), {}
    of = models.transformer("i2v", layers)
    ranks(world)
    mesh = student_mesh(config.train, "cuda", world)
    data = config.data
    images = np.zeros((data.height, data.width, 3), np.uint8)
    triplets = [SimpleNamespace(id=str(n), task="color") for n in range(world)]
    written = {}
    with watched() as watch, models.reading_nothing(of):
        trainer = trainer_of(config, mesh)
        with_moments(trainer)
        sample = models.sample_of(config)
        files = {
            "validation": SimpleNamespace(
                validation=lambda run: run, triplets=lambda _: triplets, pixels=lambda *_: (images, images)
            ),
            "load_vae": lambda _: models.made_vae(),
            "UniPCMultistepScheduler": SimpleNamespace(from_pretrained=lambda *_, **__: models.unipc()),
            "Store": models.store_of(sample),
            "RolloutStore": models.store_of(sample.z_flf_CFHW),
        }
        with replaced(strips_of, **files):
            with watch.part() as parts["open"]:
                made = strips_of.Strips(config, CUDA, world=world)
            made._write = lambda _step, edits, *_: written.update(edits)
            models.collected()
            with watch.part() as parts["after"]:
                made.after(0, trainer.dit, trainer.ema)
    plan = plan_of(config, layers)
    planned = plan.total - plan.in_host_memory(config.train.offload) + strips_bytes(config, plan)
    shapes = {name: [image.shape for image in edits] for name, edits in written.items()}
    return Case(parts=parts, planned=planned, notes={"written": shapes})


def resume(*arguments: str, layers: int = 2, world: int = 8) -> Case:
    """Two checkpoints on one of `world` ranks, their copies in host memory, and a new run from them."""
    config, parts = config_of((*arguments, f"train.workers={world}"), layers), {}
    of = models.transformer("i2v", layers)
    ranks(world)
    mesh = student_mesh(config.train, "cuda", world)
    stager = BlockingAsyncStager(cache_staged_state_dict=True)
    with watched() as watch, models.reading_nothing(of):
        trainer = trainer_of(config, mesh)
        with_moments(trainer)
        for name in ("save", "save again"):  # memory for a copy is made once
            models.collected()
            with watch.part() as parts[name]:
                stager.stage(dict(trainer.state_dict()))
        del trainer
        models.collected()
        trainer = trainer_of(config, mesh)
        models.collected()
        with watch.part() as parts["load"]:
            state = trainer.state_dict()
            for tensor in tree_leaves(dict(state)):
                read(tensor)
            trainer.load_state_dict(state)
    plan = plan_of(config, layers)
    notes = {"plan": vars(plan)}
    return Case(parts=parts, planned=plan.total - plan.in_host_memory(config.train.offload), notes=notes)


@torch.no_grad()
def read(tensor: object) -> None:
    """Fills a tensor of a state as a checkpoint's reader does, from host memory."""
    if isinstance(tensor, Tensor):
        own = local(tensor.detach())
        own.copy_(torch.empty_like(own, device="cpu"))


def exported(*arguments: str, layers: int = 40) -> Case:
    """An export in ``models.dtype``: the files that it writes, and what a model that is loaded from them asks for."""
    config, parts = config_of(arguments, layers), {}
    of, dtype, files = models.transformer("i2v", layers), DTYPES[config.models.dtype], {}
    with TemporaryDirectory() as folder, watched() as watch:
        base, out = Path(folder, "base"), Path(folder, "out")
        (base / "transformer").mkdir(parents=True)
        (base / "transformer" / "config.json").write_text(json.dumps({"_class_name": "WanTransformer3DModel"} | of))
        whole = models.made_dit(config, "i2v", layers)
        shapes = {name: tuple(parameter.shape) for name, parameter in whole.named_parameters()}

        def write(tensors: dict[str, Tensor], file: Path, **_options: object) -> None:
            files[file.name] = {name: (tuple(one.shape), str(one.dtype)) for name, one in tensors.items()}

        names = {"saved_shapes": lambda *_: shapes, "load": lambda *_: None, "save_file": write}
        with replaced(export, **names), watch.part() as parts["export"]:
            export.export_pipeline(
                "",
                str(base),
                str(out),
                weights="ema",
                dtype=dtype,
                shard_bytes=config.export.shard_mb * 10**6,
                lora=config.lora,
                card="",
                positions=config.models.positions,
            )
        asked = {name: (tuple(one.shape), str(one.dtype)) for name, one in whole.named_parameters()}
    return Case(parts=parts, notes={"files": files, "asked": asked})
