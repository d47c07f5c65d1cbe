"""The Ray cluster of a command: one that it joins, or one that it starts on this machine."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil
import ray

from actors.address import check_address
from v4e.faults import Fault

# For Ray Train, in the driver: it notices a dead worker in a fraction of a second, not in two.
TRAIN_ENV = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
STARTS = 3  # of a local Ray, before it is given up
PATIENCE = {  # for parts of a local Ray on a busy machine
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_gcs_server_port_wait_time_s": "120",
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
        check_address(os.environ.get("RAY_ADDRESS", ""))
        try:
            ray.init(runtime_env={"env_vars": dict(worker_env)}, logging_level=logging.WARNING)
        except Exception as error:  # other versions, a wrong token, a cluster that ends just now
            ray.shutdown()
            where = os.environ.get("RAY_ADDRESS", "") or "the cluster of this job"
            raise Fault("T04", f"RAY_ADDRESS={where} cannot be joined: {_first_line(error)}") from error
        return
    # Without it NIXL, if teacher.transport=nixl, listens on the node's address; this process reads by it as well.
    os.environ.setdefault("UCX_NET_DEVICES", "lo")
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a process less: nobody preempts the only node
    path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
    patience = {name: os.environ.get(name, value) for name, value in PATIENCE.items()}
    # Workers inherit it. As a runtime_env it would cost Ray the processes that it has started ahead, and a second each.
    with environment(patience | dict(worker_env) | {"PYTHONPATH": path}):
        start_local(
            lambda: ray.init(
                address="local",
                num_cpus=cpus or max(4, os.cpu_count() or 1),
                include_dashboard=False,
                object_store_memory=store_bytes,
                logging_level=logging.WARNING,
                log_to_driver=False,
            )
        )


def start_local(start: Callable[[], object]) -> None:
    """Calls `start`, and again where that fails, up to STARTS times: a busy machine takes longer than Ray waits.

    Raises:
        Fault: it failed each time; names the cause and Ray's logs. Whatever processes it started are ended.
    """
    for attempt in range(1, STARTS + 1):
        before = set(psutil.Process().children(recursive=True))
        try:
            start()
            return
        except Exception as error:  # Ray raises whatever its parts do
            ray.shutdown()
            end_processes(set(psutil.Process().children(recursive=True)) - before)
            if attempt == STARTS:
                logs = os.path.join(os.path.realpath(os.path.join(tempfile.gettempdir(), "ray/session_latest")), "logs")
                raise Fault(
                    "T05",
                    f"Ray did not start on this machine in {STARTS} attempts: {_first_line(error)}; its logs are in "
                    f"{logs}; look whether the machine is busy, /dev/shm is small or a disk is full, and try again",
                ) from error


def end_processes(processes: Iterable[psutil.Process]) -> None:
    """Kills processes, and waits until they are gone."""
    mine = list(processes)
    for process in mine:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(mine, timeout=5)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


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
