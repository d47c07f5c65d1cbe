"""The VAE of Wan2.1 at its true size, in float32 with random weights: GiB and seconds of what v4e does with it.

Shapes: B batch, C latent channels, F latent frames, P pixel frames, h w pixels.
"""

from collections.abc import Callable

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from benchmarks.gpu.sizes import Figures, GpuSize, device_of, distance, expect, peak_gib, seconds_of
from v4e.method.conditioning import tail_of_x0
from v4e.models.encoders import decode_clip, encode_clip
from v4e.models.framewise import framewise
from v4e.models.recompute import recompute_vae
from v4e.weights.load import move

FRAMES = 5
TF32 = 5e-3  # of the norm: cuDNN rounds what a convolution multiplies to 10 bits, upstream's too
EXACT = 1e-4


def check(device: str, size: GpuSize) -> Figures:
    """Encodes, decodes, and takes the gradient of a pixel tail, at each of the size's pictures."""
    figures: Figures = {}
    for height, width in size.pictures:
        figures |= of_picture(device_of(device), height, width)
    return figures


def of_picture(device: torch.device, height: int, width: int) -> Figures:
    """Figures of clips of one size."""
    torch.manual_seed(0)
    vae = move(AutoencoderKLWan().eval().requires_grad_(False), device)
    at, on_gpu = f"{width} x {height}", device.type == "cuda"
    x_BCPHW = torch.rand(1, 3, FRAMES, height, width, device=device) * 2 - 1
    with torch.inference_mode():
        z_BCFHW = encode_clip(vae, x_BCPHW)
        stock_BCPHW = decode_clip(vae, z_BCFHW)
    figures = costs(f"encode {at}", lambda: encoded(vae, x_BCPHW), device)
    figures |= costs(f"decode {at}", lambda: decoded(vae, z_BCFHW), device)
    recompute_vae(vae)  # as the trainer's
    try:
        figures |= costs(f"pixel tail {at}", lambda: pixel_tail(vae, z_BCFHW), device)
    except torch.cuda.OutOfMemoryError:
        figures[f"pixel tail {at}"] = "does not fit here: leave tail.space=latent"
    framewise(vae)
    figures |= costs(f"decode {at} by frames", lambda: decoded(vae, z_BCFHW), device)
    error = distance(decoded(vae, z_BCFHW), stock_BCPHW)
    figures[f"error by frames {at}"] = expect("frames against clips", error, TF32 if on_gpu else EXACT)
    return figures


def costs(name: str, work: Callable[[], object], device: torch.device) -> Figures:
    """Seconds of a call, and on a GPU the GiB that it needs."""
    figures: Figures = {f"{name} s": seconds_of(work, device, rounds=1)}
    return figures | ({f"{name} GiB": peak_gib(device, work)} if device.type == "cuda" else {})


@torch.inference_mode()
def encoded(vae: AutoencoderKLWan, x_BCPHW: Tensor) -> Tensor:
    return encode_clip(vae, x_BCPHW)


@torch.inference_mode()
def decoded(vae: AutoencoderKLWan, z_BCFHW: Tensor) -> Tensor:
    return decode_clip(vae, z_BCFHW)


def pixel_tail(vae: AutoencoderKLWan, z_BCFHW: Tensor) -> None:
    """A step's work for ``tail.space=pixel``: decode, tile, encode, and back."""
    x0_hat_BCFHW = z_BCFHW.clone().requires_grad_()
    tail_of_x0(x0_hat_BCFHW, vae=vae, space="pixel").abs().mean().backward()
    assert x0_hat_BCFHW.grad is not None and x0_hat_BCFHW.grad.isfinite().all(), "the pixel tail's gradient is broken"
