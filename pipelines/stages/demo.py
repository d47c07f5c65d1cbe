"""The main job, end to end: from triplets of the evolution world to a student that edits, and a report with pictures.

Ends with <run.dir>/report.html, metrics.json and strip.png. If it is killed, the same command continues where it was.
"""

from pathlib import Path

import numpy as np

from pipelines.stages import caption, evaluate, export, precompute, report, rollout, train
from v4e.config import Config
from v4e.data.buckets import to_bucket
from v4e.data.store.paths import heldout_uri, train_uri
from v4e.files.manifest import stage
from v4e.files.pictures import beside, stack, strip
from v4e.files.progress import plan, say
from v4e.files.uri import join
from v4e.language.tasks import TASKS
from v4e.tiny.world.write import write_split
from v4e.training import checks as startup

TRAIN_PER_TASK, HELDOUT_PER_TASK = 80, 20


def run(config: Config) -> None:
    """Runs all stages, each from its own module."""
    startup.check_run(config)
    stages = {
        "triplets": triplets,
        "caption": caption.run,
        "precompute": precompute.run,
        "rollout": rollout.run,
        "train": train.run,
        "export": export.run,
        "evaluate": evaluate.run,
        "report": pictures,
    }
    world, optim = f"of the evolution world, {len(TASKS)} tasks", config.optim
    plan(
        "the main job",
        {
            "train": config.data.train or f"{len(TASKS) * TRAIN_PER_TASK} triplets {world}",
            "held out": config.data.heldout or f"{len(TASKS) * HELDOUT_PER_TASK} triplets {world}",
            "student": f"{config.models.student}, {optim.steps} steps of {optim.batch * optim.accumulate} samples",
            "teacher": config.models.teacher,
            "stages": ", ".join(stages),
            "output": config.run.dir,
        },
    )
    for number, (name, step) in enumerate(stages.items(), 1):
        say(f"\n── {number}/{len(stages)} {name} " + "─" * (60 - len(name)))
        step(config)
    say(f"\nreport: {join(config.run.dir, 'report.html')}")


def triplets(config: Config) -> None:
    """Writes the world's splits, unless the config names other triplets."""
    with stage(config.run.dir, "triplets"):
        if not config.data.train:
            write_split(train_uri(config), "train", TRAIN_PER_TASK, config.run.seed)
        if not config.data.heldout:
            write_split(heldout_uri(config), "heldout", HELDOUT_PER_TASK, config.run.seed)


def pictures(config: Config) -> None:
    """Writes report.html and strip.png from what the stages left."""
    report.run(config)
    write_strip(config, report.examples(config))


def write_strip(config: Config, examples) -> None:
    """Writes a picture for the README: an edit of each task as source, evolution and ground truth, in two columns."""
    firsts = {t.task: (t, clips) for t, clips in reversed(examples)}
    rows = []
    for task in TASKS:
        if task in firsts and "ema" in firsts[task][1]:
            t, clips = firsts[task]
            ends = [np.asarray(to_bucket(i, config.data)) for i in (t.source, t.edit)]
            rows.append(strip([ends[0], *clips["ema"][1:], ends[1]]))
    if rows:
        half = -(-len(rows) // 2)
        page = beside([stack(column) for column in (rows[:half], rows[half:]) if column], gap=24)
        page.save(Path(config.run.dir) / "strip.png")
