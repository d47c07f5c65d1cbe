"""Refuses a run that does not fit its machines, before any weights are loaded."""

from v4e.config import Config
from v4e.models.sizes import Pipeline
from v4e.planning.gpus import Cluster
from v4e.planning.layout import plan_cluster, process_gib, work_for
from v4e.planning.layout_table import refusal
from v4e.planning.search import nearest


def check_cluster(config: Config, student: Pipeline, teacher: Pipeline, cluster: Cluster, triplets: int) -> None:
    """Refuses a run that cannot fit `cluster`.

    Raises:
        ValueError: naming the first limit that it breaks, and the nearest settings that fit.
    """
    found = plan_cluster(config, student, teacher, cluster, triplets)
    if found.limits:
        raise ValueError(refusal(config, found, nearest(config, student, teacher, cluster, triplets)))


def check_host(config: Config, student: Pipeline, teacher: Pipeline, host_gib: float) -> None:
    """Refuses a run on the CPUs of one machine whose processes hold more than its `host_gib` of memory.

    Raises:
        ValueError: naming what the run needs.
    """
    gib = process_gib(config, student, teacher, work_for(config, student, teacher))
    workers, ranks = config.train.workers, config.teacher.replicas * config.teacher.tp if "teaching" in gib else 0
    needs = workers * gib["training"]["peak"] + (ranks * gib["teaching"]["peak"] if ranks else 0.0)
    if needs > host_gib:
        raise ValueError(
            f"{config.recipe} does not fit this machine: {workers} training and {ranks} teaching processes need "
            f"{needs:.0f} GiB, it has {host_gib:.0f}. On a GPU cluster set train.gpus_per_worker=1 and teacher.gpus=1; "
            "pipelines/plan.py plan.gpu=h100 says what that takes"
        )
