"""A Ray cluster of several nodes on this machine whose processes can be found by name and killed.

Nodes are groups of processes, each with a raylet (Ray's process of a node) as the parent of all of its workers. Only
processes of this cluster are found: other Rays on the machine are left alone.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable

import psutil
import ray
from ray._private.authentication.authentication_token_setup import (
    enable_token_auth_by_default,
    ensure_token_if_auth_enabled,
)
from ray._private.node import Node
from ray.cluster_utils import Cluster

from actors.cluster import ROOT, TRAIN_ENV, WORKER_ENV

STORE = 100 << 20  # bytes of a node's object store
ENV = TRAIN_ENV | WORKER_ENV


class Nodes:
    """A head, where the driver is, and `count` nodes of `cpus` CPUs each. Use it from the main thread.

    Each worker process calls `hook` when it starts.
    """

    def __init__(self, count: int, cpus: int, *, head_cpus: int = 0, hook: Callable[[], None] | None = None) -> None:
        self.cpus = cpus
        self.folder = tempfile.mkdtemp(prefix="v4e-")  # not Ray's own, where others would find this cluster's address
        path = os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])
        os.environ.update(ENV | {"PYTHONPATH": path, "RAY_TMPDIR": self.folder})  # the nodes' workers inherit it
        enable_token_auth_by_default()  # ray.init does both for a cluster that it starts, Cluster neither
        ensure_token_if_auth_enabled(create_token_if_missing=True)
        head = {"num_cpus": head_cpus, "num_gpus": 0, "include_dashboard": False, "object_store_memory": STORE}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(count):
            self.add()
        env = {"worker_process_setup_hook": hook} if hook else None
        ray.init(address=self.cluster.address, logging_level=logging.WARNING, log_to_driver=False, runtime_env=env)

    def add(self, cpus: int | None = None, gpus: int = 0) -> None:
        """Adds a node, and returns once the cluster knows it."""
        self.cluster.add_node(num_cpus=self.cpus if cpus is None else cpus, num_gpus=gpus, object_store_memory=STORE)

    def workers(self) -> list[Node]:
        """Returns the nodes that can be killed: all but the head."""
        return sorted(self.cluster.worker_nodes, key=raylet)

    def kill(self, node: Node) -> None:
        """Sends SIGKILL to the raylet of `node`; its workers end with it."""
        self.cluster.remove_node(node, allow_graceful=False)

    def processes(self, actor: str) -> list[psutil.Process]:
        """Returns the processes of the actors of class `actor`, on all nodes."""
        return [process for node in self.cluster.list_all_nodes() for process in processes_of(node, actor)]

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


def raylet(node: Node) -> int:
    """Returns the process id of a node's raylet."""
    [info] = node.all_processes["raylet"]
    return info.process.pid


def processes_of(node: Node, actor: str) -> list[psutil.Process]:
    """Returns the processes of the actors of class `actor` on `node`, by the process titles that Ray sets."""
    found = []
    for process in psutil.Process(raylet(node)).children(recursive=True):
        try:
            if process.cmdline()[:1] and process.cmdline()[0].split(".")[0].strip() == f"ray::{actor}":
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it has just ended
    return found
