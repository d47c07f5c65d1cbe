"""Tiny students in one process, without Ray: triplets to samples, a training, and the edits of what was trained."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from actors.student.worker import recordings
from actors.teacher.actor import Teacher, unipc
from actors.teacher.replica import load_sampler
from benchmarks.training.payload import batch_of
from pipelines.stages.rollout import draw_lines
from v4e.config import Config
from v4e.data.store.features import encode_samples
from v4e.data.store.store import RolloutStore, Store, Texts
from v4e.data.write import Triplet
from v4e.method.flow import sample_seed
from v4e.method.inputs import student_inputs
from v4e.method.sampler import sample
from v4e.models.encoders import decode_clip, to_images
from v4e.training.path import OwnPath
from v4e.training.schedule import requests
from v4e.training.student import Batch, StudentTrainer
from v4e.types import Sample, TargetRequest
from v4e.weights.frozen import Frozen
from v4e.weights.load import load_student

CPU = torch.device("cpu")
BATCH = 20  # samples in a call


class WorldTriplet(Triplet, Protocol):
    """A triplet of either world with its caption."""

    @property
    def caption(self) -> str: ...


def encoded(config: Config, frozen: Frozen, records: Sequence[WorldTriplet]) -> list[Sample]:
    """Returns the records as samples, with the world's own captions."""
    found = []
    for at in range(0, len(records), BATCH):
        part = records[at : at + BATCH]
        images = np.stack([np.asarray(r.source) for r in part]), np.stack([np.asarray(r.edit) for r in part])
        how = {"frames": config.data.frames, "context": config.tail.context}
        found += encode_samples(frozen, [r.id for r in part], [texts_of(r) for r in part], *images, **how)
    return found


def texts_of(record: WorldTriplet) -> Texts:
    return Texts(instruction=record.instruction, caption=record.caption, task=record.task)


def write(config: Config, frozen: Frozen, records: Sequence[WorldTriplet]) -> None:
    """Makes the store of `config` with all records."""
    store = Store.create(config)
    for one, record in zip(encoded(config, frozen, records), records, strict=True):
        store.write(one, instruction=record.instruction, caption=record.caption)


def clips(config: Config) -> RolloutStore:
    """Makes the clips of `config` that are missing."""
    rollouts = RolloutStore.open(config)
    missing = sorted({*Store.open(config).ids()} - {*rollouts.ids()})
    if missing and config.teacher.clip == "line":
        draw_lines(config, missing, rollouts)
    elif missing:
        sampler = load_sampler(config, None)
        for at in range(0, len(missing), BATCH):
            keys = tuple(missing[at : at + BATCH])
            for key, z_clip_CFHW in zip(keys, sampler.rollouts(keys), strict=True):
                rollouts.write(key, z_clip_CFHW)
    return rollouts


def trained(config: Config) -> StudentTrainer:
    """Trains a student on the store and rollouts of `config`; its weights are their moving average."""
    trainer = StudentTrainer(config, load_student(config, CPU, None), device=CPU)
    teacher, ids = Teacher(config), Store.open(config).ids()
    asked = requests(ids, config, first_step=0)
    if config.distill.states != "rollout":
        asked = OwnPath(asked, trainer, teacher.sample, recordings(config, ids, teacher.sample))
    for request in asked:
        trainer.step([batch_of(teacher, request)[0] if config.kd.weight else without_target(teacher, request)])
    trainer.dit.load_state_dict(trainer.ema.shadow)
    return trainer


def without_target(teacher: Teacher, request: TargetRequest) -> Batch:
    """Returns the student's inputs for a request that asks nothing."""
    return Batch(
        samples=tuple(teacher.sample(key) for key in request.sample_ids),
        seeds=request.seeds,
        z_clip_BCFHW=torch.stack([teacher.rollout(key) for key in request.sample_ids]),
        target=None,
    )


@torch.no_grad()
def edits(
    config: Config, trainer: StudentTrainer, frozen: Frozen, samples: Sequence[Sample], *, steps: int = 0, draw: int = 0
) -> list[np.ndarray]:
    """Returns the student's edit of each sample, uint8 (S, S, 3), in `steps` steps or those of ``sample.steps``."""
    scheduler = unipc(config.models.student)
    found, dit = [], trainer.dit.eval()
    for at in range(0, len(samples), BATCH):
        part = samples[at : at + BATCH]
        z_BCFHW = sample(
            dit,
            student_inputs(part, CPU, torch.float32),
            seeds=[sample_seed(config.run.seed, s.id, 0, draw) for s in part],
            steps=steps or config.sample.steps,
            shift=config.flow.shift,
            solver=config.sample.solver,
            middle_steps=config.sample.middle_steps,
            scheduler=scheduler,
        )
        found += [np.asarray(image) for image in to_images(decode_clip(frozen.vae, z_BCFHW)[:, :, -1])]
    return found
