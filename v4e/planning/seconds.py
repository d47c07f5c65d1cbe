"""The times of a training step's parts on a cluster of GPUs, each by itself: arithmetic on stated speeds."""

import math
from dataclasses import dataclass

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.gpus import Cluster
from v4e.planning.memory import BYTES, EXACT, checkpoint_bytes, parameter_count, trained_parameters
from v4e.planning.work import SampleWork, Speed, seconds_of, tensor_parallel_bytes

PUT_GB_S = 6.0  # into Ray's object store, ours; benchmarks/results/stream.json has 6.4 to 7.9 of two cores


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """The times of one forward and backward on a worker, unless a field says otherwise."""

    compute: float
    gather: float  # FSDP's communication
    offload: float  # of a whole step: moments to the GPU and back
    target: float  # of a replica: its forward, or the copy out of it, which runs beside the next forward
    copy: float  # of a target from a replica's GPU into the object store
    stream: float  # that the network needs for the targets of all workers


def seconds_on(
    config: Config, student: Pipeline, teacher: Pipeline, work: SampleWork, speed: Speed, cluster: Cluster
) -> Seconds:
    """Returns the time of each part by itself."""
    compute, target = seconds_of(config, work, speed)
    if config.kd.weight > 0:
        target += config.optim.batch * (
            tensor_parallel_bytes(config, teacher.dit, work.teacher_reads) / 1e9 / cluster.gpu.link_gb_s
        )
    copy = copy_seconds(config, work.target_bytes, cluster)
    nodes = max(1, math.ceil(config.train.workers / cluster.per_node))
    return Seconds(
        compute=compute,
        gather=gather_seconds(config, student, cluster),
        offload=offload_seconds(config, student, cluster),
        target=max(target, copy),
        copy=copy,
        stream=config.train.workers * work.target_bytes / 1e9 / (cluster.network_gb_s * nodes),
    )


def gather_seconds(config: Config, student: Pipeline, cluster: Cluster) -> float:
    """Returns the seconds of FSDP2's communication in a forward and its backward.

    Weights are gathered for both, in the precision that the student computes in; gradients are reduced in float32.
    Within a node each GPU receives them over its own link. Across nodes a ring enters a node once, whatever the
    number of its GPUs. With HSDP only sums of gradients cross, in as many shards as a node has GPUs.
    """
    train = config.train
    shards, workers = train.shard or train.workers, train.workers
    parameters = parameter_count(student.dit, student.image_tokens)
    trained = trained_parameters(config, student.dit, student.image_tokens)
    reductions = 1.0 if train.reduce == "each" else workers / config.optim.accumulate  # a forward
    moved = (2 * BYTES[train.dtype] * parameters + EXACT * trained * reductions) * (shards - 1) / shards
    inside = shards <= cluster.per_node
    seconds = moved / 1e9 / (cluster.gpu.link_gb_s if inside else cluster.network_gb_s)
    if (groups := workers // shards) > 1:
        summed = 2 * EXACT * trained / shards * (groups - 1) / groups * workers / config.optim.accumulate
        crossing = workers > cluster.per_node
        rate = cluster.network_gb_s / min(cluster.per_node, workers) if crossing else cluster.gpu.link_gb_s
        seconds += summed / 1e9 / rate
    return seconds


def copy_seconds(config: Config, target_bytes: int, cluster: Cluster) -> float:
    """Returns the seconds of a target from a replica's GPU into pinned memory, and from there into the object store."""
    if config.kd.weight == 0 or config.teacher.transport != "object_store":
        return 0.0
    return target_bytes / 1e9 * (1 / cluster.gpu.host_gb_s + 1 / PUT_GB_S)


def offload_seconds(config: Config, student: Pipeline, cluster: Cluster) -> float:
    """Returns the seconds of a step: 16 bytes of moments a parameter, to the GPU and back."""
    if config.train.offload == "none":
        return 0.0
    shards = config.train.shard or config.train.workers
    return checkpoint_bytes(config, student.dit, student.image_tokens) / shards / 1e9 / cluster.gpu.host_gb_s


def checkpoint_seconds(config: Config, step_s: float) -> float:
    """Returns the seconds between two checkpoints, or those of the whole run where it is shorter."""
    train, run_s = config.train, config.optim.total * step_s
    every = (train.checkpoint_every * step_s, 60 * train.checkpoint_minutes)
    return min([run_s, *(seconds for seconds in every if seconds)])
