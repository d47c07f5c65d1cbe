"""Stage 2: the corpus through the frozen VAE, once: what the DiTs are trained on."""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file

from v4e.files.uri import open_atomic
from v4e.method.conditioning import flf_video, i2v_video
from v4e.models.encoders import encode_clip
from v4e.models.tiny_sizes import FIRST, TinySizes
from v4e.tiny.pretrain.vae import to_video

BATCH = 50


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
def encode(rank: int, workers: int, work: Path, count: int, sizes: TinySizes = FIRST) -> None:
    """``latents-<rank>-of-<workers>.npy``, (n, 3 F - 2, C, H, W) float16, of rows rank, rank + workers, ... .

    They are the F latent frames of the clip, then F - 1 of the I2V and F - 1 of the FLF2V condition. The first frame of
    both conditions is the clip's.
    """
    data = np.load(work / "corpus/clips.npy", mmap_mode="r")
    path = work / f"latents-{rank}-of-{workers}.npy"
    mine = np.arange(rank, count, workers)
    if path.exists() and len(np.load(path, mmap_mode="r")) == len(mine):
        return
    vae = load_vae(work, sizes)
    out = []
    for start in range(0, len(mine), BATCH):
        x = to_video(np.array(data[mine[start : start + BATCH]]))
        clip = encode_clip(vae, x)
        i2v = encode_clip(vae, i2v_video(x[:, :, 0], x.shape[2]))[:, :, 1:]
        flf = encode_clip(vae, flf_video(x[:, :, 0], x[:, :, -1], x.shape[2]))[:, :, 1:]
        out.append(torch.cat([clip, i2v, flf], 2).transpose(1, 2).half().numpy())
        if rank == 0 and start % (BATCH * 20) == 0:
            print(f"latents {start}/{len(mine)}", flush=True)
    with open_atomic(str(path)) as file:
        np.save(file, np.concatenate(out))
