"""The Ray cluster of a command: one that it joins, or one that it starts on this machine."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

# For Ray Train, in the driver: it notices a dead worker in a fraction of a second, not in two.
TRAIN_ENV = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
LOCAL_OBJECT_STORE = 512 << 20  # bytes: enough for the targets in flight at tiny size
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORKER_ENV = {
    # A process that reserved no GPU sees none. Without it Ray shows it all of the node.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
    # Returns large blocks at once; else glibc keeps a third more memory than is in use. It costs time on a CPU if
    # pictures are large: an edit of 128 x 128 pixels takes an eighth to a quarter longer, one of 64 x 64 hardly.
    "MALLOC_MMAP_THRESHOLD_": "1048576",
}


def connect(
    *, cpus: int = 0, store_bytes: int = LOCAL_OBJECT_STORE, worker_env: Mapping[str, str] = WORKER_ENV
) -> None:
    """Joins the cluster that RAY_ADDRESS or a Ray job names, else starts a local one.

    Ray's processes listen on all interfaces, whatever their settings. Only a user with Ray's token, which lies in the
    home folder, can run anything on the cluster; its metrics can be read without. The local one offers `cpus` logical
    CPUs, by default the machine's, but at least 4. The pipelines' actors wait for each other more than they compute.
    """
    if ray.is_initialized():
        return
    for name, value in TRAIN_ENV.items():
        os.environ.setdefault(name, value)
    if joins():
        ray.init(runtime_env={"env_vars": dict(worker_env)}, logging_level=logging.WARNING)
        return
    # Without it NIXL, if teacher.transport=nixl, listens on the node's address; this process reads by it as well.
    os.environ.setdefault("UCX_NET_DEVICES", "lo")
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a process less: nobody preempts the only node
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    # Workers inherit it. As a runtime_env it would cost Ray the processes that it has started ahead, and a second each.
    with environment(dict(worker_env) | {"PYTHONPATH": path}):
        ray.init(
            address="local",
            num_cpus=cpus or max(4, os.cpu_count() or 1),
            include_dashboard=False,
            object_store_memory=store_bytes,
            logging_level=logging.WARNING,
            log_to_driver=False,
        )


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment `variables` for the processes that are started in a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def joins() -> bool:
    """True if :func:`connect` joins a cluster that is there, rather than starts one on this machine."""
    return bool(os.environ.get("RAY_ADDRESS") or os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR"))


def gpu_types() -> list[str]:
    """The kinds of GPU that the cluster's nodes have now, by Ray's names in lower case."""
    prefix = "accelerator_type:"
    return sorted(name.removeprefix(prefix).lower() for name in ray.cluster_resources() if name.startswith(prefix))
