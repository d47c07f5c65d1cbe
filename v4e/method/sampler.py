"""The steps of an edit from noise to clip latents, with or without guidance, by Euler or by Wan's own UniPC.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, T text tokens, D width.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import cast

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from torch import Tensor

from v4e.method import flow
from v4e.models.dit import DitInputs, predict
from v4e.models.positions import keeping_ends
from v4e.models.reuse import reusing
from v4e.wan import TEMPORAL, Solver

OnStep = Callable[[int, Tensor], bool | None]
Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True, kw_only=True)
class Held:
    """Latents that sampling may not change."""

    z_BCFHW: Tensor  # what they are at the end
    free_B11HW: Tensor  # bool, True where the edit may change them


@torch.no_grad()
def sample(
    dit: WanTransformer3DModel,
    inputs: DitInputs,
    *,
    seeds: list[int],
    steps: int,
    shift: float,
    solver: Solver,
    scheduler: UniPCMultistepScheduler,
    guidance: float = 1.0,
    empty: list[Tensor] | None = None,
    dtype: torch.dtype | None = None,
    held: Held | None = None,
    middle_steps: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Clip latents z_BCFHW, float32, of B encoded edits, each from the noise of its seed.

    `scheduler` holds UniPC's settings. `empty` are the texts (T, D) that `guidance` other than 1 leads away from.
    `dtype` as for ``models.dit.predict``. What is `held` goes the straight way from its noise to its end: at each step
    it is those latents with that step's noise. After `middle_steps`, if it is not 0, the latent frames between source
    and tail are dropped, and these two keep their places in time. The result then is source, tail and tail again, so
    that a decoder sees an edit at rest. That takes Euler's solver.
    `on_step(step, x0_hat_BCFHW)` sees the prediction after each step; returning False stops there and yields that
    prediction. `dit` may be sharded: then all its ranks call this, equally often.

    Raises:
        ValueError: `middle_steps` with another solver.
    """
    if middle_steps and solver != "euler":
        raise ValueError(f"middle_steps={middle_steps} needs solver=euler, got {solver}")
    device, numbers = inputs.y_BCFHW.device, count()
    eps_BCFHW = start(inputs.y_BCFHW, seeds)
    branches = {"text": inputs} | ({} if empty is None else {"empty": replace(inputs, text=empty)})
    only_ends = {name: replace(seen, y_BCFHW=ends(seen.y_BCFHW)) for name, seen in branches.items()}
    latents_F = eps_BCFHW.shape[2]
    kept = keeping_ends(dit, latents_F) if middle_steps else nullcontext()
    with kept, reusing(dit, guided=empty is not None) as memo:

        def branch(name: str, step: int, x_t_BCFHW: Tensor, t_B: Tensor) -> Tensor:
            memo.at(step, name)
            # A step cache, where one is on, must know which of the two passes it sees.
            with dit.cache_context(name) if dit.is_cache_enabled else nullcontext():
                seen = branches[name] if x_t_BCFHW.shape[2] == latents_F else only_ends[name]
                return predict(dit, x_t_BCFHW, t_B, seen, dtype=dtype)[0]

        def velocity(x_t_BCFHW: Tensor, t: float) -> Tensor:
            # in float64, so that UniPC's whole timesteps of a thousand come out whole
            t_B, step = torch.full((len(seeds),), t, device=device, dtype=torch.float64), next(numbers)
            u = branch("text", step, x_t_BCFHW, t_B)
            if empty is not None:
                u = flow.guided(u, branch("empty", step, x_t_BCFHW, t_B), guidance)
            if held is None:
                return u.float()
            straight = eps_BCFHW - held.z_BCFHW
            return torch.where(held.free_B11HW, u.float(), straight if u.shape == straight.shape else ends(straight))

        def at_rest(x_BCFHW: Tensor) -> Tensor:
            return x_BCFHW if x_BCFHW.shape[2] == latents_F else torch.cat([x_BCFHW, x_BCFHW[:, :, -1:]], 2)

        if middle_steps:
            tell = on_step and (lambda step, x0_hat_BCFHW: on_step(step, at_rest(x0_hat_BCFHW)))
            return at_rest(euler(velocity, eps_BCFHW, flow.times(steps, shift).tolist(), tell, middle_steps))
        return solve(velocity, eps_BCFHW, solver=solver, steps=steps, shift=shift, scheduler=scheduler, on_step=on_step)


def solve(
    velocity: Velocity,
    x: Tensor,
    *,
    solver: Solver,
    steps: int,
    shift: float,
    scheduler: UniPCMultistepScheduler,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follows `velocity` from the noise `x` to the data; the arguments are those of :func:`sample`."""
    if solver == "euler":
        return euler(velocity, x, flow.times(steps, shift).tolist(), on_step)
    return _unipc(velocity, x, steps, shift, on_step, scheduler)


def start(y_BCFHW: Tensor, seeds: list[int]) -> Tensor:
    """The noise that edits with these conditions start from, each drawn on the CPU from its seed."""
    _, c, f, h, w = y_BCFHW.shape
    shape = (c - TEMPORAL, f, h, w)  # without the mask channels
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(noise).to(y_BCFHW.device)


def ends(x_BCFHW: Tensor) -> Tensor:
    """Returns the first and the last latent frame."""
    return torch.stack([x_BCFHW[:, :, 0], x_BCFHW[:, :, -1]], 2)


def euler(
    velocity: Velocity, x: Tensor, times: Sequence[float], on_step: OnStep | None = None, middle_steps: int = 0
) -> Tensor:
    """Follows `velocity` from `x` at the first of `times` to the last: the only Euler loop of v4e.

    `on_step` and `middle_steps` are as for :func:`sample`.
    """
    for step, (t, t_next) in enumerate(pairwise(times)):
        if middle_steps and step == middle_steps:
            x = ends(x)
        u = velocity(x, t)
        x0_hat = x - t * u
        x = flow.euler_step(x, u, t, t_next)
        if on_step is not None and on_step(step, x0_hat) is False:
            return x0_hat
    return x


def _unipc(
    velocity: Velocity, x: Tensor, steps: int, shift: float, on_step: OnStep | None, settings: UniPCMultistepScheduler
) -> Tensor:
    """diffusers' UniPC, Wan's own solver."""
    made = UniPCMultistepScheduler.from_config(settings.config, flow_shift=shift)
    scheduler = cast(UniPCMultistepScheduler, made)  # a tuple only where unused settings are asked for
    # Timesteps stay on the CPU and sigmas go to the device: then nothing of ours waits for it in a step. diffusers
    # does so once a step from the third on, in torch.linalg.solve.
    scheduler.set_timesteps(steps)
    sigmas, scheduler.sigmas = scheduler.sigmas.tolist(), scheduler.sigmas.to(x.device)
    for step, timestep in enumerate(scheduler.timesteps):
        u = velocity(x, int(timestep) / scheduler.config["num_train_timesteps"])
        x0_hat = x - sigmas[step] * u
        x = scheduler.step(u, timestep, x, return_dict=False)[0]
        if on_step is not None and on_step(step, x0_hat) is False:
            return x0_hat
    return x
