"""Simulates a whole pipeline on a cluster that nobody has at hand: time, cost and what limits it first.

python pipelines/plan.py scale recipe=wan14b_480p plan.gpu=h100 plan.gpus=512 plan.triplets=10_000_000 [--json]

Ingest, captions, features, rollouts, training and export one after the other, as the scripts run them, each on all
GPUs, with faults; then serving. The split of the GPUs is the fastest that fits; steps follow from triplets and
scale.epochs. docs/results/scale.md says what is modelled and what is not. Needs simpy: pip install simpy
"""

import json

from v4e.config import Config
from v4e.files.progress import plan
from v4e.models.sizes import pipeline
from v4e.planning.gpus import cluster_of


def run(config: Config) -> None:
    """Prints the simulation of `config`."""
    cluster = cluster_of(config.plan)
    if cluster is None or not cluster.gpus:
        raise ValueError(
            f"plan.gpu={config.plan.gpu} plan.gpus={config.plan.gpus}: name the cluster to simulate, "
            "e.g. plan.gpu=h100 plan.gpus=64"
        )
    if cluster.gpus > cluster.per_node and cluster.gpus % cluster.per_node:
        whole = cluster.gpus // cluster.per_node * cluster.per_node
        raise ValueError(
            f"plan.gpus={cluster.gpus} are no whole nodes of {cluster.per_node}: set plan.gpus={whole}, or "
            "plan.gpus_per_node"
        )
    try:
        from v4e.planning.simulation.pipeline import simulate
        from v4e.planning.simulation.table import scale_document, scale_rows
    except ModuleNotFoundError as error:
        raise ValueError("the simulation needs simpy, which is not installed: pip install simpy") from error
    student = pipeline(config.models.student, "models.student")
    teacher = pipeline(config.models.teacher, "models.teacher")
    found = simulate(config, student, teacher, cluster)
    if config.plan.json:
        print(json.dumps(scale_document(found, config), indent=2))
        return
    title = f"{config.recipe}: {config.plan.triplets:,} triplets on {cluster.gpus} GPUs, simulated"
    plan(title, scale_rows(found, config, cluster))
