"""The costs that the simulation takes, measured in CPU time: of the pool, of a driver, of a core."""

import io
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import ray
import torch
from PIL import Image
from skimage import data as photographs

from actors.cluster import connect
from actors.stream.stream import TargetStream
from actors.teacher.pool import await_pool, start_pool, stop_pool
from benchmarks.support.stub_pool import StubTeacher, asked, stub
from pipelines.stages.rollout import answers
from v4e.config import Ingest, tiny
from v4e.data.ingest.check import check
from v4e.data.sources import RawTriplet
from v4e.data.store.store import RolloutStore

SIDE, IMAGES = 1024, 12  # pixels, triplets that are checked
TARGETS, ROLLOUTS = 400, 100
CLIP = (1, 16, 2, 60, 104)  # of 5 x 480 x 832


class Sampler(StubTeacher):
    """Answers every rollout at once with the same latents."""

    def rollouts(self, sample_ids: tuple[str, ...]) -> torch.Tensor:
        return torch.ones(CLIP)


def measure_costs() -> list[dict]:
    """A row a cost, milliseconds of CPU."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")  # the machine may be busy
    connect(cpus=4)
    rows = [
        {"part": "costs", "what": "request_ms", "ms": pool_ms()},
        {"part": "costs", "what": "rollout_ms", "ms": driver_ms()},
        {"part": "costs", "what": "image_ms", "ms": image_ms()},
    ]
    ray.shutdown()
    return rows


def pool_ms() -> float:
    """Returns the milliseconds of the pool's process for a target."""
    pool = start_pool(tiny(), stub((1, 1, 8, 64)))
    await_pool(pool, tiny().teacher)
    [process] = [p for p in psutil.Process().children(recursive=True) if "TeacherPool" in " ".join(p.cmdline()[:1])]
    found = []
    for _ in range(3):
        before = process.cpu_times()
        for _ in TargetStream(pool, asked(TARGETS), tiny().teacher):
            pass
        after = process.cpu_times()
        found.append(1e3 * (after.user + after.system - before.user - before.system) / TARGETS)
    stop_pool(pool)
    return median(found)


def driver_ms() -> float:
    """Returns the milliseconds of the driver for a rollout: fetched from the object store, and written."""
    config = tiny()
    config = replace(config, teacher=replace(config.teacher, batch=1))
    with tempfile.TemporaryDirectory() as folder:
        pool = start_pool(config, lambda *given: Sampler((1, 1, 8, 64), 0.0, *given))
        await_pool(pool, config.teacher)
        Path(folder, "samples").mkdir()
        rollouts, found = RolloutStore(folder), []
        for turn in range(3):
            chunks = [(f"{turn}-{number}",) for number in range(ROLLOUTS)]
            start = time.process_time()
            for [key], latents in answers(pool, chunks, config):
                rollouts.write(key, latents[0])
            found.append(1e3 * (time.process_time() - start) / ROLLOUTS)
        stop_pool(pool)
    return median(found)


def image_ms() -> float:
    """Returns the milliseconds of ingest for a triplet of photographs: decoded, gated, hashed, and encoded as PNG."""
    found = []
    for number in range(IMAGES):
        picture = (photographs.astronaut, photographs.coffee, photographs.cat)[number % 3]()
        source = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        pixels = np.asarray(source).copy()
        pixels[300:600, 300 + number : 600] = 255 - pixels[300:600, 300 + number : 600]
        raw = RawTriplet(
            id=str(number),
            instruction="make the square negative",
            task="color",
            corpus="omniedit",
            source=jpeg(source),
            edit=jpeg(Image.fromarray(pixels)),
        )
        start = time.process_time()
        row = check(raw, "color", Ingest(), 64_000_000)
        found.append(1e3 * (time.process_time() - start))
        assert row["source_hash"] and not row["reason"], row["reason"]
    return median(found)


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()
