"""Parts of v4e's GPU path, run at Wan2.1-14B's true sizes on the pretended device: what each does, and its plan.

Functions of ``server``: each is run in a process of its own.
"""

import math
import os
from dataclasses import replace
from types import SimpleNamespace

import diffusers
import flash_attn
import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch.testing._internal.distributed.fake_pg import FakeStore

from actors.stream.transport import Offers
from actors.teacher import actor
from benchmarks.support.pretended import models
from benchmarks.support.pretended.device import replaced
from benchmarks.support.pretended.models import CUDA
from benchmarks.support.pretended.seen import Case, Seen
from benchmarks.support.pretended.watch import watched
from v4e.config import Config, parse
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
from v4e.parallel.fsdp import student_mesh
from v4e.planning.frozen_memory import editor_memory, encoder_memory
from v4e.planning.memory import student_memory, teacher_memory
from v4e.planning.work import Reads
from v4e.training.student import StudentTrainer
from v4e.types import TargetRequest
from v4e.weights.load import DTYPES, load_dit, load_student
from v4e.weights.lora_files import Adapters

EXPLAIN = bool(os.environ.get("PRETENDED_EXPLAIN"))  # at the cost of time, the notes tell what was there at each peak
# It looks for a time among times, which fake tensors do not have.
diffusers.UniPCMultistepScheduler.index_for_timestep = lambda *_, **__: 0


def config_of(arguments: tuple[str, ...], layers: int) -> Config:
    """The recipe of `arguments` with taps that `layers` blocks have."""
    config = parse(list(arguments))
    return replace(config, kd=replace(config.kd, taps=tuple(range(layers))[-4:]))


def ranks(size: int) -> None:
    """Makes this process one of `size` ranks, whose collectives do nothing."""
    dist.init_process_group("fake", rank=0, world_size=size, store=FakeStore())
    dist.get_backend_config = lambda *_: "cpu:gloo,cuda:nccl"


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


def student(*arguments: str, layers: int = 2, steps: int = 2, world: int = 8, bad: bool = False) -> Case:
    """Steps of the student on one of `world` ranks; with `bad`, of which the last has no finite loss."""
    config, parts = config_of((*arguments, f"train.workers={world}"), layers), {}
    of = models.transformer("i2v", layers)
    ranks(world)
    mesh = student_mesh(config.train, "cuda", world)
    with watched() as watch, models.reading_nothing(of):
        with watch.part() as parts["load"]:
            dit = load_student(config, CUDA, mesh)
            vae = models.made_vae().to(CUDA) if config.tail.space == "pixel" else None
            trainer = StudentTrainer(config, dit, device=CUDA, mesh=mesh, vae=vae)
        models.collected()
        for step in range(1, steps + 1):
            batches = [models.batch_of(config) for _ in range(trainer.forwards)]
            watch.number = math.nan if bad and step == steps else watch.number
            with watch.part(parts=EXPLAIN) as parts[f"step {step}"]:
                metrics = trainer.step(batches)
            models.collected()
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
        host = watch.held["cpu"]
        frames, height, width = models.grid_of(config)
    reads = Reads(clip=frames * height * width // 4, text=512, image=models.IMAGE)
    plan = student_memory(config, sizes.dit(of), reads, workers=world, image_tokens=models.IMAGE)
    notes = {"metrics": metrics, "at peak": at_peak, "plan": vars(plan), "host": host}
    notes |= {"flash": sorted(flash_attn.SEEN)}
    return Case(parts=parts, planned=plan.total - plan.in_host_memory(config.train.offload), notes=notes)


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


def editor(*arguments: str, layers: int = 2, options: Inexact | None = None, preview: bool = True) -> Case:
    """An edit, as a replica of the server and evaluation make it; sampled as ``sample.*`` says, in two steps."""
    config, parts = config_of(arguments, layers), {}
    options, data = options or Inexact(), config.data
    with watched() as watch:
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
                adapters=Adapters(dit, {}, most=4),
                cache=TensorCache(256 << 20),
                options=options,
            )
        models.collected()
        image, count = Image.new("RGB", (data.width, data.height), "gray"), config.eval.batch
        settings = replace(EditSettings.of(config, data.height, data.width), steps=2)
        shown: list[Seen] = []

        def on_step(_step: int, x0_hat_BCFHW: torch.Tensor) -> bool:
            if preview:
                with watch.part() as seen:
                    edits.preview(x0_hat_BCFHW)
                shown.append(seen)
            return True

        with watch.part(parts=EXPLAIN) as parts["edit"]:
            [edit, *_] = edits.edit(
                [image] * count, ["make the car red"] * count, list(range(count)), settings, on_step=on_step
            )
        at_peak = {name: round(gib, 2) for name, gib in watch.at_peak().most_common(14)}
        parts |= {f"preview {n}": seen for n, seen in enumerate(shown)}
    notes = {"size": edit.image.size, "frames": len(edit.clip), "at peak": at_peak}
    reads = Reads(clip=math.prod(models.grid_of(config)) // 4, text=512, image=models.IMAGE)
    planned = editor_memory(config, sizes.dit(models.transformer("i2v", layers)), reads, image_tokens=models.IMAGE)
    return Case(parts=parts, planned=planned.total, notes=notes | {"flash": sorted(flash_attn.SEEN)})
