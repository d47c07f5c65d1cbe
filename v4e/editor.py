"""The one inference path of samples, evaluation and serving: image and instruction in, edit and evolution out.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, P pixel frames.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, cast

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from PIL import Image
from torch import Tensor

from v4e import flow
from v4e.batch import Inputs
from v4e.conditioning import TEMPORAL, condition, flf_video, i2v_video
from v4e.models.dit import predict
from v4e.models.encoders import decode_clip, encode_clip, encode_images, encode_text, to_images, to_pixels
from v4e.models.load import Frozen, load_dit, load_frozen, move

OnStep = Callable[[int, Tensor], bool | None]


@dataclass(frozen=True, kw_only=True)
class Edit:
    image: Image.Image  # of the source's size
    clip: list[Image.Image]  # P frames of the model's size, the source's reconstruction first
    how: tuple[str, ...] = ()  # names of the options in use that are not exact


@dataclass(frozen=True, kw_only=True)
class Editor:
    """A student (or any Wan I2V pipeline), ready to edit."""

    dit: WanTransformer3DModel
    frozen: Frozen
    scheduler: UniPCMultistepScheduler
    loras: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        folder: str,
        *,
        dtype: torch.dtype = torch.float32,
        attention: str = "native",
        fold_pad: bool = True,
        loras: Mapping[str, str] | None = None,
    ) -> "Editor":
        """From a diffusers pipeline folder or hub id, onto the GPU if there is one."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        frozen = load_frozen(folder, dtype)
        for model in (frozen.vae, frozen.text_encoder, frozen.image_encoder):
            move(model, device)
        dit = move(load_dit(folder, dtype, attention, fold_pad), device).eval().requires_grad_(False)
        scheduler = UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
        return cls(dit=dit, frozen=frozen, scheduler=cast(UniPCMultistepScheduler, scheduler), loras=loras or {})

    @staticmethod
    def size(image: Image.Image, max_pixels: int) -> tuple[int, int]:
        """(height, width) on the 16-pixel grid, of the image's aspect and at most `max_pixels`."""
        scale = min(1.0, (max_pixels / (image.width * image.height)) ** 0.5)
        height, width = (max(16, int(side * scale) // 16 * 16) for side in (image.height, image.width))
        return height, width

    @torch.no_grad()
    def preview(self, x0_hat_BCFHW: Tensor) -> list[Image.Image]:
        """The tail of each prediction as an image."""
        clip_BCPHW = decode_clip(self.frozen.vae, x0_hat_BCFHW.to(self.dit.patch_embedding.weight.dtype))
        return to_images(clip_BCPHW[:, :, -1])

    @property
    def device(self) -> torch.device:
        return self.dit.patch_embedding.weight.device

    @torch.no_grad()
    def edit(
        self,
        images: list[Image.Image],
        instructions: list[str],
        *,
        height: int,
        width: int,
        seeds: list[int],
        frames: int = 5,
        steps: int = 8,
        guidance: float = 1.0,
        negatives: list[str] | None = None,
        lora: str | None = None,
        shift: float | None = None,
        solver: Literal["euler", "unipc"] = "euler",
        last_images: list[Image.Image] | None = None,
        on_step: OnStep | None = None,
    ) -> list[Edit]:
        """Edit a batch, each image by its instruction.

        Images of any size are brought to (`height`, `width`) pixels and the edits back to their source's size. `shift`
        defaults to the scheduler's own. `last_images` are the last frames for an FLF2V model. `on_step(step,
        x0_hat_BCFHW)` sees the prediction after each step; returning False stops there and yields that prediction.

        Raises:
            ValueError: differing numbers of images, instructions and seeds.
        """
        if not len(images) == len(instructions) == len(seeds):
            raise ValueError(
                f"{len(images)} images, {len(instructions)} instructions, {len(seeds)} seeds: expected as many of each"
            )
        if lora is not None and lora not in self.loras:
            raise ValueError(f"lora {lora!r} is not loaded: expected one of {sorted(self.loras)}")
        frozen, device, dtype = self.frozen, self.device, self.dit.patch_embedding.weight.dtype
        sources = _fit(images, height, width)
        source_BCHW = to_pixels(sources, height, width).to(device)
        image_BID = encode_images(frozen.image_encoder, frozen.image_processor, sources)
        video = i2v_video(source_BCHW, frames)
        if last_images is not None:
            lasts = _fit(last_images, height, width)
            video = flf_video(source_BCHW, to_pixels(lasts, height, width).to(device), frames)
            last_BID = encode_images(frozen.image_encoder, frozen.image_processor, lasts)
            image_BID = torch.cat([image_BID, last_BID], 1)
        z_cond_BCFHW = encode_clip(frozen.vae, video)
        text = encode_text(frozen.text_encoder, frozen.tokenizer, instructions)
        empty = (
            encode_text(frozen.text_encoder, frozen.tokenizer, negatives or [""] * len(images))
            if guidance != 1
            else None
        )
        z_BCFHW = sample(
            self.dit,
            Inputs(y_BCFHW=condition(z_cond_BCFHW, last=last_images is not None), text=text, image_BID=image_BID),
            seeds=seeds,
            steps=steps,
            shift=self.scheduler.config["flow_shift"] if shift is None else shift,
            solver=solver,
            scheduler=self.scheduler,
            guidance=guidance,
            empty=empty,
            on_step=on_step,
        )
        clip_BCPHW = decode_clip(frozen.vae, z_BCFHW.to(dtype))
        edits = []
        for image, clip_CPHW in zip(images, clip_BCPHW, strict=True):
            clip = to_images(clip_CPHW.transpose(0, 1))
            edits.append(Edit(image=clip[-1].resize(image.size, Image.Resampling.LANCZOS), clip=clip))
        return edits


@torch.no_grad()
def sample(
    dit: WanTransformer3DModel,
    inputs: Inputs,
    *,
    seeds: list[int],
    steps: int,
    shift: float,
    solver: Literal["euler", "unipc"],
    scheduler: UniPCMultistepScheduler,
    guidance: float = 1.0,
    empty: list[Tensor] | None = None,
    dtype: torch.dtype | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Clip latents z_BCFHW, float32, of B encoded edits, each from the noise of its seed.

    `scheduler` holds UniPC's settings. `empty` are the empty prompts that `guidance` other than 1 leads away from.
    `dtype` as for ``models.dit.predict``. `dit` may be sharded: then all its ranks call this, equally often.
    """
    device = inputs.y_BCFHW.device

    def velocity(x_t_BCFHW: Tensor, t: float) -> Tensor:
        t_B = torch.full((len(seeds),), t, device=device)
        u, _ = predict(dit, x_t_BCFHW, t_B, inputs.y_BCFHW, inputs.text, inputs.image_BID, dtype=dtype)
        if empty is not None:
            u_0, _ = predict(dit, x_t_BCFHW, t_B, inputs.y_BCFHW, empty, inputs.image_BID, dtype=dtype)
            u = u_0 + guidance * (u - u_0)
        return u.float()

    _, c, f, h, w = inputs.y_BCFHW.shape
    shape = (c - TEMPORAL, f, h, w)  # without the mask channels
    noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    x_BCFHW = torch.stack(noise).to(device)
    if solver == "euler":
        return _euler(velocity, x_BCFHW, steps, shift, on_step)
    return _unipc(velocity, x_BCFHW, steps, shift, on_step, scheduler)


def _fit(images: list[Image.Image], height: int, width: int) -> list[Image.Image]:
    """The images as `to_pixels` sees them. The student was trained on CLIP states of these, not of the originals."""
    return [image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS) for image in images]


def _euler(velocity, x: Tensor, steps: int, shift: float, on_step: OnStep | None) -> Tensor:
    """Euler along ``flow.times``."""
    times = flow.times(steps, shift).tolist()
    for step, (t, t_next) in enumerate(pairwise(times)):
        u = velocity(x, t)
        x0_hat = x - t * u
        x = flow.euler_step(x, u, t, t_next)
        if on_step is not None and on_step(step, x0_hat) is False:
            return x0_hat
    return x


def _unipc(
    velocity, x: Tensor, steps: int, shift: float, on_step: OnStep | None, settings: UniPCMultistepScheduler
) -> Tensor:
    """diffusers' UniPC, Wan's own solver."""
    made = UniPCMultistepScheduler.from_config(settings.config, flow_shift=shift)
    scheduler = cast(UniPCMultistepScheduler, made)  # a tuple only where unused settings are asked for
    scheduler.set_timesteps(steps, device=x.device)
    for step, timestep in enumerate(scheduler.timesteps):
        t = float(timestep) / scheduler.config["num_train_timesteps"]
        u = velocity(x, t)
        x0_hat = x - float(scheduler.sigmas[step]) * u
        x = scheduler.step(u, timestep, x, return_dict=False)[0]
        if on_step is not None and on_step(step, x0_hat) is False:
            return x0_hat
    return x
