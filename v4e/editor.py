"""The one inference path of samples, evaluation and serving: image and instruction in, edit and evolution out.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, P pixel frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from PIL import Image
from torch import Tensor

from v4e import flow
from v4e.conditioning import condition, flf_video, i2v_video
from v4e.models.dit import predict
from v4e.models.encoders import decode_clip, encode_clip, encode_images, encode_text, to_images, to_pixels
from v4e.models.load import Frozen, load_dit, load_frozen, move

OnStep = Callable[[int, Tensor], bool | None]


@dataclass(frozen=True, kw_only=True)
class Edit:
    image: Image.Image  # of the source's size
    clip: list[Image.Image]  # P frames of the model's size, the source's reconstruction first


@dataclass(frozen=True, kw_only=True)
class Editor:
    """A student (or any Wan I2V pipeline), ready to edit."""

    dit: WanTransformer3DModel
    frozen: Frozen
    scheduler: UniPCMultistepScheduler

    @classmethod
    def load(
        cls, folder: str, *, dtype: torch.dtype = torch.float32, attention: str = "native", fold_pad: bool = True
    ) -> "Editor":
        """From a diffusers pipeline folder or hub id, onto the GPU if there is one."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        frozen = load_frozen(folder, dtype)
        for model in (frozen.vae, frozen.text_encoder, frozen.image_encoder):
            move(model, device)
        dit = move(load_dit(folder, dtype, attention, fold_pad), device).eval().requires_grad_(False)
        scheduler = UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
        return cls(dit=dit, frozen=frozen, scheduler=cast(UniPCMultistepScheduler, scheduler))

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
        y_BCFHW = condition(z_cond_BCFHW, last=last_images is not None)
        text = encode_text(frozen.text_encoder, frozen.tokenizer, instructions)
        empty = encode_text(frozen.text_encoder, frozen.tokenizer, [""] * len(images)) if guidance != 1 else None

        def velocity(x_t_BCFHW: Tensor, t: float) -> Tensor:
            t_B = torch.full((len(images),), t, device=device)
            u, _ = predict(self.dit, x_t_BCFHW, t_B, y_BCFHW, text, image_BID)
            if empty is not None:
                u_0, _ = predict(self.dit, x_t_BCFHW, t_B, y_BCFHW, empty, image_BID)
                u = u_0 + guidance * (u - u_0)
            return u.float()

        shape = z_cond_BCFHW.shape[1:]
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        flow_shift: float = self.scheduler.config["flow_shift"] if shift is None else shift
        solve = _euler if solver == "euler" else self._unipc
        z_BCFHW = solve(velocity, torch.stack(noise).to(device), steps, flow_shift, on_step)
        clip_BCPHW = decode_clip(frozen.vae, z_BCFHW.to(dtype))
        edits = []
        for image, clip_CPHW in zip(images, clip_BCPHW, strict=True):
            clip = to_images(clip_CPHW.transpose(0, 1))
            edits.append(Edit(image=clip[-1].resize(image.size, Image.Resampling.LANCZOS), clip=clip))
        return edits

    def _unipc(self, velocity, x: Tensor, steps: int, shift: float, on_step: OnStep | None) -> Tensor:
        """diffusers' UniPC, Wan's own solver."""
        made = UniPCMultistepScheduler.from_config(self.scheduler.config, flow_shift=shift)
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
