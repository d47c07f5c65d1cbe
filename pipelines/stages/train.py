"""Distils the teacher's evolution into the student: the paper's training run.

Reads the store and its rollouts, starts the teacher pool and the training workers, and trains to optim.steps.
Checkpoints and metrics.jsonl lie below run.dir, a folder or a URI that all nodes can write to. The same command
continues from the last checkpoint. On an object store (s3://, gs://) each checkpoint brings metrics.jsonl up to date.
A run that does not fit its GPUs or its machine is refused before it starts: see pipelines/plan.py.
"""

from contextlib import nullcontext
from dataclasses import asdict

from actors.cluster import connect
from actors.fetch import fetch_everywhere
from actors.teacher.pool import teacher_pool
from actors.teacher.pool_metrics import endpoints
from pipelines.parts.prepared import PreparedRun, check_fits, prepare
from pipelines.parts.run_view import describe, report_start, watching
from pipelines.parts.stopping import saving
from pipelines.stages import validation
from v4e.config import Config
from v4e.files import journal
from v4e.files.manifest import stage
from v4e.files.owner import owning
from v4e.files.progress import plan, say
from v4e.files.uri import join, remove, write_atomic, write_json_atomic
from v4e.planning.work_table import compared
from v4e.training.resume import check_resume, chosen_step, go_back, memory, remember
from v4e.watch.follow import Follower
from v4e.watch.trackers import trackers
from v4e.weights import needed


def run(config: Config) -> None:
    """Trains the student of `config` to the end, from the last checkpoint if there is one."""
    prepared = prepare(config)
    with owning(config.run.dir, "train"):
        done = trained(config, prepared.ids)
        plan("training", describe(prepared, done))
        if done >= config.optim.total:
            return
        check_fits(prepared)
        enter(config, prepared.ids)
        validation.run(config)
        train(prepared, done)
    records = journal.read(metrics_uri(config))
    warm = [record for record in records if record["step"] > done + 1]
    if prepared.distils and warm:
        plan("plan and run", compared(prepared.work, config, warm))


def trained(config: Config, ids: list[str]) -> int:
    """The steps that ``run.dir`` has a checkpoint of, from which the run goes on; with ``run.overwrite`` none.

    Raises:
        Fault: the run there was trained with other settings or samples.
    """
    if config.run.overwrite:
        return 0
    check_resume(config, ids)
    return chosen_step(config)


def enter(config: Config, ids: list[str]) -> None:
    """Leaves the run's settings in ``run.dir``, once nothing refuses it; ``run.overwrite`` empties it."""
    folder, resumed = config.run.dir, join(config.run.dir, "resumed.json")
    if config.run.overwrite:
        for uri in (checkpoints_uri(config), metrics_uri(config), memory(folder), join(folder, "ray"), resumed):
            remove(uri)
    go_back(config)
    remember(config, ids)
    write_json_atomic(join(folder, "config.json"), asdict(config))


def train(prepared: PreparedRun, done: int) -> None:
    """Trains from step `done` to the end, with a teacher pool of the run's own if it distils."""
    config = prepared.config
    connect(store_bytes=prepared.store_bytes)
    fetch_everywhere([*needed.student(config), *needed.teacher(config)], gpus=config.train.gpus_per_worker > 0, say=say)
    say(f"metrics for Prometheus: {' '.join(endpoints())}")
    teachers = teacher_pool(config) if prepared.distils else nullcontext()
    with stage(config.run.dir, "train"), teachers as pool:
        from actors.student.launch import student_trainer  # here: the pool starts meanwhile

        stop = join(config.run.dir, "stop")  # a file, which all workers see, on any filesystem
        remove(stop)
        trainer = student_trainer(config, prepared.ids, pool, stop)
        if pool is not None:
            report_start(pool, config.teacher)
        with trackers(config, done) as tracks, watching(metrics_uri(config), Follower(config, done, tracks, say)):
            try:
                with saving(lambda: write_atomic(stop, b"")):
                    trainer.fit()
            finally:
                remove(stop)


def checkpoints_uri(config: Config) -> str:
    """The folder of the run's checkpoints."""
    return join(config.run.dir, "checkpoints")


def metrics_uri(config: Config) -> str:
    """The run's journal: a record of every step."""
    return join(config.run.dir, "metrics.jsonl")
