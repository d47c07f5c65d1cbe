"""Rectified flow from data (t = 0) to noise (t = 1), as Wan uses it, and Eq. 3's inversions.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


def over(t_B: Tensor, x: Tensor) -> Tensor:
    """`t_B` shaped to broadcast over the other axes of `x`."""
    return t_B.to(x).view(-1, *(1,) * (x.ndim - 1))


def shift_time(t, shift: float):
    """Wan's timestep shift, t' = s t / (1 + (s - 1) t): more time at high noise for s > 1."""
    return shift * t / (1 + (shift - 1) * t)


def sample_seed(run_seed: int, sample_id: str, epoch: int, draw: int = 0) -> int:
    """The seed of one draw of (t, eps): stable over processes, workers and restarts."""
    key = f"{run_seed}/{sample_id}/{epoch}/{draw}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def draw(seed: int, shape_CFHW: tuple[int, ...], shift: float) -> tuple[float, Tensor]:
    """(t, eps_CFHW) of one training sample, from a CPU generator, so that teacher and student draw the same."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.rand((), generator=generator, dtype=torch.float64)
    return float(shift_time(t, shift)), torch.randn(shape_CFHW, generator=generator)


def add_noise(z: Tensor, eps: Tensor, t_B: Tensor) -> Tensor:
    """x_t = (1 - t) z + t eps."""
    t = over(t_B, z)
    return (1 - t) * z + t * eps


def velocity(z: Tensor, eps: Tensor) -> Tensor:
    """u = dx_t/dt = eps - z: what the model is trained to predict."""
    return eps - z


def invert_rectified(x_t: Tensor, u: Tensor, t_B: Tensor) -> Tensor:
    """x0_hat = x_t - t u (Eq. 3, rectified flow)."""
    return x_t - over(t_B, x_t) * u


def invert_cfm(
    x_t: Tensor, u: Tensor, t_B: Tensor, rho: Callable[[Tensor], Tensor], rho_prime: Callable[[Tensor], Tensor]
) -> Tensor:
    """x0_hat = x_t - rho(t) / rho'(t) u (Eq. 3, general conditional flow matching)."""
    return x_t - over(rho(t_B) / rho_prime(t_B), x_t) * u


def times(steps: int, shift: float) -> Tensor:
    """The sampler's times, from 1 down to 0: (steps + 1,)."""
    return shift_time(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)


def guided(u: Tensor, u_empty: Tensor, guidance: float) -> Tensor:
    """Classifier-free guidance: the velocity `u` led away from that of the empty text."""
    return u_empty + guidance * (u - u_empty)


def euler_step(x: Tensor, u: Tensor, t: float, t_next: float) -> Tensor:
    """One step of the probability-flow ODE from t to t_next."""
    return x + (t_next - t) * u


def line_clip(z_source_CHW: Tensor, z_tail_CHW: Tensor, frames: int) -> Tensor:
    """A clip of `frames` latent frames on the straight line from the source's latent to the tail's. (C, F, H, W)"""
    share_F11 = torch.linspace(0, 1, frames).view(-1, 1, 1)
    return torch.lerp(z_source_CHW.unsqueeze(1), z_tail_CHW.unsqueeze(1), share_F11)
