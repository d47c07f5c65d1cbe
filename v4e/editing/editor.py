"""The one inference path of samples, evaluation and serving: image and instruction in, edit and evolution out.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, P pixel frames. Tokens: I of
images, T of text. D is the width.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import cast

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from PIL import Image
from torch import Tensor

from v4e.config import Config
from v4e.editing import away as places
from v4e.editing import inexact
from v4e.editing.arguments import check_counts, check_masks
from v4e.editing.away import Away, present
from v4e.editing.finish import Edit, finished
from v4e.editing.inexact import Inexact
from v4e.editing.masks import held
from v4e.editing.settings import EditSettings
from v4e.files.cache import TensorCache, content_key
from v4e.files.images import fit, grid_size
from v4e.method import sampler
from v4e.method.conditioning import condition, flf_video, i2v_video, tail_video
from v4e.method.sampler import OnStep
from v4e.models.dit import DitInputs
from v4e.models.encoders import beyond, decoded, encode_clip, encode_images, encode_text, to_images, to_pixels
from v4e.models.framewise import framewise
from v4e.wan import TEXT_LEN
from v4e.weights import student
from v4e.weights.change import add_change
from v4e.weights.frozen import Frozen, load_frozen
from v4e.weights.gguf_file import check_gguf
from v4e.weights.hub import check_trained_frames
from v4e.weights.load import DTYPES, any_device, load_dit, move
from v4e.weights.lora_files import Adapters

EXACT = Inexact()
CACHE_BYTES = 256 * 2**20  # about 100 sources and instructions of Wan 14B at 720p


@dataclass(frozen=True, kw_only=True)
class Editor:
    """A student (or any Wan I2V pipeline), ready to edit; one edit at a time."""

    dit: WanTransformer3DModel
    frozen: Frozen
    decoder: AutoencoderKLWan  # the VAE of `frozen`, or a copy that is not exact
    scheduler: UniPCMultistepScheduler
    adapters: Adapters
    cache: TensorCache[Tensor]
    options: Inexact = EXACT
    away: Away = ""
    folder: str = ""  # where the family lies
    home: torch.device | None = None  # where models compute; None: where the DiT is

    @classmethod
    def of(cls, config: Config, folder: str, device: torch.device) -> "Editor":
        """Loads a pipeline folder onto `device`, as ``models.*`` of `config` says: see :meth:`load`."""
        models = config.models
        return cls.load(
            folder,
            dtype=DTYPES[models.dtype],
            attention=models.attention,
            fold_pad=models.fold_pad,
            positions=models.positions,
            device=device,
        )

    @classmethod
    def load(
        cls,
        folder: str = "",
        *,
        dtype: torch.dtype = torch.float32,
        attention: str = "native",
        fold_pad: bool = True,
        positions: tuple[int, ...] = (),
        loras: Mapping[str, str] | None = None,
        held_loras: int = 4,
        cache_bytes: int = CACHE_BYTES,
        options: Inexact = EXACT,
        away: Away = "",
        device: torch.device | None = None,
    ) -> "Editor":
        """Loads a diffusers pipeline folder or hub id onto `device`, by default a GPU if there is one.

        Without a folder it is the student that comes with v4e (:mod:`v4e.weights.student`).
        `positions` are the places in time of two latent frames, by default the folder's own. `loras` are files by the
        names that edits use; at most `held_loras` are in memory. `cache_bytes` of encoded sources and texts are kept
        from edit to edit. VAE and image encoder are float32 in every `dtype`. With ``away="models"`` one of the four
        models is on `device` at a time, and with "blocks" only a block or two of the DiT (:mod:`v4e.editing.away`).

        Raises:
            FileNotFoundError: the folder, or a file of a LoRA or of `options`, is not there.
            ValueError: a LoRA does not fit, or this machine cannot do one of `options`.
        """
        device = device or any_device()
        inexact.check(options, device)
        places.check(away, bool(loras), bool(options.weights or options.gguf or options.compile))
        if options.gguf:
            check_gguf(options.gguf, folder, bool(loras))
        own, folder = not folder, folder or student.BASE
        frozen = load_frozen(folder, dtype)
        waits = places.HOST if away else device
        frozen = replace(frozen, vae=inexact.tiled(framewise(move(frozen.vae, waits)), options))
        for model in (frozen.text_encoder, frozen.image_encoder):
            move(model, waits)
        dit = load_dit(folder, dtype, attention, fold_pad, positions=positions, gguf=options.gguf)
        dit = move(dit, waits).eval().requires_grad_(False)
        if own:
            add_change(dit, student.CHANGE)
        inexact.apply(dit, options)
        places.place(dit, away, device)
        scheduler = UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
        return cls(
            dit=dit,
            frozen=frozen,
            decoder=inexact.decoder_of(frozen.vae, options),
            scheduler=cast(UniPCMultistepScheduler, scheduler),
            adapters=Adapters(dit, loras or {}, most=held_loras),
            cache=TensorCache(cache_bytes),
            options=options,
            away=away,
            folder=folder,
            home=device,
        )

    @staticmethod
    def size(image: Image.Image, max_pixels: int) -> tuple[int, int]:
        """(height, width) on the 16-pixel grid, of the image's aspect and at most `max_pixels`."""
        return grid_size(image.width, image.height, max_pixels)

    @torch.no_grad()
    def preview(self, x0_hat_BCFHW: Tensor) -> list[Image.Image]:
        """The tail of each prediction as an image."""
        with self._there(self.decoder):
            return [image for part in decoded(self.decoder, x0_hat_BCFHW) for image in to_images(part[:, :, -1])]

    @property
    def device(self) -> torch.device:
        return self.home or self.dit.patch_embedding.weight.device

    def _there(self, model: torch.nn.Module) -> AbstractContextManager[None]:
        """Keeps a model where it computes, for the body of ``with``; the DiT's blocks may come by themselves."""
        by_itself = model is self.dit and self.away == "blocks"
        return present(model, "" if by_itself else self.away, self.device)

    @torch.no_grad()
    def edit(
        self,
        images: list[Image.Image],
        instructions: list[str],
        seeds: list[int],
        settings: EditSettings,
        *,
        negatives: list[str] | None = None,
        lora: str | None = None,
        last_images: list[Image.Image] | None = None,
        masks: list[Image.Image] | None = None,
        on_step: OnStep | None = None,
    ) -> list[Edit]:
        """Edits a batch, each image by its instruction, from the noise of its seed.

        Images of any size are brought to the size of `settings`, and the edits back to their source's size. With
        guidance other than 1 each step is led away from `negatives`, which are empty by default. `lora` is the name of
        one given to :meth:`load`. `last_images` are the last frames for an FLF2V model. `masks` are of mode L and of
        their image's size: where one is 0, the image stays as it is, to the bit. `on_step(step, x0_hat_BCFHW)`
        sees the prediction after each step; if it returns False, the edit stops there and is that prediction.

        Raises:
            ValueError: an argument means nothing, or does not fit the others or the model.
        """
        check_counts(images, instructions, seeds, negatives, last_images)
        check_masks(images, masks, settings)
        check_trained_frames("frames", settings.frames, self.folder)
        if settings.middle_steps and self.options.step_cache:
            raise ValueError("middle_steps and step_cache exclude each other: the cache compares clips of one length")
        height, width = self.sides(images, settings)
        self.adapters.use(lora)
        sources, frames = fit(images, height, width), settings.frames
        inputs = self._inputs(sources, instructions, frames, last_images)
        needs_still = settings.preserve == "auto" or settings.hold
        stills = [self._still(source, frames) for source in sources] if needs_still else []
        empty = [self._text(t) for t in negatives or [""] * len(images)] if settings.guidance != 1 else None
        with self._there(self.dit), inexact.step_cache(self.dit, self.options):
            z_BCFHW = sampler.sample(
                self.dit,
                inputs,
                seeds=seeds,
                steps=settings.steps,
                shift=self.scheduler.config["flow_shift"] if settings.shift is None else settings.shift,
                solver=settings.solver,
                scheduler=self.scheduler,
                guidance=settings.guidance,
                empty=empty,
                held=held(torch.cat(stills), masks) if settings.hold and masks else None,
                middle_steps=settings.middle_steps,
                on_step=on_step,
            )
        with self._there(self.decoder):
            parts = decoded(self.decoder, z_BCFHW)
            clips = [to_images(clip_CPHW.transpose(0, 1)) for part in parts for clip_CPHW in part]
        kept = self.preview(torch.cat(stills)) if settings.preserve == "auto" else [None] * len(images)
        told = [(image, clip, self._notes(text)) for image, clip, text in zip(images, clips, instructions, strict=True)]
        made = [Edit(image=image, clip=clip, how=self.options.names, notes=notes) for image, clip, notes in told]
        rows = zip(made, sources, kept, masks or [None] * len(images), strict=True)
        return [finished(edit, settings, sized=sized, still=still, mask=mask) for edit, sized, still, mask in rows]

    def _notes(self, text: str) -> tuple[str, ...]:
        """Returns a word on a text that is longer than the model reads."""
        over = beyond(self.frozen.tokenizer, text)
        words = f"The text has {TEXT_LEN + over} tokens and the model reads {TEXT_LEN}: the last {over} have no effect."
        return (words,) if over else ()

    def sides(self, images: list[Image.Image], settings: EditSettings) -> tuple[int, int]:
        """Returns (height, width) of all `images` on the model's grid."""
        height, width = settings.height, settings.width
        if height is None or width is None:
            if settings.max_pixels is None:
                raise ValueError("no size: give height and width, or max_pixels, such as 832 * 480 for Wan 480p")
            sizes = [self.size(image, settings.max_pixels) for image in images]
            if len(set(sizes)) > 1:
                got = ", ".join(f"{wide} x {tall}" for tall, wide in sizes)
                raise ValueError(f"a batch is of one size, these images come to {got}: edit them one by one")
            height, width = sizes[0]
        positions = self.dit.config["rope_max_seq_len"]
        stride = self.frozen.vae.config["scale_factor_spatial"] * self.dit.config["patch_size"][1]
        if height % stride or width % stride:
            raise ValueError(f"{width} x {height} pixels: expected multiples of {stride}, the sides of a token")
        if max(height, width) > positions * stride:
            raise ValueError(f"{width} x {height} pixels: this model has positions for {positions * stride} a side")
        return height, width

    def _inputs(
        self,
        sources: list[Image.Image],
        instructions: list[str],
        frames: int,
        last_images: list[Image.Image] | None,
    ) -> DitInputs:
        """All that the DiT sees beside (x_t, t). Each sample is encoded alone: it does not depend on its neighbours."""
        width, height = sources[0].size
        if last_images is None:
            z_cond = [self._condition(source, frames) for source in sources]
            image_BID = torch.cat([self._image(source) for source in sources])
        else:
            lasts = fit(last_images, height, width)
            pairs = list(zip(sources, lasts, strict=True))
            z_cond = [self._condition(source, frames, last) for source, last in pairs]
            image_BID = torch.cat([torch.cat([self._image(image) for image in pair], 1) for pair in pairs])
        return DitInputs(
            y_BCFHW=condition(torch.cat(z_cond), last=last_images is not None),
            text=[self._text(text) for text in instructions],
            image_BID=image_BID,
        )

    def _condition(self, source: Image.Image, frames: int, *last: Image.Image) -> Tensor:
        """z_cond_BCFHW of one source, and of its last frame for FLF2V."""

        def encode() -> Tensor:
            width, height = source.size
            pixels = [to_pixels([image], height, width).to(self.device) for image in (source, *last)]
            video = flf_video(pixels[0], pixels[1], frames) if last else i2v_video(pixels[0], frames)
            with self._there(self.frozen.vae):
                return encode_clip(self.frozen.vae, video)

        return self.cache.get(content_key(f"condition of {frames} frames", source, *last), encode)

    def _still(self, source: Image.Image, frames: int) -> Tensor:
        """z_BCFHW of a clip that shows nothing but one source."""

        def encode() -> Tensor:
            pixels = to_pixels([source], source.height, source.width).to(self.device)
            with self._there(self.frozen.vae):
                return encode_clip(self.frozen.vae, tail_video(pixels, pixels, frames))

        return self.cache.get(content_key(f"still of {frames} frames", source), encode)

    def _image(self, image: Image.Image) -> Tensor:
        """image_BID of one image."""
        frozen = self.frozen

        def encode() -> Tensor:
            with self._there(frozen.image_encoder):
                return encode_images(frozen.image_encoder, frozen.image_processor, [image])

        return self.cache.get(content_key("image", image), encode)

    def _text(self, text: str) -> Tensor:
        """text_TD without pads."""
        frozen = self.frozen

        def encode() -> Tensor:
            with self._there(frozen.text_encoder):
                return encode_text(frozen.text_encoder, frozen.tokenizer, [text])[0]

        return self.cache.get(content_key("text", text), encode)
