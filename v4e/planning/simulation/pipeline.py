"""A whole pipeline, simulated: stages one after the other, as the scripts run them, each on all GPUs that there are."""

import math
import random
from dataclasses import dataclass
from statistics import fmean

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.gpus import Cluster
from v4e.planning.simulation.cluster import Layout, best_layout
from v4e.planning.simulation.costs import StageNodes, edit_flops, nodes_of, stages, state_bytes
from v4e.planning.simulation.farm import farm
from v4e.planning.simulation.faults import Trained, TrainingJob, best_interval, train_through
from v4e.planning.simulation.serving import Served, serve
from v4e.planning.simulation.window import TrainingSetup, TrainingWindow, window
from v4e.planning.work import pace_of

HOUR = 3600.0
HOPELESS = 4.0  # times the mean time between faults: one attempt in 50 lasts so long


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A stage as it went, the mean of several runs."""

    seconds: float
    faults: float
    bottleneck: str  # what was busiest
    busy: dict[str, float]  # shares of the time


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A number of triplets on a number of GPUs, simulated."""

    triplets: int
    gpus: int
    layout: Layout
    stages: dict[str, StageResult]  # in order
    step_s: float  # of training, without faults
    job: TrainingJob  # the training that faults strike
    useful: float  # share of training's time that is neither lost nor waited for
    edit_s: float  # of one edit alone
    served: Served

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.stages.values())

    @property
    def gpu_hours(self) -> float:
        """The hours of all GPUs, also while a stage needs none."""
        return self.gpus * self.seconds / HOUR

    @property
    def longest(self) -> str:
        """The stage that takes longest."""
        return max(self.stages, key=lambda name: self.stages[name].seconds)

    @property
    def bottleneck(self) -> str:
        """The longest stage and what limits it."""
        return f"{self.longest}: {self.stages[self.longest].bottleneck}"


def simulate(config: Config, student: Pipeline, teacher: Pipeline, cluster: Cluster) -> Simulated:
    """``plan.triplets`` of `config` on ``cluster.gpus`` GPUs.

    Raises:
        ValueError: no split of the GPUs fits, or faults come too fast for training to end.
    """
    layout = best_layout(config, student, teacher, cluster)
    config, nodes = layout.config, nodes_of(config, cluster)
    rng = random.Random(config.run.seed)
    results = farmed(config, student, teacher, layout, nodes, rng)
    seen = window(training_of(layout, cluster))
    job = job_of(layout, student, cluster, nodes, seen)
    check_ends(job)
    runs = [train_through(job, rng, slower_by(layout)) for _ in range(config.scale.runs)]
    results["train"] = trained_result(layout, job, runs, seen, start_seconds(config, layout, nodes))
    results["export"] = StageResult(
        seconds=config.scale.start_s + 1.5 * state_bytes(config, student) / 4 / 1e9 / nodes.storage_gb_s,
        faults=0.0,
        bottleneck="the storage",
        busy={"the storage": 1.0},
    )
    edit_s = edit_flops(config, student, layout.plan.work.student_reads) / 1e12 / layout.plan.speed.infer
    return Simulated(
        triplets=config.plan.triplets,
        gpus=cluster.gpus,
        layout=layout,
        stages=results,
        step_s=seen.forward_s * config.scale.forwards,
        job=job,
        useful=job.work_s / fmean(run.seconds for run in runs),
        edit_s=edit_s,
        served=serve(edit_s, cluster.gpus, config.scale.load * cluster.gpus / edit_s, rng),
    )


def farmed(
    config: Config, student: Pipeline, teacher: Pipeline, layout: Layout, nodes: StageNodes, rng: random.Random
) -> dict[str, StageResult]:
    """The stages before training."""
    scale, results = config.scale, {}
    weights_s = layout.plan.held.teacher_weights / 1e9 / nodes.storage_gb_s
    for stage in stages(config, student, teacher, layout.plan.work, layout.plan.speed, nodes):
        loads = weights_s if stage.gpus_s else 0.0
        runs = [
            farm(
                stage,
                nodes.count,
                rng,
                mtbf_s=scale.mtbf_h * HOUR / nodes.gpus,
                restart_s=scale.restart_s + loads,
            )
            for _ in range(scale.runs)
        ]
        busy = {name: fmean(run.busy[name] for run in runs) for name in runs[0].busy}
        results[stage.name] = StageResult(
            seconds=scale.start_s + loads + fmean(run.seconds for run in runs),
            faults=fmean(run.faults for run in runs),
            bottleneck=max(busy, key=lambda name: busy[name]),
            busy=busy,
        )
    return results


def training_of(layout: Layout, cluster: Cluster) -> TrainingSetup:
    """The window's training: the plan's seconds, and what a request costs."""
    config, seconds, forwards = layout.config, layout.plan.seconds, layout.config.scale.forwards
    return TrainingSetup(
        workers=config.train.workers,
        replicas=max(1, layout.plan.replicas),
        prefetch=config.teacher.prefetch,
        student_s=max(seconds.compute, seconds.gather, seconds.stream) + seconds.offload / forwards,
        teacher_s=seconds.target,
        request_s=config.scale.request_ms / 1e3,
        send_s=layout.plan.work.target_bytes / 1e9 / (cluster.network_gb_s / cluster.per_node),
    )


def job_of(layout: Layout, student: Pipeline, cluster: Cluster, nodes: StageNodes, seen: TrainingWindow) -> TrainingJob:
    """The training as faults see it. A fault takes a whole node, and so all training, or some replicas."""
    config, scale = layout.config, layout.config.scale
    state, workers = state_bytes(config, student), config.train.workers
    training_nodes = nodes.count if layout.shared else math.ceil(workers / cluster.per_node)
    teaching_nodes = nodes.count - training_nodes
    fault_s = scale.mtbf_h * HOUR
    mtbf_s = fault_s / (training_nodes * nodes.gpus)
    shards = config.train.shard or workers
    blocked_s = state / shards / 1e9 / cluster.gpu.host_gb_s  # the copy to host memory
    weights_s = layout.plan.held.teacher_weights / 1e9 / nodes.storage_gb_s
    return TrainingJob(
        work_s=config.optim.steps * scale.forwards * seen.forward_s,
        every_s=scale.checkpoint_s or best_interval(blocked_s, mtbf_s),
        blocked_s=blocked_s,
        written_s=state / 1e9 / (nodes.storage_gb_s * training_nodes),
        restart_s=scale.restart_s + start_seconds(config, layout, nodes),
        mtbf_s=mtbf_s,
        teacher_mtbf_s=fault_s / (teaching_nodes * nodes.gpus) if teaching_nodes else math.inf,
        teacher_restart_s=scale.restart_s + weights_s,
    )


def check_ends(job: TrainingJob) -> None:
    """Refuses a training whose faults come faster than it can restart and reach a checkpoint.

    Raises:
        ValueError: with both times.
    """
    needs = job.restart_s + min(job.every_s, job.work_s) + job.blocked_s
    if needs > HOPELESS * job.mtbf_s:
        raise ValueError(
            f"training would hardly end: its nodes fail every {job.mtbf_s:.0f} s, and from a fault to the next "
            f"checkpoint it takes {needs:.0f} s: fewer GPUs, scale.checkpoint_s, scale.restart_s or scale.mtbf_h"
        )


def start_seconds(config: Config, layout: Layout, nodes: StageNodes) -> float:
    """Returns the seconds from the start of processes to the first step.

    Each process reads the store's index, and each node a whole state or the weights.
    """
    state = layout.plan.held.checkpoints / (config.train.keep + 1)
    return config.scale.start_s + 1e-6 * config.scale.index_us * config.plan.triplets + state / 1e9 / nodes.storage_gb_s


def slower_by(layout: Layout):
    """Returns the function from teaching nodes that are down to how much longer a step takes."""
    plan, config = layout.plan, layout.config
    per_node = config.plan.gpus_per_node // config.teacher.tp
    student_s = max(plan.seconds.compute, plan.seconds.gather, plan.seconds.stream)

    def slower(down: int) -> float:
        left = max(1, plan.replicas - down * per_node)
        return pace_of(config, 0, student_s, plan.seconds.target, left).step_s / plan.pace.step_s if down else 1.0

    return slower


def trained_result(
    layout: Layout, job: TrainingJob, runs: list[Trained], seen: TrainingWindow, start_s: float
) -> StageResult:
    """Training, and what sets its pace."""
    seconds = fmean(run.seconds for run in runs)
    useful = job.work_s / seconds
    busiest = max(seen.busy, key=lambda name: seen.busy[name])
    bottleneck = layout.plan.bound if busiest == "the students" else busiest
    lost = {
        "lost to faults": fmean(run.lost_s for run in runs) / seconds,
        "checkpoints": fmean(run.blocked_s for run in runs) / seconds,
        "restarts": fmean(run.faults for run in runs) * job.restart_s / seconds,
    }
    return StageResult(
        seconds=start_s + seconds,
        faults=fmean(run.faults + run.teacher_faults for run in runs),
        bottleneck="faults" if useful < 0.5 else bottleneck,
        busy={name: share * useful for name, share in seen.busy.items()} | lost,
    )
