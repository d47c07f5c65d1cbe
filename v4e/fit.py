"""Whether a run fits the machines that it is about to use: asked before any weights are loaded."""

from v4e.cluster_plan import GIB, PROCESS_GIB, plan_cluster, work_for
from v4e.cluster_rows import refusal
from v4e.cluster_search import nearest
from v4e.config import Config
from v4e.gpus import Cluster
from v4e.memory import student_memory, teacher_memory
from v4e.models.sizes import Pipeline


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
    work, workers = work_for(config, student, teacher), config.train.workers
    training = student_memory(
        config, student.dit, work.student_reads, workers=workers, image_tokens=student.image_tokens
    ).total
    teaching = sum(teacher_memory(config, teacher.dit, work.teacher_reads, image_tokens=teacher.image_tokens))
    ranks = config.teacher.replicas * config.teacher.tp if config.kd.weight > 0 else 0
    needs = (workers * training + ranks * teaching) / GIB + PROCESS_GIB * (workers + ranks)
    if needs > host_gib:
        raise ValueError(
            f"{config.recipe} does not fit this machine: {workers} training and {ranks} teaching processes need "
            f"{needs:.0f} GiB, it has {host_gib:.0f}. On a GPU cluster set train.gpus_per_worker=1 and teacher.gpus=1; "
            "pipelines/plan.py plan.gpu=h100 says what that takes"
        )
