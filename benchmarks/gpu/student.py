"""A short training of the tiny family in one process: encoders, teacher, student, moments, checkpoint. No Ray.

It computes in bfloat16 over float32 masters, sharded over a group of one.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width.
"""

import math
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from torch import Tensor

from benchmarks.gpu.editor import STUDENT
from benchmarks.gpu.sizes import Figures, GpuSize, device_of, distance, expect, inputs_of, written
from v4e.config import Config, tiny
from v4e.data.store.features import encode_samples
from v4e.data.store.header import Texts
from v4e.method.flow import draw, sample_seed, times
from v4e.method.inputs import noised, teacher_inputs
from v4e.method.sampler import euler
from v4e.models.dit import hidden_states, predict
from v4e.parallel.fsdp import student_mesh
from v4e.tiny.world import make_triplets
from v4e.training import checkpoint
from v4e.training.student import Batch, StudentTrainer
from v4e.types import Sample, TeacherTarget
from v4e.weights.frozen import load_frozen
from v4e.weights.load import load_dit, move

TEACHER = str(Path(STUDENT).with_name("tiny-wan-flf2v"))
SAMPLES, BATCH, STEPS = 8, 4, 16
BF16 = torch.bfloat16
SAME = 1e-3  # of a loss: kernels whose sums have no fixed order, such as a backward's on a GPU


def check(device: str, size: GpuSize) -> Figures:
    """Each part's figures; the losses of all variants fall."""
    on = device_of(device)
    with tempfile.TemporaryDirectory() as folder:
        backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=0, world_size=1)
        try:
            figures = {"FSDP against load_dit in bfloat16": as_loaded(size, on, Path(folder))}
            return figures | trained(on, Path(folder))
        finally:
            dist.destroy_process_group()


@torch.no_grad()
def as_loaded(size: GpuSize, device: torch.device, folder: Path) -> float:
    """Difference of the student as it is trained and as it is served, both in bfloat16: none is expected."""
    model = written(size, folder)
    taps, inputs = tuple(range(size.blocks)), inputs_of(size, "bfloat16", device)
    served = move(load_dit(model, BF16, fold_pad=False), device)
    u_BCFHW, h_KBND = predict(served, *inputs, taps=taps)
    del served
    student = trainer_of(settings(), load_dit(model, torch.float32, fold_pad=False), device).dit
    u, h = predict(student, *inputs, taps=taps, dtype=BF16)
    pairs = zip([u, *h], [u_BCFHW, *h_KBND], strict=True)
    return expect("FSDP against load_dit", max(distance(ours, theirs) for ours, theirs in pairs), 1e-3)


def trained(device: torch.device, folder: Path) -> Figures:
    """Losses of the variants, and what has to be equal among them."""
    run = settings()
    samples = encoded(run, device)
    batches = taught(run, samples, device)
    plain, figures = variant("native", run, batches, device, folder)
    again, found = variant("resumed", run, batches, device, folder, first=STEPS // 2)
    figures |= found
    worst = max(abs(ours / theirs - 1) for ours, theirs in zip(again, plain[STEPS // 2 :], strict=True))
    figures["resumed against uninterrupted"] = expect("a resumed run's losses", worst, SAME)
    host = replace(run, train=replace(run.train, offload="optimizer"))
    there, found = variant("moments in host memory", host, batches, device)
    figures |= found
    worst = max(abs(ours / theirs - 1) for ours, theirs in zip(there, plain, strict=True))
    figures["host against device"] = expect("losses with moments in host memory", worst, SAME)
    everything = replace(run, train=replace(run.train, offload="all", recompute="full"))
    figures |= variant("all in host memory", everything, batches, device)[1]
    if find_spec("peft") and find_spec("accelerate"):
        lora = replace(run, lora=replace(run.lora, rank=8), optim=replace(run.optim, lr=3e-3))
        figures |= variant("LoRA", lora, batches, device)[1]
    else:
        figures["LoRA"] = "not here: needs peft and accelerate"
    try:
        load_dit(STUDENT, BF16, "flash", fold_pad=False)
    except ValueError as error:
        figures["flash"] = f"not here: {str(error).splitlines()[0][:80]}"
    else:
        flash = replace(run, models=replace(run.models, attention="flash", fold_pad=False))
        figures |= variant("flash", flash, batches, device)[1]
    return figures


def settings() -> Config:
    """The tiny recipe, short and in bfloat16."""
    run = tiny()
    return replace(
        run,
        models=replace(run.models, student=STUDENT, teacher=TEACHER, dtype="bfloat16"),
        optim=replace(run.optim, lr=1e-3, batch=BATCH, accumulate=2, steps=2 * STEPS, warmup=0.0),
        train=replace(run.train, dtype="bfloat16"),
    )


def trainer_of(run: Config, dit: WanTransformer3DModel, device: torch.device) -> StudentTrainer:
    return StudentTrainer(run, dit, device=device, mesh=student_mesh(run.train, device.type, 1))


def variant(
    name: str, run: Config, batches: list[Batch], device: torch.device, folder: Path | None = None, *, first: int = 0
) -> tuple[list[float], Figures]:
    """Trains from step `first`, from the checkpoint in `folder` if that is not 0; returns losses and what to show.

    Without `first` half of the way is left in `folder` as a checkpoint.
    """
    models = run.models
    start = torch.float32 if not run.lora.rank else BF16
    dit = load_dit(models.student, start, models.attention, models.fold_pad)
    trainer = trainer_of(run, dit, device)
    if first:
        state = trainer.state_dict()
        checkpoint.load(f"{folder}/checkpoints", first, state)
        trainer.load_state_dict(state)
        assert trainer.step_count == first, f"the checkpoint is of step {trainer.step_count}, expected {first}"
    losses = []
    for step in range(first, STEPS):
        losses.append(trainer.step(batches[(2 * step + n) % len(batches)] for n in range(2))["loss"])
        if folder and not first and step + 1 == STEPS // 2:
            checkpoint.save(f"{folder}/checkpoints", step + 1, trainer.state_dict(), keep=1)
    begin, end = losses[0], losses[-1]
    assert all(map(math.isfinite, losses)) and end < begin, f"{name}: the loss went from {begin:.3g} to {end:.3g}"
    return losses, {f"{name}: loss": f"{begin:.4f} to {end:.4f}"}


def encoded(run: Config, device: torch.device) -> list[Sample]:
    """Triplets of the evolution world through the frozen encoders."""
    frozen = load_frozen(STUDENT, BF16)
    parts = {name: move(getattr(frozen, name), device) for name in ("vae", "text_encoder", "image_encoder")}
    records = list(islice(make_triplets("train", 1), SAMPLES))
    return encode_samples(
        replace(frozen, **parts),
        [record.id for record in records],
        [Texts(instruction=r.instruction, caption=r.caption, task=r.task) for r in records],
        np.stack([record.source for record in records]),
        np.stack([record.edit for record in records]),
        frames=run.data.frames,
        context=run.tail.context,
    )


@torch.no_grad()
def taught(run: Config, samples: list[Sample], device: torch.device) -> list[Batch]:
    """Batches with rollouts and targets of the teacher, as :class:`actors.teacher.actor.Teacher` computes them."""
    teacher = move(load_dit(TEACHER, BF16), device).eval()
    batches = []
    for at in range(0, SAMPLES, BATCH):
        some = samples[at : at + BATCH]
        inputs = teacher_inputs(some, run.teacher.text, device, BF16)

        def velocity(x_BCFHW: Tensor, t: float, inputs=inputs) -> Tensor:
            t_B = torch.full((BATCH,), t, device=device)
            return predict(teacher, x_BCFHW.to(BF16), t_B, inputs)[0].float()

        seeds = tuple(sample_seed(0, sample.id, 0) for sample in some)
        shape = some[0].z_flf_CFHW.shape
        start_BCFHW = torch.stack([draw(seed, shape, run.flow.shift)[1] for seed in seeds]).to(device)
        z_clip_BCFHW = euler(velocity, start_BCFHW, times(run.teacher.steps, run.flow.shift).tolist())
        z_clip_BCFHW[:, :, 0] = torch.stack([sample.z_i2v_CFHW[:, 0] for sample in some]).to(device)
        noise = noised(seeds, z_clip_BCFHW, run.flow.shift)
        taps_KBND = hidden_states(teacher, noise.x_t_BCFHW.to(BF16), noise.t_B, inputs, taps=run.kd.taps)
        target = TeacherTarget(taps_KBND=taps_KBND.cpu())
        batches.append(Batch(samples=tuple(some), seeds=seeds, z_clip_BCFHW=z_clip_BCFHW.cpu(), target=target))
    return batches
