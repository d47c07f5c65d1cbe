"""The fastest split of a cluster's GPUs into training and teaching ones that fits, by the plan's arithmetic."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.gpus import Cluster
from v4e.planning.layout import ClusterPlan, plan_cluster
from v4e.planning.layout_table import refusal
from v4e.planning.search import nearest

OFFLOADS = ("none", "optimizer")  # in the order in which they are tried


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A recipe on a cluster."""

    config: Config  # with the workers and replicas that there are
    plan: ClusterPlan
    shared: bool  # nodes both train and teach


def best_layout(config: Config, student: Pipeline, teacher: Pipeline, cluster: Cluster) -> Layout:
    """The split of ``cluster.gpus`` with most samples a second, then with fewest GPUs.

    Raises:
        ValueError: none fits; names the first limit.
    """
    triplets = config.plan.triplets
    for offload in OFFLOADS:
        found: list[Layout] = []
        base = replace(config, train=replace(config.train, offload=offload))
        for workers, shard, replicas, shared in splits(config, cluster):
            variant = on(base, workers, shard, replicas)
            planned = plan_cluster(variant, student, teacher, cluster, triplets)
            if not planned.limits:
                found.append(Layout(config=variant, plan=planned, shared=shared))
        if found:
            return max(found, key=lambda layout: (layout.plan.pace.samples_per_s, -layout.plan.gpus))
    planned = plan_cluster(config, student, teacher, cluster, triplets)
    if not planned.limits:
        raise ValueError(
            f"plan.gpus={cluster.gpus} is too few for {config.recipe} and a teacher of {config.teacher.tp} ranks: "
            f"set plan.gpus={planned.gpus}"
        )
    raise ValueError(refusal(config, planned, nearest(config, student, teacher, cluster, triplets)))


def splits(config: Config, cluster: Cluster) -> Iterator[tuple[int, int, int, bool]]:
    """Workers, ranks of a shard, replicas, and whether nodes are shared.

    On one node all workers are one shard. On several a shard is what of a node trains, and the others teach: every node
    alike, or whole nodes of one kind.
    """
    per_node, tp, distils = cluster.per_node, config.teacher.tp, config.kd.weight > 0
    nodes = max(1, cluster.gpus // per_node)
    if not distils:
        yield (cluster.gpus, 0, 1, False) if nodes == 1 else (nodes * per_node, per_node, 1, False)
        return
    most = min(cluster.gpus, per_node) - tp
    for workers in range(1, most + 1):
        yield nodes * workers, workers if nodes > 1 else 0, nodes * ((most + tp - workers) // tp), True
    for training in range(1, nodes):
        yield training * per_node, per_node, (nodes - training) * (per_node // tp), False


def on(config: Config, workers: int, shard: int, replicas: int) -> Config:
    """Returns `config` on such a split; a step has ``scale.forwards`` of every worker, and an epoch all triplets."""
    accumulate = workers * config.scale.forwards
    steps = math.ceil(config.plan.triplets * config.scale.epochs / (accumulate * config.optim.batch))
    return replace(
        config,
        train=replace(config.train, workers=workers, min_workers=0, shard=shard),
        teacher=replace(config.teacher, replicas=replicas, max_replicas=0),
        optim=replace(config.optim, accumulate=accumulate, steps=steps),
    )
