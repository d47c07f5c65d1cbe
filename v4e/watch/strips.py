"""The strips of a run: source · student · EMA · teacher · target on the validation samples, every few steps.

All ranks call :meth:`Strips.after` at every step. A sharded model is never gathered. Each rank edits its part of the
samples with the sharded model itself, while the EMA's values are swapped in. Rank 0 writes the pictures.

Shape letters: N samples, B batch, C latent channels, F latent frames, H W latent height and width, P pixel frames.
h w are pixels.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from v4e.config import Config
from v4e.data.store.store import RolloutStore, Store
from v4e.evaluation.metrics.exact import score, summarize
from v4e.files.journal import Record
from v4e.files.pictures import png
from v4e.files.uri import write_atomic
from v4e.method.flow import sample_seed
from v4e.method.inputs import student_inputs
from v4e.method.sampler import sample
from v4e.models.encoders import decoded, to_images
from v4e.parallel.local import local
from v4e.training.ema import EMA
from v4e.watch import validation
from v4e.watch.files import add_to_curves, rewind, strip_uri
from v4e.watch.picture import rows
from v4e.weights.frozen import empty_prompt, load_vae
from v4e.weights.load import DTYPES, move

FIGURES = ("success", "edit_l1", "preserve_psnr")


class Strips:
    """The validation samples, ready to be edited on this rank's device. Make one with :meth:`open`."""

    def __init__(self, config: Config, device: torch.device, *, rank: int = 0, world: int = 1) -> None:
        self.config, self.device, self.rank, self.world = config, device, rank, world
        self.dtype = DTYPES[config.train.dtype]
        chosen = validation.validation(config)
        self.triplets = validation.triplets(config)
        folder = config.models.student
        self.vae = move(load_vae(folder), device)
        self.scheduler = cast(
            UniPCMultistepScheduler, UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
        )
        self.mine = [n % len(self.triplets) for n in range(rank, -(-len(self.triplets) // world) * world, world)]
        store, rollouts = Store.open(chosen), RolloutStore.open(chosen)
        self.samples = [store.read(self.triplets[n].id) for n in self.mine]
        self.empty_TD = empty_prompt(folder, DTYPES[config.models.dtype]) if config.sample.guidance != 1 else None
        pairs = [validation.pixels(triplet, config) for triplet in self.triplets]
        self.sources, self.targets = [source for source, _ in pairs], [target for _, target in pairs]
        z_teacher_NCFHW = torch.stack([rollouts.read(self.triplets[n].id) for n in self.mine])
        self.teachers = self._gather(self._decode(z_teacher_NCFHW))

    @classmethod
    def open(cls, config: Config, device: torch.device, *, step: int, rank: int = 0, world: int = 1) -> "Strips | None":
        """The strips of a run that goes on from `step`, or None where there are none to make.

        What an earlier attempt wrote of later steps is dropped.
        """
        if rank == 0:
            rewind(config, step)
        if config.watch.samples_every == 0 or not validation.ready(config):
            return None
        return cls(config, device, rank=rank, world=world)

    def due(self, step: int) -> bool:
        """Returns whether this step has a strip: the start, every ``watch.samples_every`` and the end have one."""
        return step % self.config.watch.samples_every == 0 or step == self.config.optim.total

    def after(self, step: int, dit: WanTransformer3DModel, ema: EMA) -> float:
        """Makes the strip of `step` if it is due; the seconds that took. Changes nothing about the training."""
        if not self.due(step):
            return 0.0
        start, decode_s = time.perf_counter(), 0.0
        edits = {}
        z_student_NCFHW = self.edit(dit)
        with averaged(dit, ema):
            z_ema_NCFHW = self.edit(dit)
        for name, z_NCFHW in (("student", z_student_NCFHW), ("ema", z_ema_NCFHW)):
            before = time.perf_counter()
            frames = self._decode(z_NCFHW)
            decode_s += time.perf_counter() - before
            edits[name] = self._gather(frames)
        if self.rank == 0:
            self._write(step, edits, start, decode_s)
        return time.perf_counter() - start

    def edit(self, dit: WanTransformer3DModel) -> Tensor:
        """Clip latents z_NCFHW of this rank's samples by `dit`, which may be sharded: then all ranks call this."""
        settings, size = self.config.sample, self.config.eval.batch
        parts = []
        for at in range(0, len(self.samples), size):
            batch = self.samples[at : at + size]
            parts.append(
                sample(
                    dit,
                    student_inputs(batch, self.device, self.dtype),
                    seeds=[sample_seed(self.config.run.seed, s.id, 0) for s in batch],  # evaluation's
                    steps=settings.steps,
                    shift=self.config.flow.shift,
                    solver=settings.solver,
                    middle_steps=settings.middle_steps,
                    scheduler=self.scheduler,
                    guidance=settings.guidance,
                    empty=None if self.empty_TD is None else [self.empty_TD.to(self.device, self.dtype)] * len(batch),
                    dtype=self.dtype,
                )
            )
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        _reshard(dit)
        return torch.cat(parts)

    @torch.no_grad()
    def _decode(self, z_NCFHW: Tensor) -> np.ndarray:
        """The last frame of each clip, uint8 (N, h, w, 3)."""
        lasts = [part[:, :, -1] for part in decoded(self.vae, z_NCFHW.to(self.device, self.vae.dtype))]
        return np.stack([np.asarray(image) for image in to_images(torch.cat(lasts))])

    def _gather(self, mine: np.ndarray) -> list[np.ndarray]:
        """The frames of all samples, from all ranks."""
        if self.world == 1:
            return list(mine)
        frames = torch.from_numpy(mine).to(self.device)
        all_ranks = [torch.empty_like(frames) for _ in range(self.world)]
        dist.all_gather(all_ranks, frames)
        return [all_ranks[n % self.world][n // self.world].cpu().numpy() for n in range(len(self.triplets))]

    def _write(self, step: int, edits: dict[str, list[np.ndarray]], start: float, decode_s: float) -> None:
        columns = {
            "source": self.sources,
            "student": edits["student"],
            "EMA": edits["ema"],
            "teacher": self.teachers,
            "target": self.targets,
        }
        write_atomic(strip_uri(self.config, step), png(rows(columns, [t.task for t in self.triplets])))
        record: Record = {"step": step}
        for name, images in {**edits, "teacher": self.teachers, "source": self.sources}.items():
            record |= {f"{key}_{name}": value for key, value in self.figures(images).items()}
        seconds = time.perf_counter() - start
        add_to_curves(self.config, record | {"seconds": seconds, "decode_s": decode_s})

    def figures(self, images: list[np.ndarray]) -> dict[str, float]:
        """Means over the samples: success, L1 inside the edit, PSNR outside it. The edit is where source and target
        differ; where it covers all images there is no outside, and no PSNR."""
        threshold = self.config.eval.preserve_db
        scores = [
            score(triplet.task, source, target, image, threshold)
            for triplet, source, target, image in zip(self.triplets, self.sources, self.targets, images, strict=True)
        ]
        overall = summarize(scores)["overall"]
        return {key: overall[key] for key in FIGURES if overall[key] is not None}


@contextmanager
def averaged(dit: WanTransformer3DModel, ema: EMA) -> Iterator[None]:
    """`dit` with the moving average for weights. Values are swapped in place and back, rank by rank: exact, and in the
    memory of one tensor more."""
    _swap(dit, ema)
    try:
        yield
    finally:
        _swap(dit, ema)


@torch.no_grad()
def _swap(dit: WanTransformer3DModel, ema: EMA) -> None:
    for name, parameter in dit.named_parameters():
        if name in ema.shadow:
            weights, average = local(parameter.detach()), local(ema.shadow[name])
            held = weights.clone()
            weights.copy_(average)
            average.copy_(held)


def _reshard(dit: WanTransformer3DModel) -> None:
    """Lets go of gathered weights: FSDP keeps the root's after a forward, and would use them again when swapped."""
    for module in dit.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
