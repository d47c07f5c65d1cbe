"""Attention backends: forward and gradients in bfloat16 against float32, at a clip's shape, and their speed.

Shapes: B batch, N tokens, H heads, E width of a head.
"""

import time

import torch
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _check_attention_backend_requirements,
    dispatch_attention_fn,
)
from torch import Tensor

from benchmarks.gpu.sizes import BF16, Figures, GpuSize, device_of, distance, expect

NEEDED = "native"
BACKENDS = (NEEDED, "flash", "_flash_3", "_native_flash", "_native_cudnn", "_native_efficient")
ROUNDS = 5


def check(device: str, size: GpuSize) -> Figures:
    """Milliseconds and errors of each backend that works here; of the others why they do not."""
    on = device_of(device)
    torch.manual_seed(0)
    qkv = [torch.randn(1, size.tokens, size.heads, 128) for _ in range(3)]
    truth = attended(NEEDED, qkv, on, torch.float32)
    figures: Figures = {}
    for backend in BACKENDS:
        try:
            _check_attention_backend_requirements(AttentionBackendName(backend))
            found = attended(backend, qkv, on, torch.bfloat16)
        except (ImportError, RuntimeError, ValueError) as error:
            if backend == NEEDED:
                raise
            figures[backend] = f"not here: {str(error).splitlines()[0][:80]}"
            continue
        worst = max(distance(ours, theirs) for ours, theirs in zip(found, truth, strict=True))
        expect(f"the error of attention backend {backend}", worst, BF16)
        figures[f"{backend} error"] = worst
        figures[f"{backend} ms"] = milliseconds(backend, qkv, on)
    return figures


def attended(backend: str, qkv: list[Tensor], device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Output and the gradients of q, k and v, of the sum of its squares."""
    q, k, v = (part.to(device, dtype).detach().requires_grad_() for part in qkv)
    out_BNHE = dispatch_attention_fn(q, k, v, backend=AttentionBackendName(backend))
    out_BNHE.float().square().sum().backward()
    return [out_BNHE.detach(), *(gradient for part in (q, k, v) if (gradient := part.grad) is not None)]


def milliseconds(backend: str, qkv: list[Tensor], device: torch.device) -> float:
    """Returns the milliseconds of forward and backward together, the fastest."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        attended(backend, qkv, device, torch.bfloat16)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)
