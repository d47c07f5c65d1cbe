"""Distils the teacher's evolution into the student: the paper's training run.

Reads the store and its rollouts, starts the teacher pool and the training workers, and trains to optim.steps.
Checkpoints and metrics.jsonl lie below run.dir, a folder or a URI that all nodes can write to; the same command goes on
from the last checkpoint. On an object store (s3://, gs://) metrics.jsonl is brought up to date with every checkpoint.
A run that cannot fit the GPUs or the machine that it is about to use is refused first: see pipelines/plan.py.
"""

import os
import threading
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict

from fsspec.core import url_to_fs
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from actors.cluster import LOCAL_OBJECT_STORE, connect, gpu_types, joins
from actors.stream.transport import check_transport
from actors.student.worker import train_student
from actors.teacher.pool import await_pool, teacher_pool
from actors.teacher.pool_metrics import endpoints
from pipelines.stages import validation
from v4e.config import Config
from v4e.data.store.ids import training_ids
from v4e.data.store.store import RolloutStore, Store
from v4e.files import journal
from v4e.files.manifest import stage
from v4e.files.progress import bar, plan, say
from v4e.files.uri import join, remove, write_json_atomic
from v4e.method.losses import TERMS
from v4e.models.sizes import Pipeline, dit
from v4e.planning.checks import check_cluster, check_host
from v4e.planning.gpus import GPUS, cluster_of
from v4e.planning.work import Work, work_of
from v4e.planning.work_table import balance_row, compared, stream_row
from v4e.training import checkpoint
from v4e.training import checks as startup
from v4e.training.mixing import mix_of, mix_rows
from v4e.watch.follow import Follower
from v4e.watch.trackers import check_trackers, trackers

POLL_S, POLL_REMOTE_S = 0.5, 5.0  # between looks at metrics.jsonl, in a folder and on another filesystem
RESIZE_S = 30.0  # between looks at whether more workers can be had, where train.min_workers lets them vary
GRACE_S = 35.0  # after the deadline of a node that goes: it has gone by then, and Ray Train, which counts nodes every
# 20 s, knows. Started again sooner, the run would wait a minute for it.
LOSSES = ("loss", *TERMS)


def run(config: Config) -> None:
    """Trains the student of `config` to the end, from the last checkpoint if there is one."""
    checkpoints, metrics_uri, settings_uri, ray_uri = (
        join(config.run.dir, name) for name in ("checkpoints", "metrics.jsonl", "training.json", "ray")
    )
    distils = config.kd.weight > 0
    student, teacher = startup.check_run(config)
    if distils:
        check_transport(config.teacher)
    check_trackers(config)
    ids = ready_ids(config, student)
    if config.run.overwrite:
        for uri in (checkpoints, metrics_uri, settings_uri, ray_uri):
            remove(uri)
    startup.check_resume(config, ids, settings_uri)
    write_json_atomic(join(config.run.dir, "config.json"), asdict(config))
    done = (checkpoint.steps_of(checkpoints) or [0])[-1]
    work = work_ahead(config, student, teacher, ids)
    plan("training", describe(config, student, work, ids, done))
    if done >= config.optim.steps:
        return
    check_fits(config, student, teacher, ids, store_bytes(config, work))
    validation.run(config)
    connect(store_bytes=store_bytes(config, work))
    say(f"metrics for Prometheus: {' '.join(endpoints())}")
    teachers = teacher_pool(config) if distils else nullcontext()
    with stage(config.run.dir, "train"), teachers as pool:
        gpus, worlds = config.train.gpus_per_worker, config.train.worlds
        ray_fs, ray_path = url_to_fs(ray_uri)
        trainer = TorchTrainer(
            train_student,
            train_loop_config={"config": config, "ids": tuple(ids), "pool": pool},
            # Gloo beside NCCL: checkpoints are agreed on, and offloaded gradients reduced, in host memory.
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=(worlds[0], worlds[-1]) if len(worlds) > 1 else config.train.workers,
                elastic_resize_monitor_interval_s=RESIZE_S,
                use_gpu=gpus > 0,
                resources_per_worker={"GPU": gpus} if gpus else {"CPU": 1},
            ),
            run_config=RunConfig(
                name="train",
                storage_path=ray_path,
                storage_filesystem=PyFileSystem(FSSpecHandler(ray_fs)),
                failure_config=FailureConfig(max_failures=config.train.max_failures, preemption_grace_s=GRACE_S),
            ),
        )
        if pool is not None:
            threading.Thread(target=tell_of, args=(pool, config), daemon=True).start()
        with trackers(config, done) as tracks, watching(metrics_uri, Follower(config, done, tracks, say)):
            trainer.fit()
    records = [record for record in journal.read(metrics_uri) if record["step"] > done + 1]  # the first one warms up
    if distils and records:
        plan("plan and run", compared(work, config, records))


def ready_ids(config: Config, student: startup.Dit) -> list[str]:
    """The samples to train on, each with its rollout.

    Raises:
        ValueError: the store is empty, does not fit the student, or lacks rollouts.
    """
    ids = training_ids(config)
    if not ids:
        raise ValueError("the store holds none of this run's triplets: run pipelines/precompute.py first")
    first = Store.open(config).read(ids[0])
    startup.check_latents(config, student, tuple(first.z_i2v_CFHW.shape), tuple(first.z_tail_CHW.shape))
    missing = set(ids) - set(RolloutStore.open(config).ids())
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(ids)} samples have no rollout, e.g. {min(missing)}: "
            "run pipelines/rollout.py with this recipe first"
        )
    return ids


def store_bytes(config: Config, work: Work) -> int:
    """Of a local Ray's object store: twice what all workers may hold or ask for, so that no target is spilled."""
    return max(LOCAL_OBJECT_STORE, 2 * config.train.workers * config.teacher.prefetch * work.target_bytes)


def check_fits(config: Config, student: startup.Dit, teacher: startup.Dit, ids: list[str], store: int) -> None:
    """Refuses what cannot fit the cluster's GPUs, by plan.gpu or by what its nodes say, or this machine's memory.

    A local Ray that it starts to see the GPUs gets an object store of `store` bytes.

    Raises:
        ValueError: naming the first limit that breaks, and the nearest settings that fit.
    """
    sample = Store.open(config).read(ids[0])
    pixels, latents = config.data.height * config.data.width, sample.z_tail_CHW[0].numel()
    student_sizes, teacher_sizes = (
        Pipeline(transformer=model, stride=round((pixels / latents) ** 0.5), image_tokens=len(sample.source_ID))
        for model in (student, teacher)
    )
    if config.train.gpus_per_worker:
        connect(store_bytes=store)
        known = [name for name in gpu_types() if name in GPUS]
        smallest = min(known, key=lambda name: GPUS[name].gib, default="")
        if cluster := cluster_of(config.plan, smallest):
            check_cluster(config, student_sizes, teacher_sizes, cluster, len(ids))
    elif not joins():
        host_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        check_host(config, student_sizes, teacher_sizes, host_gib)


def work_ahead(config: Config, student: startup.Dit, teacher: startup.Dit, ids: list[str]) -> Work:
    """What a sample costs both sides, as the store's first batch shows it."""
    store = Store.open(config)
    samples = [store.read(key) for key in ids[: config.optim.batch]]
    instruction, evolution = (
        max(len(getattr(sample, name)) for sample in samples) for name in ("instruction_TD", "evolution_TD")
    )
    return work_of(
        config,
        dit(student),
        dit(teacher),
        grid_FHW=samples[0].z_i2v_CFHW.shape[1:],
        image_tokens=len(samples[0].source_ID),
        instruction=instruction,
        evolution=evolution,
    )


def describe(config: Config, student: startup.Dit, work: Work, ids: list[str], done: int) -> dict[str, str]:
    """The plan, for people; `done` steps of it are trained."""
    optim, data = config.optim, config.data
    headers = Store.open(config).headers()
    mix = mix_of(ids, config, headers)
    samples = optim.batch * optim.accumulate
    every = {"steps": config.train.checkpoint_every, "minutes": config.train.checkpoint_minutes}
    often = [f"{number:g} {unit}" for unit, number in every.items() if number]
    rows = {
        "student": f"{config.models.student}, {student['num_layers']} blocks of width {startup.width(student)}, "
        f"{config.train.dtype}",
        "data": f"{len(ids)} samples of {data.frames} x {data.height} x {data.width}",
        "steps": f"{optim.steps} of {samples} samples ({optim.batch} a forward x {optim.accumulate}), "
        f"{optim.steps * samples / float(mix.epoch_draws):.1f} epochs",
        "loss": f"{config.kd.weight} kd + {config.tail.weight} tail + {config.flow.weight} flow",
        "workers": f"{config.train.workers}",
        "checkpoints": f"every {' and '.join(often)}, the newest {config.train.keep} kept",
    }
    rows |= mix_rows(mix, headers, config)
    if config.kd.weight > 0:
        rows["teacher"] = (
            f"{config.models.teacher}, {config.teacher.replicas} replicas of {config.teacher.tp} ranks, "
            f"taps {config.kd.taps}"
        )
        rows["balance"] = balance_row(work, config)
        rows["stream"] = stream_row(work, config, data.latent_frames)
    rows["start"] = f"step {done}, from its checkpoint" if done else "the beginning"
    return rows


def tell_of(pool: ActorHandle, config: Config) -> None:
    """Says what a pool that starts is waiting for. Its failure is shown by the workers, who wait for it too."""
    with suppress(RuntimeError, RayError):
        await_pool(pool, config.teacher, say)


@contextmanager
def watching(uri: str, follower: Follower):
    """Shows the run whose journal is at `uri`: a bar, every ``train.log_every`` steps its losses, and alarms."""
    config, done, finished = follower.config, follower.done, threading.Event()

    def watch() -> None:
        offset, shown = 0, done
        window: list[journal.Record] = []
        with bar("training", config.optim.steps - done, unit="steps") as advance:
            while True:
                last_look = finished.is_set()
                records, offset = journal.follow(uri, offset)
                for record in records:
                    if record["step"] <= shown:  # of an earlier run, or done again after a failure
                        continue
                    shown = record["step"]
                    advance(1, "  ".join(f"{term} {record[term]:.4f}" for term in LOSSES if term in record))
                    window.append(record)
                    if shown % config.train.log_every == 0:
                        say(summary(window, config))
                        window.clear()
                follower.see(records)
                if last_look:
                    return
                finished.wait(POLL_REMOTE_S if "://" in uri else POLL_S)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def summary(window: list[journal.Record], config: Config) -> str:
    """One line on the steps of `window`."""
    means = [f"{term} {sum(r[term] for r in window) / len(window):.4f}" for term in LOSSES if term in window[-1]]
    seconds = sum(r["seconds"] for r in window)
    samples = len(window) * config.optim.batch * config.optim.accumulate
    return (
        f"step {window[-1]['step']}/{config.optim.steps}  {'  '.join(means)}  {samples / seconds:.1f} samples/s  "
        f"{journal.bottleneck(window)}"
    )
