"""An edit on one GPU on paper: what it holds and how long it takes, by what leaves the GPU between its uses.

Arithmetic alone. Sizes are those of Wan2.1's VAE, UMT5-XXL and CLIP ViT-H; nothing was measured on a GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.frozen_memory import CACHE, IMAGE, TEXT
from v4e.planning.gpus import Cluster
from v4e.planning.memory import EXACT, block_parameters, parameter_count, token_bytes
from v4e.planning.vae_memory import DECODE_BY_FRAME, ENCODE_BY_FRAME, VAE_BYTES
from v4e.planning.work import Reads, forward_flops, left_of, sampling_flops
from v4e.wan import GRID, latent_frames

HALF, EIGHT = 2, 1  # bytes of a weight in bfloat16, and in int8 or fp8
TILE = 256  # pixels of a side
PIXELS = 1280 * 720
# FLOPs of the VAE at 1280 x 720: the first latent frame, and each one after it.
ENCODE_FLOPS, DECODE_FLOPS = (6.45e12, 18.8e12), (10.2e12, 31.45e12)
VAE_SHARE = 0.11  # of the data sheet in bfloat16 that the float32 VAE reaches: stated, not measured (ours)
BLOCKS_THERE = 2  # the one that computes, and the next one

Away = Literal["", "models", "blocks"]


@dataclass(frozen=True, kw_only=True)
class EditTask:
    """One edit."""

    height: int  # pixels in the model
    width: int
    frames: int
    steps: int
    guidance: float
    middle_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class EditWay:
    """A way to make it, with the bytes that the GPU holds at each part and the seconds."""

    away: Away
    weights: Literal["bfloat16", "int8"]
    tiles: bool
    encoders: int  # while text and image are encoded
    vae: int  # while it encodes or decodes
    dit: int  # while it samples
    compute_s: float
    copy_s: float  # that computing does not hide

    @property
    def peak(self) -> int:
        return max(self.encoders, self.vae, self.dit)

    @property
    def seconds(self) -> float:
        return self.compute_s + self.copy_s

    @property
    def options(self) -> str:
        """The options of ``v4e edit`` that choose it."""
        said = f"away={self.away}" if self.away else "", "weights=int8" if self.weights == "int8" else ""
        return " ".join(filter(None, ("dtype=bfloat16", *said, "tiles=true" if self.tiles else "")))


def ways(config: Config, model: Pipeline, task: EditTask, cluster: Cluster) -> Iterator[EditWay]:
    """Yields each way, exact ones before others, and those that copy least before those that copy more."""
    for tiles in (False, True):
        for weights in ("bfloat16", "int8"):
            for away in ("", "models", "blocks"):
                if (away, weights) != ("blocks", "int8"):  # quantized blocks stay together
                    yield _way(config, model, task, cluster, away, weights, tiles)  # type: ignore[arg-type]


def best(found: list[EditWay], cluster: Cluster) -> EditWay | None:
    """Returns the fastest exact way that fits, else the fastest that fits, else None."""
    fitting = [way for way in found if way.peak <= cluster.usable]
    exact = [way for way in fitting if way.weights == "bfloat16" and not way.tiles]
    return min(exact or fitting, key=lambda way: way.seconds, default=None)


def _way(
    config: Config,
    model: Pipeline,
    task: EditTask,
    cluster: Cluster,
    away: Away,
    weights: Literal["bfloat16", "int8"],
    tiles: bool,
) -> EditWay:
    dit, gpu = model.dit, cluster.gpu
    latents, pixels = latent_frames(task.frames), task.height * task.width
    rows, columns = (side // GRID for side in (task.height, task.width))
    reads = Reads(clip=latents * rows * columns, text=config.plan.instruction_tokens + 1, image=model.image_tokens)
    in_blocks = dit.layers * block_parameters(dit)
    of_block = EIGHT if weights == "int8" else HALF
    dit_bytes = HALF * (parameter_count(dit, model.image_tokens) - in_blocks) + of_block * in_blocks
    text, image = HALF * TEXT, EXACT * IMAGE
    step = token_bytes(config, dit, tp=1) * reads.clip
    sides = (min(task.height, TILE), min(task.width, TILE)) if tiles else (task.height, task.width)
    clip = 2 * EXACT * 3 * pixels * task.frames if tiles else 0  # tiles are laid together in it
    vae = clip + max(use.of(*sides, task.frames) for use in (ENCODE_BY_FRAME, DECODE_BY_FRAME))
    if away:
        elsewhere = in_blocks - BLOCKS_THERE * block_parameters(dit) if away == "blocks" else 0
        there = dit_bytes - HALF * elsewhere
        held = max(text, image), VAE_BYTES + vae, there + step
    else:
        all_of_them = dit_bytes + text + image + VAE_BYTES
        held = all_of_them, all_of_them + vae, all_of_them + step
    whole, passes = task.middle_steps or task.steps, 1 if task.guidance == 1 else 2
    left = left_of(latents, task.middle_steps)
    short = replace(reads, clip=min(latents, 2) * rows * columns)
    long_s, short_s = (forward_flops(dit, r) / 1e12 / (config.plan.infer_share * gpu.tflops) for r in (reads, short))
    steps = {"steps": task.steps, "guidance": task.guidance, "middle_steps": task.middle_steps}
    sampling_s = sampling_flops(dit, reads, frames=latents, **steps) / 1e12 / (config.plan.infer_share * gpu.tflops)
    of_vae = ((ENCODE_FLOPS, latents), (DECODE_FLOPS, left))
    flops = sum(first + more * (frames - 1) for (first, more), frames in of_vae) * pixels / PIXELS
    host = 1e9 * gpu.host_gb_s
    once = 2 * (text + image + 2 * VAE_BYTES) / host if away else 0.0  # to the GPU and back
    waiting = {
        "": 0.0,
        "models": 2 * dit_bytes / host,
        "blocks": passes
        * sum(
            steps * max(0.0, HALF * in_blocks / host - pass_s)
            for steps, pass_s in ((whole, long_s), (task.steps - whole, short_s))
        ),
    }
    encoders, vae_held, dit_held = (CACHE + part for part in held)
    return EditWay(
        away=away,
        weights=weights,
        tiles=tiles,
        encoders=encoders,
        vae=vae_held,
        dit=dit_held,
        compute_s=sampling_s + flops / 1e12 / (VAE_SHARE * gpu.tflops),
        copy_s=once + waiting[away],
    )
