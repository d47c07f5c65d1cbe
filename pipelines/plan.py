"""Predicts a run: the balance of teacher and student, the pace, and the rate of the hidden-state stream.

Needs the config files of both models and nothing else: no weights, no store, no Ray. --json prints it for programs.
What ranks reach, in TFLOP/s, is yours to say (plan.train_tflops, plan.infer_tflops) or is measured on this machine.
"""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import cast

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines._cli import main
from v4e import startup
from v4e.config import Config
from v4e.models.sizes import Pipeline, pipeline
from v4e.plan import Speed, Work, pace_of, pool_size, replicas_needed, seconds_of, work_of
from v4e.plan_rows import balance_row, pace_rows, stream_row, work_row
from v4e.progress import plan
from v4e.speed import teacher_tflops, training_tflops


def run(config: Config, *, as_json: bool = False) -> None:
    """Prints the plan of `config`."""
    student = pipeline(config.models.student, "models.student")
    teacher = pipeline(config.models.teacher, "models.teacher")
    startup.check_models(config, cast(startup.Dit, student.transformer), cast(startup.Dit, teacher.transformer))
    grid_FHW = config.data.latent_frames, config.data.height // student.stride, config.data.width // student.stride
    work = work_of(
        config,
        student.dit,
        teacher.dit,
        grid_FHW=grid_FHW,
        image_tokens=student.image_tokens,
        instruction=config.plan.instruction_tokens,
        evolution=config.plan.caption_tokens,
    )
    speed = speed_of(config, work, student, teacher, grid_FHW)
    student_s, teacher_s = seconds_of(config, work, speed)
    replicas = pool_size(config, replicas_needed(config, student_s, teacher_s))
    pace = pace_of(config, work.target_bytes, student_s, teacher_s, replicas)
    if as_json:
        document = {"recipe": config.recipe, "work": asdict(work), "speed": asdict(speed), "pace": asdict(pace)}
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
    rows["speed"] = f"{speed.train:.3g} TFLOP/s a training rank{infers}"
    plan(f"plan of {config.recipe}", rows | pace_rows(pace, config, replicas))


def speed_of(config: Config, work: Work, student: Pipeline, teacher: Pipeline, grid_FHW: tuple[int, int, int]) -> Speed:
    """As the recipe says; what it does not is measured. Without distillation no teacher works, at no speed."""
    train = config.plan.train_tflops or training_tflops(config, student, work.student_reads, grid_FHW)
    if config.kd.weight == 0:
        return Speed(train=train, infer=0.0)
    infer = config.plan.infer_tflops or teacher_tflops(config, teacher, work.teacher_reads, grid_FHW)
    return Speed(train=train, infer=infer)


if __name__ == "__main__":
    as_json = "--json" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--json"]
    main(__doc__, partial(run, as_json=as_json))
