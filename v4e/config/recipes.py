"""Runs by name: a recipe is a function that returns a Config; ``section.key=value`` changes single fields of it."""

import dataclasses

from v4e.config.captions import Caption
from v4e.config.data import Data, Precompute
from v4e.config.losses import Flow, Tail
from v4e.config.run import Models, Run
from v4e.config.schema import Config
from v4e.config.teacher import Teacher
from v4e.config.training import Lora, Optim, Train


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
        teacher=Teacher(steps=20, guidance=5.0, batch=1, gpus=1, replicas=2),
        kd=dataclasses.replace(Config(recipe=name).kd, taps=(9, 19, 29, 39)),  # ours: the paper names none
        flow=Flow(shift=shift),
        optim=Optim(),
        train=Train(workers=8, gpus_per_worker=1, dtype="bfloat16", recompute="full", reduce="each"),
    )


def wan14b_480p() -> Config:
    """The paper's student and teacher at 832 x 480, on 10 GPUs: 8 train, 2 teach. Not yet run."""
    return _wan14b("wan14b_480p", height=480, width=832, shift=3.0, size="480P")


def wan14b_720p() -> Config:
    """The paper's student and teacher at 1280 x 720, on 10 GPUs: 8 train, 2 teach. Not yet run."""
    return _wan14b("wan14b_720p", height=720, width=1280, shift=5.0, size="720P")


def wan14b_lora() -> Config:
    """The paper's student at 832 x 480 with adapters of rank 64 on a frozen bfloat16 base. Not yet run."""
    full = _wan14b("wan14b_lora", height=480, width=832, shift=3.0, size="480P")
    return dataclasses.replace(full, lora=Lora(rank=64))


RECIPES = {f.__name__: f for f in (tiny, wan14b_480p, wan14b_720p, wan14b_lora)}
