"""Runs by name: a recipe is a function that returns a Config; ``section.key=value`` changes single fields of it."""
# ruff: noqa: RUF001, the Chinese commas of FLF2V_NEGATIVE

import dataclasses

from v4e.config.captions import Caption
from v4e.config.data import Data, Precompute
from v4e.config.evaluation import Eval
from v4e.config.losses import Flow, Tail
from v4e.config.run import Models, Run
from v4e.config.schema import Config
from v4e.config.teacher import Teacher
from v4e.config.training import Lora, Optim, Train

# The negative prompt of FLF2V's makers: their common one after the two terms of their configs i2v_14B and flf2v_14B.
FLF2V_NEGATIVE = (
    "镜头切换，镜头晃动，色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，"
    "JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


def tiny() -> Config:
    """The whole method on two CPU cores: the committed tiny Wan family on the evolution world."""
    return Config(
        recipe="tiny",
        tail=Tail(context="fade"),  # its clips are one evolution long
        optim=Optim(lr=3e-4, batch=8, accumulate=1, steps=1500, ema=0.995),
    )


def _wan14b(name: str, *, height: int, width: int, shift: float, size: str) -> Config:
    return Config(
        recipe=name,
        run=Run(dir=f"runs/{name}"),
        models=Models(
            student=f"Wan-AI/Wan2.1-I2V-14B-{size}-Diffusers",
            teacher="Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",  # the hub spells it so
            dtype="bfloat16",
            attention="flash",
            fold_pad=False,
        ),
        data=Data(height=height, width=width),
        caption=Caption(model="Qwen/Qwen2.5-7B-Instruct", refine=True, new_words=4, gpus=1),
        precompute=Precompute(readers=16, actors=8, gpus_per_actor=1),
        # ours: 8 forwards a clip. Its makers take 100: teacher.steps=50 teacher.shift=16 teacher.guidance=5.5
        teacher=Teacher(
            solver="unipc",
            negative=FLF2V_NEGATIVE,  # of guidance
            batch=1,
            gpus=1,
            replicas=2,
        ),
        kd=dataclasses.replace(Config(recipe=name).kd, taps=(9, 19, 29, 39)),  # ours: the paper names none
        tail=Tail(context="fade"),  # its clips are one evolution long, too
        flow=Flow(shift=shift),
        optim=Optim(),
        eval=Eval(batch=1),
        train=Train(
            workers=8,
            checkpoint_every=0,
            checkpoint_minutes=10,  # a full one is 244 GiB
            gpus_per_worker=1,
            dtype="bfloat16",
            recompute="full",
            reduce="each",
        ),
    )


def wan14b_480p() -> Config:
    """The paper's student and teacher at 832 x 480, on 10 GPUs: 8 train, 2 teach. Not yet run.

    The teacher's makers support it at 1280 x 720 only.
    """
    return _wan14b("wan14b_480p", height=480, width=832, shift=3.0, size="480P")


def wan14b_720p() -> Config:
    """The paper's student and teacher at 1280 x 720, on 10 GPUs: 8 train, 2 teach. Not yet run."""
    return _wan14b("wan14b_720p", height=720, width=1280, shift=5.0, size="720P")


def wan14b_lora() -> Config:
    """The paper's student at 832 x 480 with adapters of rank 64 on a frozen bfloat16 base. Not yet run.

    The teacher's makers support it at 1280 x 720 only.
    """
    full = _wan14b("wan14b_lora", height=480, width=832, shift=3.0, size="480P")
    return dataclasses.replace(full, lora=Lora(rank=64))


RECIPES = {f.__name__: f for f in (tiny, wan14b_480p, wan14b_720p, wan14b_lora)}
