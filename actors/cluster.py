"""Joining a Ray cluster, or starting one on this machine."""

import logging
import os
from collections.abc import Mapping

import ray

# Read by Ray Train in the driver: a dead worker is noticed in a fraction of a second, not in two.
TRAIN_ENV = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
LOCAL_OBJECT_STORE = 512 << 20  # bytes: enough for the targets under way at tiny size
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKER_ENV = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
    # glibc keeps freed memory, and a third more than is in use, unless large blocks go back at once. That takes time
    # where pictures are large and on a CPU: an edit of 128 x 128 pixels an eighth to a quarter more, of 64 x 64 little.
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}


def connect(
    *, cpus: int = 0, store_bytes: int = LOCAL_OBJECT_STORE, worker_env: Mapping[str, str] = WORKER_ENV
) -> None:
    """Join the cluster that RAY_ADDRESS or a Ray job names, else start a local one.

    Ray's processes listen on all interfaces, whatever they are told, but only those who know Ray's token, which it
    keeps in the user's home, can run anything on the cluster; its metrics can be read without. The local one offers
    `cpus` logical CPUs, as many as there are, but at least 4, without: the pipelines' actors wait for each other more
    than they compute.
    """
    if ray.is_initialized():
        return
    for name, value in TRAIN_ENV.items():
        os.environ.setdefault(name, value)
    if joins():
        ray.init(runtime_env={"env_vars": dict(worker_env)}, logging_level=logging.WARNING)
        return
    # Else NIXL, where teacher.transport asks for it, listens on the node's address; this process reads by it as well.
    os.environ.setdefault("UCX_NET_DEVICES", "lo")
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = dict(worker_env) | {"UCX_NET_DEVICES": os.environ["UCX_NET_DEVICES"], "PYTHONPATH": path}
    ray.init(
        address="local",
        num_cpus=cpus or max(4, os.cpu_count() or 1),
        include_dashboard=False,
        object_store_memory=store_bytes,
        runtime_env={"env_vars": env},
        logging_level=logging.WARNING,
        log_to_driver=False,
    )


def joins() -> bool:
    """Whether :func:`connect` joins a cluster that is there, rather than start one on this machine."""
    return bool(os.environ.get("RAY_ADDRESS") or os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))


def gpu_types() -> list[str]:
    """The kinds of GPU that the cluster's nodes have now, as Ray calls them, in lower case."""
    prefix = "accelerator_type:"
    return sorted(name.removeprefix(prefix).lower() for name in ray.cluster_resources() if name.startswith(prefix))
