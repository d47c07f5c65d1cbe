"""A training run that has passed its checks: what was read of its models, its store and its teacher's work."""

import os
from dataclasses import dataclass

from actors.cluster import LOCAL_OBJECT_STORE, connect, gpu_types, joins
from actors.stream.transport import check_transport
from v4e.config import Config
from v4e.data.store.ids import training_ids
from v4e.data.store.store import RolloutStore, Store
from v4e.models.sizes import DitConfig, Pipeline, dit
from v4e.planning.checks import check_cluster, check_host
from v4e.planning.gpus import GPUS, cluster_of
from v4e.planning.work import SampleWork, work_of
from v4e.training import checks as startup
from v4e.types import Sample
from v4e.watch.trackers import check_trackers


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run that may start, with what its checks have read."""

    config: Config
    student: DitConfig
    teacher: DitConfig
    store: Store
    ids: list[str]  # of the samples to train on, each with its rollout
    first: list[Sample]  # the samples of the store's first forward
    work: SampleWork

    @property
    def distils(self) -> bool:
        return self.config.kd.weight > 0

    @property
    def store_bytes(self) -> int:
        """Bytes of a local Ray's object store: twice what all workers may hold or request, so that nothing spills."""
        config = self.config
        wanted = 2 * config.train.workers * config.teacher.prefetch * self.work.target_bytes
        return max(LOCAL_OBJECT_STORE, wanted)


def prepare(config: Config) -> PreparedRun:
    """Checks the run of `config` against its models and its store, and writes nothing.

    Raises:
        FileNotFoundError: a model, the store or a corpus is not there.
        ValueError: the models, the store or the installation do not fit the run; says what to do.
    """
    student, teacher = startup.check_run(config)
    if config.kd.weight > 0:
        check_transport(config.teacher)
    check_trackers(config)
    store = Store.open(config)
    ids = training_ids(config, store)
    if not ids:
        raise ValueError("the store holds none of this run's triplets: run pipelines/precompute.py first")
    first = [store.read(key) for key in ids[: config.optim.batch]]
    startup.check_latents(config, dit(student), tuple(first[0].z_i2v_CFHW.shape), tuple(first[0].z_tail_CHW.shape))
    missing = set(ids) - set(RolloutStore.open(config).ids())
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(ids)} samples have no rollout, e.g. {min(missing)}: "
            "run pipelines/rollout.py with this recipe first"
        )
    work = work_of(
        config,
        dit(student),
        dit(teacher),
        grid_FHW=first[0].z_i2v_CFHW.shape[1:],
        image_tokens=len(first[0].source_ID),
        instruction=max(len(sample.instruction_TD) for sample in first),
        evolution=max(len(sample.evolution_TD) for sample in first),
    )
    return PreparedRun(config=config, student=student, teacher=teacher, store=store, ids=ids, first=first, work=work)


def check_fits(run: PreparedRun) -> None:
    """Refuses what cannot fit the cluster's GPUs, by plan.gpu or by what its nodes report, or this machine's memory.

    To see the GPUs it connects to the cluster, or starts a local Ray.

    Raises:
        ValueError: naming the first limit that breaks, and the nearest settings that fit.
    """
    config, sample = run.config, run.first[0]
    pixels, latents = config.data.height * config.data.width, sample.z_tail_CHW[0].numel()
    student, teacher = (
        Pipeline(transformer=model, stride=round((pixels / latents) ** 0.5), image_tokens=len(sample.source_ID))
        for model in (run.student, run.teacher)
    )
    if config.train.gpus_per_worker:
        connect(store_bytes=run.store_bytes)
        known = [name for name in gpu_types() if name in GPUS]
        smallest = min(known, key=lambda name: GPUS[name].gib, default="")
        if cluster := cluster_of(config.plan, smallest):
            check_cluster(config, student, teacher, cluster, len(run.ids))
    elif not joins():
        host_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        check_host(config, student, teacher, host_gib)
