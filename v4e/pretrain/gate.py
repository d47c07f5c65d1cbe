"""The gate: can the base perform evolution captions on every task? Exact, on held-out scenes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from v4e import flow
from v4e.conditioning import condition, flf_video, i2v_video
from v4e.models import tiny
from v4e.models.dit import predict
from v4e.models.encoders import decode_clip, encode_clip, encode_images
from v4e.pretrain.dit import load_family, pixels
from v4e.pretrain.latents import load_vae
from v4e.pretrain.vae import to_video
from v4e.tasks import TASKS
from v4e.world import make_triplets


@torch.no_grad()
def sample(family, z_cond, texts: list[str], frames: np.ndarray, *, last: bool, steps: int = 8, guidance: float = 1.0):
    """Euler from fixed noise: latent clips."""
    processor = tiny.image_processor()
    image = encode_images(family.image, processor, pixels(list(frames[:, 0])))
    if last:
        image = torch.cat([image, encode_images(family.image, processor, pixels(list(frames[:, -1])))], 1)
    text, empty = family.encode(texts)[0], family.encode([""] * len(texts))[0]
    y = condition(z_cond, last=last)
    x = torch.randn(z_cond.shape, generator=torch.Generator().manual_seed(0))
    times = flow.times(steps, tiny.FLOW_SHIFT).tolist()
    for t, t_next in pairwise(times):
        t_B = torch.full((len(texts),), t)
        u, _ = predict(family.dit, x, t_B, y, text, image)
        if guidance != 1:
            u0, _ = predict(family.dit, x, t_B, y, empty, image)
            u = u0 + guidance * (u - u0)
        x = flow.euler_step(x, u, t, t_next)
    return x


@torch.no_grad()
def run(work: Path, stage: str, per_task: int = 10, text: str = "caption", guidance: float = 1.0, split: str = "val"):
    """Success per task: squared error in the edit mask below a quarter of the source's."""
    records = list(make_triplets(split, per_task))
    vae = load_vae(work)
    frames = np.stack([r.frames for r in records])
    x = to_video(frames)
    if stage == "vae":
        out = torch.cat([decode_clip(vae, encode_clip(vae, c)) for c in x.split(44)])
    else:
        family, last = load_family(work, stage), stage == "teacher"
        out = []
        for i in range(0, len(records), 44):
            part, f = x[i : i + 44], frames[i : i + 44]
            video = flf_video(part[:, :, 0], part[:, :, -1], 5) if last else i2v_video(part[:, :, 0], 5)
            said = [getattr(r, text) for r in records[i : i + 44]]
            z = sample(family, encode_clip(vae, video), said, f, last=last, guidance=guidance)
            out.append(decode_clip(vae, z))
        out = torch.cat(out)
    image = ((out.permute(0, 2, 3, 4, 1).numpy() + 1) * 127.5).round()
    wins = {t: [] for t in TASKS}
    keep = []
    for r, clip in zip(records, image, strict=True):
        m = r.mask
        error = ((clip[-1] - r.edit) ** 2)[m].mean()
        start = ((r.source.astype(float) - r.edit) ** 2)[m].mean()
        if (~m).any():
            keep.append(10 * np.log10(255**2 / max(1e-6, ((clip[-1] - r.source) ** 2)[~m].mean())))
        wins[r.task].append(error < start / 4)
    table = {t: float(np.mean(v)) for t, v in wins.items()}
    return table, float(np.mean([w for v in wins.values() for w in v])), float(np.mean(keep)), records, image
