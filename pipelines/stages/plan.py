"""Predicts a run: the balance of teacher and student, the pace, and the rate of the hidden-state stream.

Needs the config files of both models and nothing else: no weights, no store, no Ray. --json prints it for programs.
With plan.gpu=h100 it plans for a cluster: who is where, GiB of a GPU by part, hours and costs. It names the first
limit that breaks, and the nearest settings that fit. There speeds are stated shares of the GPU's data sheet
(plan.train_share, plan.infer_share). Elsewhere they are measured on this machine. plan.train_tflops and
plan.infer_tflops take precedence over both.

v4e plan scale recipe=wan14b_480p plan.gpu=h100 plan.gpus=512 plan.triplets=10_000_000
simulates a whole pipeline with faults, from raw triplets to serving.
"""

import json
from dataclasses import asdict

from v4e.config import Config
from v4e.files.progress import plan
from v4e.models.sizes import Pipeline, pipeline
from v4e.planning.gpus import check_named, cluster_of
from v4e.planning.layout import GIB, ClusterPlan, grid_of, parts_gib, plan_cluster, process_gib, work_for
from v4e.planning.layout_table import cluster_rows, process_rows, verdict_rows
from v4e.planning.search import Suggestion, nearest
from v4e.planning.work import SampleWork, Speed, pace_of, pool_size, replicas_needed, seconds_of
from v4e.planning.work_table import balance_row, pace_rows, stream_row, work_row
from v4e.training import checks as startup


def run(config: Config) -> None:
    """Prints the plan of `config`."""
    from v4e.weights.load import any_device  # here: a mistake in a setting is told before models are imported

    check_named(config, any_device().type == "cuda")
    student = pipeline(config.models.student, "models.student")
    teacher = pipeline(config.models.teacher, "models.teacher")
    startup.check_models(config, student.dit, teacher.dit)
    if cluster := cluster_of(config.plan):
        found = plan_cluster(config, student, teacher, cluster)
        suggestion = nearest(config, student, teacher, cluster) if found.limits else None
        if config.plan.json:
            print(json.dumps(document(config, found, suggestion), indent=2))
        else:
            plan(f"plan of {config.recipe}", cluster_rows(config, found, cluster) | verdict_rows(found, suggestion))
        return
    run_here(config, student, teacher)


def document(config: Config, found: ClusterPlan, suggestion: Suggestion | None) -> dict:
    """A cluster plan for programs."""
    held = found.held
    return {
        "recipe": config.recipe,
        "fits": not found.limits and not found.elsewhere,
        "limits": [asdict(limit) for limit in found.limits],
        "elsewhere": [asdict(limit) for limit in found.elsewhere],
        "nearest": None if suggestion is None else suggestion.changes,
        "gpus": {"training": found.training_gpus, "teacher": found.teacher_gpus},
        "training_gpu_gib": parts_gib(config, held) | {"peak": held.student_gpu / GIB},
        "teacher_gpu_gib": {"weights": held.teacher_weights / GIB, "activations": held.teacher_activations / GIB},
        "editor_gpu_gib": {name: size / GIB for name, size in asdict(held.editor).items()},
        "precompute_gpu_gib": {name: size / GIB for name, size in asdict(held.encoder).items()},
        "node_gib": held.host / GIB,
        "store_gib": held.store / GIB,
        "checkpoints_gib": held.checkpoints / GIB,
        "checkpoint": {
            "gib": found.checkpoint / GIB,
            "every_s": found.checkpoint_every_s,
            "storage_gb_s": found.checkpoint_gb_s,
            "staging_s": found.staging_s,
        },
        "work": asdict(found.work),
        "balance": found.work.balance,
        "speed": asdict(found.speed),
        "seconds": asdict(found.seconds),
        "bound": found.bound,
        "pace": asdict(found.pace),
        "replicas": found.replicas,
        "hours": {"rollout": found.rollout_h, "training": found.training_h},
        "rollout_gpu_hours_per_1000": found.rollout_gpu_h,
        "cost": found.cost,
    }


def run_here(config: Config, student: Pipeline, teacher: Pipeline) -> None:
    """A plan with speeds that are given, or measured on this machine."""
    grid_FHW, work = grid_of(config, student), work_for(config, student, teacher)
    speed = speed_of(config, work, student, teacher, grid_FHW)
    student_s, teacher_s = seconds_of(config, work, speed)
    replicas = pool_size(config, replicas_needed(config, student_s, teacher_s))
    pace = pace_of(config, work.target_bytes, student_s, teacher_s, replicas)
    if config.plan.json:
        document = {"recipe": config.recipe, "work": asdict(work), "speed": asdict(speed), "pace": asdict(pace)}
        document["process_gib"] = process_gib(config, student, teacher, work)
        print(json.dumps(document | {"balance": work.balance, "replicas": replicas}, indent=2))
        return
    samples, data = config.optim.batch * config.optim.accumulate, config.data
    rows = {
        "clip": f"{data.frames} x {data.height} x {data.width}, latents {' x '.join(map(str, grid_FHW))}",
        "student": f"{work_row(work.student_reads, work.student_flops, samples)}, forward and backward"
        f"{' with recomputation' if config.train.recompute == 'full' else ''}",
    }
    if config.kd.weight > 0:
        rank = "" if config.teacher.tp == 1 else f", each of {config.teacher.tp} ranks"
        rows |= {
            "teacher": f"{work_row(work.teacher_reads, work.teacher_flops, samples)}, "
            f"to block {max(config.kd.taps)}{rank}",
            "balance": balance_row(work, config),
            "stream": stream_row(work, config, grid_FHW[0]),
        }
    infers = f", {speed.infer:.3g} a teacher's rank" if speed.infer else ""
    rows |= process_rows(config, student, teacher, work)
    rows["speed"] = f"{speed.train:.3g} TFLOP/s a training rank{infers}"
    plan(f"plan of {config.recipe}", rows | pace_rows(pace, config, replicas))


def speed_of(
    config: Config, work: SampleWork, student: Pipeline, teacher: Pipeline, grid_FHW: tuple[int, int, int]
) -> Speed:
    """Returns the speeds of the recipe, and measures those that it leaves open.

    Without distillation no teacher works, and its speed is 0.
    """
    from v4e.planning.speed import teacher_tflops, training_tflops  # here: a plan with given speeds needs no model

    train = config.plan.train_tflops or training_tflops(config, student, work.student_reads, grid_FHW)
    if config.kd.weight == 0:
        return Speed(train=train, infer=0.0)
    infer = config.plan.infer_tflops or teacher_tflops(config, teacher, work.teacher_reads, grid_FHW)
    return Speed(train=train, infer=infer)
