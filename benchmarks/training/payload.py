"""The effect of a lighter target on L_kd and its gradient: fp8 and tail-only against bf16, and bf16 against float32.

The tiny family runs on the evolution world, one forward after the other. Samples, noise and student are the same, and
only the target differs. It is measured twice, at the student's start weights and after some steps of training. The
closer the student is to the teacher, the more of L_kd is rounding. `python -m benchmarks.training.payload [steps]`.
"""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from actors.stream.packing import pack, unpack
from actors.teacher.actor import Teacher
from benchmarks.support.result import write_result
from v4e.config import Config, Run, tiny
from v4e.data.store.features import encode_samples
from v4e.data.store.store import RolloutStore, Store, Texts
from v4e.method.losses import kd_tokens
from v4e.tiny.world import make_triplets
from v4e.training.schedule import requests
from v4e.training.student import Batch, StudentTrainer
from v4e.types import TargetRequest, TeacherTarget
from v4e.weights.frozen import load_frozen
from v4e.weights.load import load_dit

CPU = torch.device("cpu")
PER_TASK = 2  # triplets
FORWARDS = 11  # of 8 samples: each triplet four times, at other times t
TARGETS = {  # name to teacher.tokens and the number format that the taps go through
    "fp32": ("all", None),
    "bf16": ("all", "bf16"),
    "fp8": ("all", "fp8"),
    "tail_bf16": ("tail", "bf16"),
    "tail_fp8": ("tail", "fp8"),
}
AGAINST = {"bf16": "fp32", "fp8": "bf16", "tail_bf16": "bf16", "tail_fp8": "tail_bf16"}


@torch.inference_mode()
def prepare(config: Config) -> Teacher:
    """Fills the store of `config` with world triplets and their rollouts."""
    records = list(make_triplets("train", PER_TASK))
    texts = [Texts(instruction=r.instruction, caption=r.caption, task=r.task) for r in records]
    source, edit = np.stack([r.source for r in records]), np.stack([r.edit for r in records])
    frozen = load_frozen(config.models.student, torch.float32)
    samples = encode_samples(
        frozen,
        [r.id for r in records],
        texts,
        source,
        edit,
        frames=config.data.frames,
        context=config.tail.context,
    )
    store = Store.create(config)
    for sample in samples:
        store.write(sample)
    teacher = Teacher(config)
    ids = tuple(store.ids())
    rollouts = RolloutStore.open(config)
    for sample_id, z_clip_CFHW in zip(ids, teacher.rollouts(ids), strict=True):
        rollouts.write(sample_id, z_clip_CFHW)
    return teacher


def measure(trainer: StudentTrainer, teacher: Teacher, request: TargetRequest) -> dict[str, tuple[Tensor, Tensor, int]]:
    """L_kd, its gradient by all of the student's weights, and the target's bytes, for each of TARGETS."""
    batch, taps_KBND = batch_of(teacher, request)
    found = {}
    config = trainer.config
    for name, (tokens, payload) in TARGETS.items():
        trainer.config = replace(config, teacher=replace(config.teacher, tokens=tokens))
        h_KBND = kd_tokens(taps_KBND, tokens, batch.z_clip_BCFHW.shape[2])
        bits = pack(h_KBND, payload) if payload else h_KBND
        h_KBND = unpack(bits) if payload else h_KBND
        kd = trainer.losses(replace(batch, target=TeacherTarget(taps_KBND=h_KBND)))["kd"]
        gradients = torch.autograd.grad(kd, trainer.parameters, allow_unused=True, materialize_grads=True)
        found[name] = kd.detach(), torch.cat([g.flatten() for g in gradients]), bits.nbytes
    trainer.config = config
    return found


def batch_of(teacher: Teacher, request: TargetRequest) -> tuple[Batch, Tensor]:
    """Returns the student's inputs for a request, its target in bf16, and the same taps in float32."""
    taps_KBND = teacher.taps(request).clone()  # a tensor of inference mode cannot take part in a backward pass
    batch = Batch(
        samples=tuple(teacher.sample(key) for key in request.sample_ids),
        seeds=request.seeds,
        z_clip_BCFHW=torch.stack([teacher.rollout(key) for key in request.sample_ids]),
        target=TeacherTarget(taps_KBND=unpack(pack(taps_KBND))),
        x_t=request.x_t,
        t=request.t,
    )
    return batch, taps_KBND


def compare(trainer: StudentTrainer, teacher: Teacher, asked: list[TargetRequest], step: int) -> list[dict]:
    """A row a target: means over the forwards, and the sum of their gradients, as an optimizer step takes it."""
    found = [measure(trainer, teacher, request) for request in asked]
    total = {name: torch.stack([one[name][1] for one in found]).sum(0) for name in TARGETS}
    rows = []
    for name, other in AGAINST.items():
        pairs = [(one[name], one[other]) for one in found]
        cosines = [cosine(mine[1], theirs[1]) for mine, theirs in pairs]
        apart = [float((mine[1] - theirs[1]).norm() / theirs[1].norm()) for mine, theirs in pairs]
        rows.append(
            {
                "after_steps": step,
                "target": name,
                "against": other,
                "bytes": pairs[0][0][2],
                "kd": fmean(float(mine[0]) for mine, _ in pairs),
                "kd_relative": fmean(abs(float(mine[0] / theirs[0]) - 1) for mine, theirs in pairs),
                "grad_cosine": fmean(cosines),
                "grad_cosine_min": min(cosines),
                "grad_relative": fmean(apart),
                "grad_cosine_of_sum": cosine(total[name], total[other]),
            }
        )
    return rows


def cosine(a: Tensor, b: Tensor) -> float:
    """Returns the cosine in float64: float32's own rounding over a million weights would show beside bf16's."""
    return float(torch.cosine_similarity(a.double(), b.double(), dim=0))


def summarise(rows: list[dict]) -> dict[str, float]:
    """The figures at the start weights under their plain names, those after training with their step."""
    size = {row["target"]: row["bytes"] for row in rows}
    figures: dict[str, float] = {}
    for step in sorted({row["after_steps"] for row in rows}):
        of: Mapping[str, dict] = {row["target"]: row for row in rows if row["after_steps"] == step}
        suffix = f"_step_{step}" if step else ""
        figures |= {
            f"kd_fp8_relative{suffix}": of["fp8"]["kd_relative"],
            f"grad_cosine_fp8{suffix}": of["fp8"]["grad_cosine"],
            f"grad_cosine_tail{suffix}": of["tail_bf16"]["grad_cosine"],
        }
    figures["bytes_fp8_over_bf16"] = size["fp8"] / size["bf16"]
    figures["bytes_tail_over_bf16"] = size["tail_bf16"] / size["bf16"]
    return {name: round(value, 6) for name, value in figures.items()}


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        config = replace(tiny(), run=Run(dir=folder))
        teacher = prepare(config)
        trainer = StudentTrainer(config, load_dit(config.models.student, torch.float32), device=CPU)
        ids = Store.open(config).ids()
        asked = list(requests(ids, replace(config, run=replace(config.run, seed=1)), first_step=0))[:FORWARDS]
        rows = compare(trainer, teacher, asked, 0)
        for request in list(requests(ids, config, first_step=0))[:steps]:
            trainer.step([batch_of(teacher, request)[0]])
        rows += compare(trainer, teacher, asked, steps)
    for row in rows:
        print("  ".join(f"{key} {value:.6g}" if isinstance(value, float) else f"{value}" for key, value in row.items()))
    write_result("payload", " ".join(["python -m benchmarks.training.payload", *sys.argv[1:]]), rows, summarise(rows))


if __name__ == "__main__":
    main()
