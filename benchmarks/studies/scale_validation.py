"""The simulation's predictions from measured parts, beside what whole runs took."""

import random
from statistics import fmean, median

from benchmarks.support.result import RESULTS
from v4e.config import tiny
from v4e.files.uri import read_json
from v4e.models import sizes
from v4e.planning.layout import rollout_flops, work_for
from v4e.planning.simulation.farm import Stage, farm
from v4e.planning.simulation.window import TrainingSetup, window


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
