"""Stage 2: the corpus through the frozen VAE, once: what the DiTs are trained on."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file
from torch import Tensor

from v4e.files.uri import open_atomic
from v4e.method.conditioning import flf_video, i2v_video
from v4e.models.encoders import encode_clip
from v4e.models.tiny_sizes import FIRST, TinySizes
from v4e.tiny.pretrain.vae import to_video

BATCH = 50
Part = Literal["clip", "i2v", "flf"]
PARTS: dict[str, tuple[Part, ...]] = {"base": ("clip", "i2v"), "teacher": ("clip", "flf")}  # of each stage


def load_vae(work: Path, sizes: TinySizes = FIRST):
    """The trained VAE (its EMA), with the latents' mean and std in its config once they are measured."""
    stats = work / "latent-stats.json"
    extra = json.loads(stats.read_text()) if stats.exists() else {}
    vae = AutoencoderKLWan(**(sizes.vae | extra)).eval().requires_grad_(False)
    tensors = load_file(work / "vae.safetensors")
    vae.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("ema/")})
    return vae


@torch.no_grad()
def measure_stats(work: Path, sizes: TinySizes = FIRST, clips: int = 600) -> None:
    """Mean and std of each latent channel over clips, into ``latent-stats.json``."""
    data = np.load(work / "corpus/clips.npy", mmap_mode="r")
    vae = load_vae(work, sizes)
    videos = (to_video(np.array(data[i : i + 50])) for i in range(0, clips, 50))
    z = torch.cat([vae.encode(video, return_dict=False)[0].mode() for video in videos])
    stats = {"latents_mean": z.mean((0, 2, 3, 4)).tolist(), "latents_std": z.std((0, 2, 3, 4)).tolist()}
    (work / "latent-stats.json").write_text(json.dumps(stats))


@torch.no_grad()
def encode(
    rank: int, workers: int, work: Path, stage: str, count: int, sizes: TinySizes = FIRST, fast: bool = False
) -> None:
    """Writes what `stage` trains on of rows rank, rank + workers, ...: ``<part>-<rank>-of-<workers>.npy``, float16.

    A part is (n, frames, C, H, W). The clip has F latent frames. The base's I2V condition has F - 1, as the teacher's
    FLF2V condition has: their first frame is the clip's. `fast` computes in bfloat16.
    """
    mine = np.arange(rank, count, workers)
    paths: dict[Part, Path] = {part: work / f"{part}-{rank}-of-{workers}.npy" for part in PARTS[stage]}
    for part, path in list(paths.items()):
        own = path.exists() and len(np.load(path, mmap_mode="r")) == len(mine)
        if own or sum(map(len, _shares(work, part))) >= count:
            del paths[part]
    if not paths:
        return
    data = np.load(work / "corpus/clips.npy", mmap_mode="r")
    vae = load_vae(work, sizes)
    for part, path in paths.items():
        out = []
        for start in range(0, len(mine), BATCH):
            x = to_video(np.array(data[mine[start : start + BATCH]]))
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                out.append(_encoded(vae, x, part).transpose(1, 2).half().numpy())
            if rank == 0 and start % (BATCH * 20) == 0:
                print(f"latents of {part} {start}/{len(mine)}", flush=True)
        with open_atomic(str(path)) as file:
            np.save(file, np.concatenate(out))


def _encoded(vae: AutoencoderKLWan, x_BCPHW: Tensor, part: Part) -> Tensor:
    """Returns one part of a clip's latents, (B, C, frames, H, W)."""
    source, last, frames = x_BCPHW[:, :, 0], x_BCPHW[:, :, -1], x_BCPHW.shape[2]
    match part:
        case "clip":
            return encode_clip(vae, x_BCPHW)
        case "i2v":
            return encode_clip(vae, i2v_video(source, frames))[:, :, 1:]
        case "flf":
            return encode_clip(vae, flf_video(source, last, frames))[:, :, 1:]


def load(work: Path, part: Part, count: int) -> np.ndarray:
    """Returns `part` of the first `count` clips, (count, frames, C, H, W) float16, in the corpus's order.

    Raises:
        ValueError: fewer were encoded.
    """
    shares = _shares(work, part)
    if (found := sum(map(len, shares))) < count:
        raise ValueError(f"{work} holds {found} latents of {part}, expected {count}: encode them again")
    z = np.empty((found, *shares[0].shape[1:]), np.float16)
    for rank, share in enumerate(shares):
        z[rank :: len(shares)] = share
    return z[:count]


def _shares(work: Path, part: Part) -> list[np.ndarray]:
    """Returns what each of some number of workers encoded, where all of them did; the longest such list of clips."""
    found: list[list[np.ndarray]] = [[]]
    for last in work.glob(f"{part}-*-of-*.npy"):
        workers = int(last.stem.rsplit("-", 1)[1])
        paths = [work / f"{part}-{rank}-of-{workers}.npy" for rank in range(workers)]
        if all(path.exists() for path in paths):
            found.append([np.load(path, mmap_mode="r") for path in paths])
    return max(found, key=lambda shares: sum(map(len, shares)))
