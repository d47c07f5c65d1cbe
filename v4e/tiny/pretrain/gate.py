"""The gate: does the base perform evolution captions on every task, and raw instructions badly?"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from v4e.config import Eval
from v4e.evaluation.metrics.exact import psnr, score, summarize
from v4e.method import flow
from v4e.method.conditioning import condition, flf_video, i2v_video
from v4e.method.sampler import euler
from v4e.models import tiny
from v4e.models.dit import DitInputs, predict
from v4e.models.encoders import decode_clip, encode_clip, encode_images
from v4e.models.tiny_sizes import FIRST, TinySizes
from v4e.tiny.pretrain.dit import load_family, pixels
from v4e.tiny.pretrain.latents import load_vae
from v4e.tiny.pretrain.vae import to_video
from v4e.tiny.world import Record, make_triplets

BATCH = 44  # clips made together


@torch.no_grad()
def sample(
    family,
    z_cond,
    texts: list[str],
    frames: np.ndarray,
    *,
    last: bool,
    steps: int = 8,
    guidance: float = 1.0,
    seed: int = 0,
):
    """Euler from fixed noise: latent clips."""
    processor = tiny.image_processor(family.image.config.image_size)
    image = encode_images(family.image, processor, pixels(list(frames[:, 0])))
    if last:
        image = torch.cat([image, encode_images(family.image, processor, pixels(list(frames[:, -1])))], 1)
    text, empty = family.encode(texts)[0], family.encode([""] * len(texts))[0]
    inputs = DitInputs(y_BCFHW=condition(z_cond, last=last), text=text, image_BID=image)

    def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
        t_B = torch.full((len(texts),), t)
        u, _ = predict(family.dit, x, t_B, inputs)
        if guidance == 1:
            return u
        return flow.guided(u, predict(family.dit, x, t_B, replace(inputs, text=empty))[0], guidance)

    x = torch.randn(z_cond.shape, generator=torch.Generator().manual_seed(seed))
    return euler(velocity, x, flow.times(steps, tiny.FLOW_SHIFT).tolist())


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """The result of a stage on validation edits: ``metrics.exact.summarize``'s table, and the clips it made."""

    table: dict
    records: list[Record]
    clips: np.ndarray  # uint8 (n, P, S, S, 3)

    def __str__(self) -> str:
        overall = self.table["overall"]
        tasks = " ".join(f"{task} {row['success']:.2f}" for task, row in self.table["by_task"].items())
        return f"success {overall['success']:.3f}, preserved {overall['preserve_psnr']} dB; {tasks}"


@torch.no_grad()
def clips_of(
    work: Path,
    stage: str,
    frames: np.ndarray,
    texts: list[str],
    sizes: TinySizes = FIRST,
    *,
    steps: int = 8,
    guidance: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Makes what `stage` ("vae", "base" or "teacher") makes of the true clips `frames` and `texts`, both uint8.

    "vae" decodes what it encoded of the true clip: the ceiling of all others.
    """
    vae = load_vae(work, sizes)
    family, last = (None, False) if stage == "vae" else (load_family(work, stage, sizes), stage == "teacher")
    parts = []
    for i in range(0, len(frames), BATCH):
        f = frames[i : i + BATCH]
        x = to_video(f)
        if family is None:
            z = encode_clip(vae, x)
        else:
            first, end = x[:, :, 0], x[:, :, -1]
            video = flf_video(first, end, sizes.frames) if last else i2v_video(first, sizes.frames)
            said = texts[i : i + BATCH]
            z = sample(family, encode_clip(vae, video), said, f, last=last, steps=steps, guidance=guidance, seed=seed)
        parts.append(decode_clip(vae, z))
    out = torch.cat(parts)
    return ((out.permute(0, 2, 3, 4, 1).numpy() + 1) * 127.5).round().astype(np.uint8)


def run(work: Path, stage: str, per_task: int = 10, text: str = "caption", guidance: float = 1.0) -> GateResult:
    """Scores `stage` ("vae", "base" or "teacher") on `per_task` validation edits a task.

    `text` says what they are told by, "caption" or "instruction".
    """
    records = list(make_triplets("val", per_task))
    said = [getattr(r, text) for r in records]
    clips = clips_of(work, stage, np.stack([r.frames for r in records]), said, guidance=guidance)
    scores = [score(r.task, r.source, r.edit, c[-1], Eval().preserve_db) for r, c in zip(records, clips, strict=True)]
    return GateResult(table=summarize(scores), records=records, clips=clips)


def last_frame_psnr(vae: GateResult) -> float:
    """Returns the PSNR (dB) of the VAE's last frame, as a mean over clips."""
    return float(np.mean([psnr(c[-1], r.edit) for r, c in zip(vae.records, vae.clips, strict=True)]))


def shortfalls(vae: GateResult, base: GateResult, native: GateResult) -> list[str]:
    """Lists the reasons not to distil this family; [] is a pass. `native` is the base on raw instructions."""
    found = []
    if (db := last_frame_psnr(vae)) < 27:
        found.append(f"VAE: last frame {db:.1f} dB, expected 27")
    if idle := [t for t, row in base.table["by_task"].items() if row["success"] == 0]:
        found.append(f"base: no success on {', '.join(idle)}")
    with_caption, without = (r.table["overall"]["success"] for r in (base, native))
    if with_caption < 0.4:
        found.append(f"base: success {with_caption:.2f} with captions, expected 0.4")
    if without > with_caption / 2:
        found.append(f"base: success {without:.2f} on raw instructions: nothing is left to learn")
    return found
