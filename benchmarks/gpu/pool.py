"""The real teacher pool with a teacher split over two GPUs: where it is, what it answers, and how soon.

Shapes: B batch, C latent channels, F latent frames, H W latent height and width, K taps, N DiT tokens, D width.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import ray
import torch
from torch import Tensor

from actors.cluster import connect
from actors.stream.packing import unpack
from actors.stream.transport import fetch
from actors.teacher.actor import Teacher
from actors.teacher.pool import await_pool, teacher_pool
from benchmarks.gpu.sizes import BF16, Figures, GpuSize, distance, expect
from tests.support.synthetic import requests_of, rolled_out, stored
from v4e.config import Config
from v4e.models.tiny import save_random

ANSWER_S = 5.0  # for the first rollout: weights of 14B take longer to load, and nothing may load then
RANKS = 2


def check(device: str, size: GpuSize) -> Figures:
    """Two ranks against one, in this process; devices of teachers with and without a GPU.

    `size` is not read: the models are the tiny family's, with random weights.
    """
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    ranks = RANKS if device == "cpu" or gpus >= RANKS else 1
    connect(cpus=4)
    with tempfile.TemporaryDirectory() as folder:
        family = Path(folder, "family")
        save_random(family)
        teacher = {"tp": ranks, "gpus": min(gpus, 1), "guidance": 5.0, "timeout_s": ANSWER_S, "retries": 0}
        run = stored(Path(folder, "run"), family, 4, teacher=teacher)
        rolled_out(run)
        figures: Figures = {"ranks": ranks} | answered(run, "cuda" if gpus else "cpu")
        if gpus:
            without = replace(run, teacher=replace(run.teacher, tp=1, gpus=0))
            figures["without a GPU: rollout s"] = answered(without, "cpu")["first rollout s"]
    return figures


def answered(run: Config, expected: str) -> Figures:
    """A pool's first rollout, with guidance, and a target; its ranks are on `expected`, which they reserved."""
    start = time.perf_counter()
    with teacher_pool(run) as pool:
        await_pool(pool, run.teacher)
        reports = ray.get(pool.ready.remote())
        load_s = time.perf_counter() - start
        devices = sorted(str(report["device"]) for report in reports)
        assert all(device.startswith(expected) for device in devices), f"ranks are on {devices}, expected {expected}"
        request = requests_of(1)[0]
        first_s, z_clip_BCFHW = asked(pool.rollout.remote(request.sample_ids))
        target_s, payload = asked(pool.target.remote(request))
    alone = Teacher(replace(run, teacher=replace(run.teacher, tp=1)))
    taps_KBND = unpack(payload)
    worst = max(
        distance(z_clip_BCFHW, alone.rollouts(request.sample_ids)),
        distance(taps_KBND, alone.taps(request)),
    )
    return {"load s": load_s, "first rollout s": first_s, "target s": target_s, "devices": " ".join(devices)} | {
        "against one rank": expect("a split teacher's answers", worst, BF16)
    }


def asked(answer: ray.ObjectRef) -> tuple[float, Tensor]:
    """Seconds until an answer is here, and the answer."""
    start = time.perf_counter()
    [payload], _ = ray.get(answer)
    found = fetch(payload, ANSWER_S).clone()
    return time.perf_counter() - start, found
