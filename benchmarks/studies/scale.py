"""The simulation of v4e/planning/simulation: its costs, its predictions of measured runs, and 10^4 to 10^8 triplets.

Costs are in CPU time, because the machine may be busy. The pool's one process is
measured for a target, and the driver of `v4e rollout` for a rollout of 5 x 480 x 832. A core is measured for a
triplet's two images of 1024 x 1024.
Validation puts predictions from measured parts beside what whole runs took (other files of benchmarks/results).
Points are recipe wan14b_480p on 8 to 4,096 H100s, at stated speeds, with networks of 50 and 400 GB/s a node. Plots
are written to docs/img/scale-*.png.

`python benchmarks/studies/scale.py [costs] [validation] [points]` does only these, and keeps the rows of the others.
"""

import io
import math
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np
import psutil
import ray
import torch
from PIL import Image
from skimage import data as photographs

from actors.cluster import connect
from actors.stream.stream import TargetStream
from actors.teacher.pool import await_pool, start_pool, stop_pool
from benchmarks.support.daly import expected_seconds
from benchmarks.support.result import RESULTS, write_result
from benchmarks.support.scale_plots import plots
from benchmarks.support.stub_pool import StubTeacher, asked, show, stub
from pipelines.stages.rollout import answers
from v4e.config import Ingest, parse, tiny
from v4e.data.ingest.check import check
from v4e.data.sources import RawTriplet
from v4e.data.store.store import RolloutStore
from v4e.files.uri import read_json
from v4e.models import sizes
from v4e.planning.gpus import cluster_of
from v4e.planning.layout import rollout_flops, work_for
from v4e.planning.simulation.farm import Stage, farm
from v4e.planning.simulation.faults import best_interval, train_through
from v4e.planning.simulation.pipeline import Simulated, simulate
from v4e.planning.simulation.window import TrainingSetup, window

SIDE, IMAGES = 1024, 12  # pixels, triplets that are checked
TARGETS, ROLLOUTS = 400, 100
CLIP = (1, 16, 2, 60, 104)  # of 5 x 480 x 832
GPUS, TRIPLETS = (8, 32, 128, 512, 1024, 4096), (10**4, 10**5, 10**6, 10**7, 10**8)
SHOWN = 10**7  # triplets, of which both networks are shown
NETWORKS = {50.0: (SHOWN,), 400.0: TRIPLETS}  # GB/s a node
MTBFS, RUNS = (2_000.0, 10_000.0, 50_000.0), 100  # hours of a GPU, simulated trainings


# Costs


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


# Validation


def rows_of(name: str) -> list[dict]:
    return read_json(str(RESULTS / f"{name}.json"))["rows"]


def validate(request_ms: float) -> list[dict]:
    """Rows of what was measured, and what the simulation makes of measured parts."""
    return [
        *steps_with_slow_teachers(request_ms),
        *requests_a_second(request_ms),
        *label_stage(),
        *demo(request_ms),
        *runs_with_kills(),
    ]


def against(what: str, unit: str, predicted: float, measured: float) -> dict:
    error = predicted / measured - 1
    return {
        "part": "validation",
        "what": what,
        "unit": unit,
        "predicted": predicted,
        "measured": measured,
        "error": error,
    }


def steps_with_slow_teachers(request_ms: float) -> list[dict]:
    """benchmarks/training/overhead.py: one worker, and replicas that take three times its step, 1 to 8; and the real
    teacher."""
    rows = rows_of("overhead")
    student_s = next(row["student_ms"] for row in rows if "student_ms" in row) / 1e3
    found = []
    for row in rows:
        training = TrainingSetup(
            workers=1,
            replicas=row.get("replicas", 1),
            prefetch=tiny().teacher.prefetch,
            student_s=student_s,
            teacher_s=row["teacher_ms"] / 1e3,
            request_s=request_ms / 1e3,
            send_s=per_target_s(),
        )
        name = f"step, {row['teacher']} teacher, {row.get('replicas', 1)} replicas"
        found.append(against(name, "ms", 1e3 * window(training).forward_s, row["step_ms"]))
    return found


def per_target_s() -> float:
    """Returns the seconds of a small target alone, from the request to the answer."""
    return read_json(str(RESULTS / "stream.json"))["summary"]["per_target_ms"] / 1e3


def requests_a_second(request_ms: float) -> list[dict]:
    """benchmarks/training/control_plane.py: as many ranks as replicas, each asks again when it has its answer."""
    found = []
    for row in rows_of("control_plane"):
        training = TrainingSetup(
            workers=row["replicas"],
            replicas=row["replicas"],
            prefetch=1,
            student_s=0.0,
            teacher_s=row["stub_ms"] / 1e3,
            request_s=request_ms / 1e3,
            send_s=per_target_s(),
        )
        rate = row["replicas"] / window(training).forward_s
        found.append(against(f"requests of {row['replicas']} replicas", "1/s", rate, row["requests_per_s"]))
    return found


def label_stage() -> list[dict]:
    """benchmarks/data/ingest.py: 10^5 and 10^6 rows on one core, from what a row of 10^4 took."""
    rows = rows_of("data")
    small = median(row["seconds"] for row in rows if row["rows"] == 10**4) / 10**4
    found = []
    for count in (10**5, 10**6):
        stage = Stage(name="labels", triplets=count, cores_s=small)
        seconds = farm(stage, 1, random.Random(0), mtbf_s=float("inf"), restart_s=0.0).seconds
        measured = median(row["seconds"] for row in rows if row["rows"] == count)
        found.append(against(f"labels of {count:,} rows", "s", seconds, measured))
    return found


def demo(request_ms: float) -> list[dict]:
    """benchmarks/studies/demo.py: rollouts and training of 880 triplets, from a step's and a target's seconds alone."""
    config, stages = tiny(), {row["stage"]: row["seconds"] for row in rows_of("demo") if "stage" in row}
    real = next(row for row in rows_of("overhead") if row["teacher"] == "real")
    started = read_json(str(RESULTS / "trainer.json"))["summary"]["first_step_s"]
    student = sizes.pipeline(config.models.student, "models.student")
    teacher = sizes.pipeline(config.models.teacher, "models.teacher")
    work, count = work_for(config, student, teacher), 880
    tflops = config.optim.batch * work.teacher_flops / 1e12 / (real["teacher_ms"] / 1e3)
    stage = Stage(
        name="rollout",
        triplets=count,
        gpus_s=rollout_flops(config, teacher, work) / 1e12 / tflops,
        driver_s=0.001,
    )
    rollout_s = farm(stage, 1, random.Random(0), mtbf_s=float("inf"), restart_s=0.0).seconds
    training = TrainingSetup(
        workers=1,
        replicas=1,
        prefetch=config.teacher.prefetch,
        student_s=real["student_ms"] / 1e3,
        teacher_s=real["teacher_ms"] / 1e3,
        request_s=request_ms / 1e3,
        send_s=per_target_s(),
    )
    steps_s = config.optim.steps * window(training).forward_s
    return [
        against("demo, rollouts of 880 triplets", "s", rollout_s, stages["rollout"]),
        against("demo, 1500 steps and their start", "s", started + steps_s, stages["train"]),
    ]


def runs_with_kills() -> list[dict]:
    """benchmarks/training/faults.py: whole runs with a node killed again and again, from what the other runs'
    recoveries took.

    A run's calm seconds are those of runs whose replicas were killed, less their recoveries.
    """
    rows = rows_of("faults")
    runs: dict[str, list[dict]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    calm = median(
        each[0]["run_s"] - sum(row["recovered_s"] for row in each)
        for name, each in runs.items()
        if name.startswith("replica")
    )
    found = []
    for name, each in runs.items():
        if not name.startswith("node"):
            continue
        others = [row["recovered_s"] for row in rows if row["kind"] == "node" and row["run"] != name]
        predicted = calm + len(each) * fmean(others)
        found.append(against(f"run with {len(each)} nodes killed, {name}", "s", predicted, each[0]["run_s"]))
    return found


# Points


def measure_points() -> list[dict]:
    """A row for every number of triplets and GPUs, of one number for both networks; then training with faults."""
    rows = []
    for network, numbers in NETWORKS.items():
        for triplets in numbers:
            for gpus in GPUS:
                found = point(gpus, triplets, network)
                rows.append(show(row_of(found, network)))
                if network == max(NETWORKS) and triplets == SHOWN:
                    rows += [show(with_faults(found, mtbf_h)) for mtbf_h in MTBFS]
    return rows


def point(gpus: int, triplets: int, network: float) -> Simulated:
    """One simulation."""
    config = parse(
        [
            "recipe=wan14b_480p",
            "plan.gpu=h100",
            f"plan.gpus={gpus}",
            f"plan.triplets={triplets}",
            f"plan.network_gb_s={network}",
            "scale.runs=1",
        ]
    )
    cluster = cluster_of(config.plan)
    assert cluster is not None
    student, teacher = (
        sizes.pipeline(getattr(config.models, side), f"models.{side}") for side in ("student", "teacher")
    )
    return simulate(config, student, teacher, cluster)


def row_of(found: Simulated, network: float) -> dict:
    return {
        "part": "point",
        "network_gb_s": network,
        "triplets": found.triplets,
        "gpus": found.gpus,
        "workers": found.layout.config.train.workers,
        "replicas": found.layout.plan.replicas,
        "hours": found.seconds / 3600,
        "gpu_hours": found.gpu_hours,
        "triplets_per_s": found.triplets / found.seconds,
        "first_limit": found.bottleneck,
        "useful": found.useful,
        "samples_per_s": found.layout.config.train.workers / found.step_s,
        "edits_per_s": found.gpus / found.edit_s,
        **{f"{name}_h": part.seconds / 3600 for name, part in found.stages.items()},
        **{f"{name}_limit": part.bottleneck for name, part in found.stages.items()},
    }


def with_faults(found: Simulated, mtbf_h: float) -> dict:
    """Training of a point as another rate of faults would have it, and Daly's closed form."""
    mtbf_s = mtbf_h * 3600 / found.gpus
    every_s = min(best_interval(found.job.blocked_s, mtbf_s), found.job.work_s)
    job = replace(found.job, mtbf_s=mtbf_s, every_s=every_s, teacher_mtbf_s=math.inf)
    draws = random.Random(f"{found.gpus} {mtbf_h}")
    seconds = fmean(train_through(job, draws).seconds for _ in range(RUNS))
    expected = expected_seconds(job.work_s, every_s, job.blocked_s, job.restart_s, mtbf_s)
    return {
        "part": "faults",
        "gpus": found.gpus,
        "mtbf_h": mtbf_h,
        "every_s": every_s,
        "useful": job.work_s / seconds,
        "useful_daly": job.work_s / expected,
    }


def main() -> None:
    asked_for = sys.argv[1:] or ["costs", "validation", "points"]
    old = rows_of("scale") if (RESULTS / "scale.json").exists() else []

    def kept(*parts: str) -> list[dict]:
        return [row for row in old if row["part"] in parts]

    costs = measure_costs() if "costs" in asked_for else kept("costs")
    by = {row["what"]: row["ms"] for row in costs}
    validation = validate(by["request_ms"]) if "validation" in asked_for else kept("validation")
    for row in (*costs, *validation):
        show(row)
    points = measure_points() if "points" in asked_for else kept("point", "faults")
    errors = [abs(row["error"]) for row in validation]
    write_result(
        "scale",
        "python benchmarks/studies/scale.py",
        [*costs, *validation, *points],
        {
            **{name: round(ms, 3) for name, ms in by.items()},
            "validation_rows": len(errors),
            "error_median": round(median(errors), 3),
            "error_max": round(max(errors), 3),
        },
    )
    plots(points, Path(__file__).parent.parent.parent / "docs" / "img")


if __name__ == "__main__":
    main()
