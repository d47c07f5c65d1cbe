"""The training loop: what every Ray Train worker runs. Read this file first.

for each step:  targets of the teacher  ->  StudentTrainer.step  ->  metrics.jsonl  ->  checkpoint

At the notice that a node is preempted it saves a checkpoint at once; Ray Train then runs it again elsewhere. When the
driver is asked to stop, it saves and ends.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.actor import ActorHandle

from actors.stream.stream import TargetStream
from actors.student.meter import Meter
from actors.student.notice import Notices, await_restart
from actors.teacher.pool import await_pool
from actors.teacher.pool_metrics import StepMetrics
from v4e.config import Config
from v4e.data.store.store import RolloutStore, Store
from v4e.files import journal
from v4e.files.cache import cached
from v4e.files.uri import join
from v4e.parallel.fsdp import student_mesh
from v4e.training.checkpoint import Saver, load
from v4e.training.path import OwnPath
from v4e.training.recordings import Recordings
from v4e.training.schedule import requests
from v4e.training.student import Batch, StudentTrainer
from v4e.types import Sample, TargetRequest, TeacherTarget
from v4e.watch.strips import Strips
from v4e.weights.frozen import load_vae
from v4e.weights.load import load_student, move


def train_student(loop: dict[str, Any]) -> None:
    """Trains from the last checkpoint, or from the start, to ``optim.steps``.

    `loop` is what the driver passes to every worker: the `config`, the `ids` of the samples to train on, and the
    teacher `pool`. Without distillation (kd.weight=0) `pool` is None. It saves and ends when there is a file `stop`.
    """
    config: Config = loop["config"]
    pool: ActorHandle | None = loop["pool"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    checkpoints, metrics_uri = join(config.run.dir, "checkpoints"), join(config.run.dir, "metrics.jsonl")
    metrics_path = journal.working_copy(metrics_uri)

    trainer = build_trainer(config, ray.train.torch.get_device(), world)
    publish = partial(journal.publish, metrics_path, metrics_uri)
    saver = Saver(checkpoints, config, publish, trainer.device)
    if done := saver.newest():
        state = trainer.state_dict()
        load(checkpoints, done, state)
        trainer.load_state_dict(state)
    if rank == 0:
        journal.rewind(metrics_path, trainer.step_count)
    strips = Strips.open(config, trainer.device, step=trainer.step_count, rank=rank, world=world)
    if strips and trainer.step_count == 0:
        strips.after(0, trainer.dit, trainer.ema)

    saver.check_room(trainer.state_dict())
    if pool:
        await_pool(pool, config.teacher)
    ahead = requests(loop["ids"], config, first_step=trainer.step_count, rank=rank, world=world)
    read = reader(config)
    path = None
    if config.distill.states != "rollout":
        path = OwnPath(ahead, trainer, read, recordings(config, loop["ids"], read))
    stream = TargetStream(pool, path or ahead, config.teacher, trainer.device) if pool else None
    batches = Batches(config, stream or ((request, None) for request in ahead), read)
    source, meter = iter(batches), Meter(stream, batches, world, path)
    for_prometheus, notices = StepMetrics(config.run), Notices(config.train, trainer.step_count, loop.get("stop", ""))
    due = False
    for step in range(trainer.step_count + 1, config.optim.total + 1):
        metrics = trainer.step(islice(source, trainer.forwards))
        watch_s = strips.after(step, trainer.dit, trainer.ema) if strips else 0.0
        record = {"step": step, **metrics, **meter.lap(), "watch_s": watch_s}
        if rank == 0:
            journal.append(metrics_path, record)
            for_prometheus.record(record)
        notice = notices.after(step)
        due = saver.due(step) or due
        # A step that was skipped may be of a sick state: its checkpoint waits for a step that was done.
        if (due and (not metrics.get("skipped") or step == config.optim.total)) or notice or notices.stopped:
            due = False
            saver.save(step, trainer.state_dict())
            ray.train.report({"step": step, **metrics})
        if notices.stopped:
            break
        if notice and step < config.optim.total:
            saver.wait()
            await_restart(notice, step)
    saver.wait()


def build_trainer(config: Config, device: torch.device, world: int) -> StudentTrainer:
    """The student with its start weights, sharded over all workers if they form a mesh."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    mesh = student_mesh(config.train, device.type, world)
    dit = load_student(config, device, mesh)
    vae = None
    if config.tail.weight > 0 and config.tail.space == "pixel":
        vae = move(load_vae(config.models.student), device)
    return StudentTrainer(config, dit, device=device, mesh=mesh, vae=vae)


def recordings(config: Config, ids: Sequence[str], read: Callable[[str], Sample]) -> Recordings | None:
    """Returns what knows the recorded edits of each source; None where the teacher is shown the sample's own."""
    if config.distill.shown == "recorded":
        return None
    found = Recordings(ids, Store.open(config).headers(), read)
    found.check()
    return found


def reader(config: Config) -> Callable[[str], Sample]:
    """Reads samples of the store by their ids, and keeps ``data.cache_mib`` of them."""
    return cached(Store.open(config).read, config.data.cache_mib << 20)


class Batches:
    """Requests and their targets, completed with what the store holds; ``io_s`` is the time spent on reading."""

    def __init__(
        self,
        config: Config,
        answered: Iterable[tuple[TargetRequest, TeacherTarget | None]],
        read: Callable[[str], Sample] | None = None,
    ) -> None:
        self.sample = read or reader(config)
        self.rollout = cached(RolloutStore.open(config).read, config.data.cache_mib << 20)
        self.answered = answered
        self.io_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        for request, target in self.answered:
            start = time.perf_counter()
            samples = tuple(self.sample(key) for key in request.sample_ids)
            z_clip_BCFHW = torch.stack([self.rollout(key) for key in request.sample_ids])
            self.io_s += time.perf_counter() - start
            yield Batch(
                samples=samples,
                seeds=request.seeds,
                z_clip_BCFHW=z_clip_BCFHW,
                target=target,
                x_t=request.x_t,
                t=request.t,
            )
            del target  # trained; freed before the stream requests one more in its place
