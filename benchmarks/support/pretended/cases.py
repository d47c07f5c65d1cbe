"""Parts of v4e's GPU path, run at Wan2.1-14B's true sizes on the pretended device: what each does, and its plan.

Functions of ``server``: each is run in a process of its own.
"""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import diffusers
import flash_attn
import numpy as np
import torch
import torch.distributed as dist
from PIL import Image

from actors.stream.transport import Offers
from actors.teacher import actor
from benchmarks.support.pretended import models
from benchmarks.support.pretended.device import replaced
from benchmarks.support.pretended.models import CUDA, EXPLAIN, config_of, ranks
from benchmarks.support.pretended.seen import Case, Seen
from benchmarks.support.pretended.watch import watched
from v4e.config import parse
from v4e.data.store.features import encode_samples
from v4e.data.store.store import Texts
from v4e.editing.editor import Editor
from v4e.editing.inexact import Inexact, decoder_of
from v4e.editing.settings import EditSettings
from v4e.files.cache import TensorCache
from v4e.method.conditioning import tail_of_x0
from v4e.method.losses import tail_loss
from v4e.models import sizes
from v4e.models.encoders import decode_clip, encode_clip
from v4e.models.framewise import framewise
from v4e.models.recompute import recompute_vae
from v4e.planning.frozen_memory import editor_memory, encoder_memory
from v4e.planning.memory import teacher_memory
from v4e.planning.work import Reads
from v4e.types import TargetRequest
from v4e.weights import lora_files
from v4e.weights.load import DTYPES, load_dit

# It looks for a time among times, which fake tensors do not have.
diffusers.UniPCMultistepScheduler.index_for_timestep = lambda *_, **__: 0


def teacher(*arguments: str, layers: int = 2, rollout: bool = False) -> Case:
    """A target of the FLF2V teacher, or of one of its ranks; with `rollout` two steps of one too."""
    config, parts = config_of(arguments, layers), {}
    config = replace(config, teacher=replace(config.teacher, steps=2))
    of, group = models.transformer("flf2v", layers), None
    if config.teacher.tp > 1:
        ranks(config.teacher.tp)
        group = dist.group.WORLD
    with watched() as watch:
        sample = models.sample_of(config)
        stores = {"Store": models.store_of(sample), "RolloutStore": models.store_of(sample.z_flf_CFHW)}

        def made(*_models, **_options):
            if group is None:
                return models.made_dit(config, "flf2v", layers)
            with models.reading_nothing(of):
                return load_dit(*_models, **_options)

        prompt = torch.empty(1, 4096, dtype=torch.bfloat16, device=CUDA)
        schedulers = SimpleNamespace(from_pretrained=lambda *_, **__: models.unipc())
        files = {"load_dit": made, "empty_prompt": lambda *_, **__: prompt, "UniPCMultistepScheduler": schedulers}
        with replaced(actor, **files, **stores):
            rank = actor.Teacher(config, group, CUDA)
            rank.ready()
            models.collected()
            count = config.optim.batch
            with watch.part() as parts["forward"]:
                bits = rank.targets(TargetRequest(sample_ids=("a",) * count, seeds=(1,) * count))
            with watch.part() as parts["answer"]:
                Offers("object_store").begin(bits)()
            shape = tuple(bits.shape)
            del bits
            if rollout:
                models.collected()
                with watch.part() as parts["rollout"]:
                    rank.rollouts(("a",) * config.teacher.batch)
        n = sample.z_flf_CFHW[0].numel() // 4
    reads = Reads(clip=n, text=512, image=2 * models.IMAGE)
    weights, more = teacher_memory(config, sizes.dit(of), reads, image_tokens=models.IMAGE)
    notes = {"shape": shape, "flash": sorted(flash_attn.SEEN)}
    return Case(parts=parts, planned=weights + more, notes=notes)


def pixel_tail(height: int, width: int, *, frames: int = 5) -> Case:
    """Eq. 4 to the letter: a predicted clip decoded, tiled and encoded again, with the gradient of its loss."""
    parts: dict[str, Seen] = {}
    with watched() as watch:
        vae = models.made_vae().to(CUDA)
        recompute_vae(vae)
        x0_hat_BCFHW = torch.empty(1, 16, (frames + 3) // 4, height // 8, width // 8, device=CUDA, requires_grad=True)
        target_BCHW = torch.empty(1, 16, height // 8, width // 8, device=CUDA)
        models.collected()
        with watch.part() as parts["forward"]:
            z_BCHW = tail_of_x0(x0_hat_BCFHW, vae=vae, space="pixel", context="source")
            loss = tail_loss(z_BCHW, target_BCHW, torch.ones(1, device=CUDA), 0.1)
        with watch.part(parts=EXPLAIN) as parts["backward"]:
            loss.backward()
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
    return Case(parts=parts, notes={"at peak": at_peak, "gradient": str(x0_hat_BCFHW.grad.dtype)})


def vae(way: str, *, height: int, width: int, frames: int = 5, clips: int = 1, by_frame: bool = False) -> Case:
    """Encodes or decodes clips without gradients; `by_frame` as the editor does."""
    parts: dict[str, Seen] = {}
    with watched() as watch:
        made = models.made_vae().to(CUDA)
        made = framewise(made) if by_frame else made
        models.collected()
        with torch.no_grad(), watch.part(parts=EXPLAIN) as parts[way]:
            if way == "encode":
                encode_clip(made, torch.empty(clips, 3, frames, height, width))
            else:
                decode_clip(made, torch.empty(clips, 16, (frames + 3) // 4, height // 8, width // 8, device=CUDA))
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
    return Case(parts=parts, notes={"at peak": at_peak})


def precompute(*arguments: str) -> Case:
    """A batch of triplets encoded to samples."""
    config, parts = parse(list(arguments)), {}
    count, data = config.precompute.batch, config.data
    with watched() as watch:
        with watch.part() as parts["load"]:
            frozen = models.made_frozen(DTYPES[config.models.dtype])
            frozen.vae.to(CUDA), frozen.text_encoder.to(CUDA), frozen.image_encoder.to(CUDA)
        models.collected()
        pixels = np.zeros((count, data.height, data.width, 3), np.uint8)
        texts = [Texts(task="color", instruction="make the car red", caption="the car turns red", corpus="")] * count
        with watch.part(parts=EXPLAIN) as parts["encode"]:
            context, frames = config.tail.context, data.frames
            [sample, *_] = encode_samples(
                frozen, [str(n) for n in range(count)], texts, pixels, pixels, frames=frames, context=context
            )
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
    planned = encoder_memory(config).total
    kinds = {name: (str(t.device), str(t.dtype)) for name, t in vars(sample).items() if isinstance(t, torch.Tensor)}
    return Case(parts=parts, planned=planned, notes={"at peak": at_peak, "sample": kinds})


def editor(
    *arguments: str,
    layers: int = 2,
    preview: bool = True,
    lora: bool = False,
    steps: int = 2,
    **inexact: Any,
) -> Case:
    """An edit, as a replica of the server and evaluation make it; sampled as ``sample.*`` says.

    With `lora` it is the first edit with one, which brings it to the device. `inexact` are options of ``Inexact``.
    """
    config, parts = config_of(arguments, layers), {}
    options, data = Inexact(**inexact), config.data
    with watched() as watch, replaced(lora_files, read=lambda dit, *_: models.lora_of(dit)):
        with watch.part() as parts["load"]:
            frozen = models.made_frozen(DTYPES[config.models.dtype])
            vae = framewise(frozen.vae.to(CUDA))
            frozen.text_encoder.to(CUDA), frozen.image_encoder.to(CUDA)
            dit = models.made_dit(config, "i2v", layers).to(CUDA)
            edits = Editor(
                dit=dit,
                frozen=replace(frozen, vae=vae),
                decoder=decoder_of(vae, options),
                scheduler=models.unipc(),
                adapters=lora_files.Adapters(dit, {"style": ""} if lora else {}),
                cache=TensorCache(256 << 20),
                options=options,
            )
        models.collected()
        image, count = Image.new("RGB", (data.width, data.height), "gray"), config.eval.batch
        settings = replace(EditSettings.of(config, data.height, data.width), steps=steps)
        shown: list[Seen] = []

        def on_step(_step: int, x0_hat_BCFHW: torch.Tensor) -> bool:
            if preview:
                with watch.part() as seen:
                    edits.preview(x0_hat_BCFHW)
                shown.append(seen)
            return True

        with watch.part(parts=EXPLAIN) as parts["edit"]:
            [edit, *_] = edits.edit(
                [image] * count,
                ["make the car red"] * count,
                list(range(count)),
                settings,
                lora="style" if lora else None,
                on_step=on_step,
            )
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
        parts |= {f"preview {n}": seen for n, seen in enumerate(shown)}
    notes = {"size": edit.image.size, "frames": len(edit.clip), "at peak": at_peak}
    reads = Reads(clip=math.prod(models.grid_of(config)) // 4, text=512, image=models.IMAGE)
    planned = editor_memory(config, sizes.dit(models.transformer("i2v", layers)), reads, image_tokens=models.IMAGE)
    return Case(parts=parts, planned=planned.total, notes=notes | {"flash": sorted(flash_attn.SEEN)})
