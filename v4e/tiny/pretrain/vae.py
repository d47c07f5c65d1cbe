"""Stage 1: AutoencoderKLWan on the world's clips.

A plain start sits on a plateau for hundreds of steps. So the first steps regress the encoder onto a PCA code, fitted in
closed form: one for frame 0, one for each later block of 4 frames. They teach the decoder to read it; then both train
together. A VAE that is trained on from another's weights needs none of this. The posterior's variance is not used:
Gaussian noise on the mean smooths the code instead.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from v4e.models import tiny
from v4e.models.tiny_sizes import FIRST, TinySizes
from v4e.tiny.pretrain.loop import (
    PretrainMeter,
    adam_moments,
    average,
    average_gradients,
    cosine,
    load_adam_moments,
    resume,
    save,
)
from v4e.wan import TEMPORAL

NOISE = 0.04
LR = 1.5e-3
EMA = 0.998
WARMUP = 500  # steps on the PCA code
HELD = 128  # clips of the corpus that the VAE is validated on
PCA_CLIPS = 1000


def to_video(clips: np.ndarray) -> Tensor:
    """uint8 (B, P, S, S, 3) to float (B, 3, P, S, S) in [-1, 1]."""
    return torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


class BlockPca:
    """The linear code of a clip: one basis for frame 0, one for all later blocks of 4 frames."""

    def __init__(self, x_BCPHW: Tensor, sizes: TinySizes) -> None:
        self.cell = sizes.stride
        first, *later = self._blocks(x_BCPHW)
        self.bases = [self._fit(first, sizes.z), self._fit(torch.cat(later), sizes.z)]

    def __call__(self, x_BCPHW: Tensor) -> Tensor:
        """Returns the code, (B, z, F, h, w), whose channels have unit variance in the mean."""
        codes = []
        for i, block in enumerate(self._blocks(x_BCPHW)):
            mean, basis = self.bases[min(i, 1)]
            codes.append(((block - mean) @ basis).permute(0, 3, 1, 2))
        return torch.stack(codes, 2)

    def _blocks(self, x_BCPHW: Tensor) -> list[Tensor]:
        """Returns the pixels of each latent cell of frame 0 and of each later block, (B, h, w, pixels)."""
        blocks = (x_BCPHW[:, :, :1], *x_BCPHW[:, :, 1:].split(TEMPORAL, 2))
        return [self._cells(block) for block in blocks]

    def _cells(self, x_BCPHW: Tensor) -> Tensor:
        b, c, p, h, w = x_BCPHW.shape
        x = x_BCPHW.reshape(b, c, p, h // self.cell, self.cell, w // self.cell, self.cell)
        return x.permute(0, 3, 5, 1, 2, 4, 6).flatten(3)

    def _fit(self, cells: Tensor, z: int) -> tuple[Tensor, Tensor]:
        flat = cells.flatten(0, 2)
        mean = flat.mean(0)
        _, s, v = torch.pca_lowrank(flat - mean, q=z, niter=4)
        scale = (s.pow(2).sum() / len(flat) / z).sqrt()
        return mean, v / scale


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Mean over images of the PSNR in dB; values in [-1, 1]; (B, C, P, H, W) to (P,)."""
    mse = ((x.clamp(-1, 1) - y) / 2).pow(2).mean((1, 3, 4))
    return (-10 * mse.log10()).mean(0)


@torch.no_grad()
def validate(vae, x_BCPHW: Tensor) -> Tensor:
    out = [vae.decode(vae.encode(x).latent_dist.mean).sample for x in x_BCPHW.split(16)]
    return psnr(torch.cat(out), x_BCPHW)


def train(
    rank: int, workers: int, work: Path, steps: int, batch: int, sizes: TinySizes = FIRST, warmup: int = WARMUP
) -> None:
    """Train to `steps`; rank 0 checkpoints to ``work/vae.safetensors`` and writes the log.

    The first `warmup` steps, or a fifth of all where that is less, are on the PCA code.
    """
    clips = np.load(work / "corpus/clips.npy", mmap_mode="r")
    held, data = clips[-HELD:], clips[:-HELD]
    torch.manual_seed(0)
    vae = tiny.build_vae(sizes)
    params = list(vae.parameters())
    optimizer = torch.optim.AdamW(params, LR, betas=(0.9, 0.99), weight_decay=0.0)
    ema = {k: v.detach().clone() for k, v in vae.state_dict().items()}
    path = work / "vae.safetensors"
    start = resume(path, vae, ema, partial(load_adam_moments, optimizer))
    pca = BlockPca(to_video(np.array(data[:PCA_CLIPS])), sizes)
    meter = PretrainMeter("vae", steps, 50, batch * workers, work / "vae.log")
    for step in range(start, steps):
        rng = np.random.default_rng((step, rank))
        x = to_video(np.array(data[np.sort(rng.integers(len(data), size=batch))]))
        factor = cosine(step, steps)
        for group in optimizer.param_groups:
            group["lr"] = LR * factor
        torch.manual_seed(step * workers + rank)
        z = vae.encode(x, return_dict=False)[0].mean
        if step < min(warmup, steps // 5):
            code = pca(x)
            y = vae.decode(code + NOISE * torch.randn_like(code), return_dict=False)[0]
            code_loss = F.mse_loss(z, code)
        else:
            y = vae.decode(z + NOISE * torch.randn_like(z), return_dict=False)[0]
            code_loss = 1e-3 * z.pow(2).mean()
        recon = F.mse_loss(y, x) * 4 + F.l1_loss(y, x)
        (recon + code_loss).backward()
        average_gradients(params)
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        average(ema, vae, EMA, step)
        if rank == 0:
            meter(step + 1, recon=recon, code=code_loss)
            if (step + 1) % 250 == 0 or step + 1 == steps:
                save(path, vae, ema, adam_moments(optimizer), step + 1)
                live = vae.state_dict()
                live = {k: v.clone() for k, v in live.items()}
                vae.load_state_dict(ema)
                db = validate(vae, to_video(np.array(held[:64])))
                vae.load_state_dict(live)
                print("  held-out PSNR by frame:", " ".join(f"{v:.1f}" for v in db), flush=True)
