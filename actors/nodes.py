"""A look at every node of a cluster, by a task on each: versions, clock, disks, GPUs, and whether it sees a file."""

import platform
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from v4e.faults.foreign import as_fault
from v4e.files.uri import exists

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "pyarrow", "ray")  # that all nodes need alike
ANSWER_S = 60.0  # for a node's task, which may wait for a process


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """One node; `error` says why nothing is known of it."""

    address: str
    error: str = ""
    versions: Mapping[str, str]  # of Python and PACKAGES, empty for one that is not there
    ahead_s: float  # how far its clock is ahead of the asking one, the way of the question included
    took_s: float = 0.0  # from the question to the answer
    shm_bytes: int  # size of /dev/shm
    store_bytes: int  # of Ray's objects, 0 without Ray
    free_bytes: int  # on the disk of its temporary folder
    gpus: int  # that the machine has
    offered_gpus: float  # that Ray gives to tasks, as many as `gpus` without Ray
    sees_mark: bool  # whether it finds the file that the asking process wrote


def look(address: str, mark: str, asked_at: float) -> NodeFacts:
    """Looks at this machine. `mark` is the URI of a file that another process wrote, at `asked_at` seconds."""
    shm = Path("/dev/shm")
    gpus = sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia*"))
    return NodeFacts(
        address=address,
        versions={"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        ahead_s=time.time() - asked_at,
        shm_bytes=shutil.disk_usage(shm).total if shm.exists() else 0,
        store_bytes=0,
        free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        gpus=gpus,
        offered_gpus=gpus,
        sees_mark=not mark or exists(mark),
    )


def look_everywhere(mark: str, answer_s: float = ANSWER_S) -> list[NodeFacts]:
    """Looks at every living node of the cluster that this process has joined, at all at once."""
    found, begun = {}, time.monotonic()
    for node in ray.nodes():
        if node["Alive"]:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(num_cpus=0, max_retries=0)(look).options(scheduling_strategy=place)
            found[task.remote(node["NodeManagerAddress"], mark, time.time())] = node
    waiting, took = list(found), {}
    while waiting and (spent := time.monotonic() - begun) < answer_s:
        ready, waiting = ray.wait(waiting, timeout=answer_s - spent)
        took |= dict.fromkeys(ready, time.monotonic() - begun)
    return [_answer(reference, node, took.get(reference, answer_s)) for reference, node in found.items()]


def _answer(reference: ray.ObjectRef, node: Mapping, took_s: float) -> NodeFacts:
    offered = node["Resources"]
    of_ray = {
        "took_s": took_s,
        "store_bytes": int(offered.get("object_store_memory", 0)),
        "offered_gpus": offered.get("GPU", 0.0),
    }
    try:
        return NodeFacts(**(vars(ray.get(reference, timeout=0)) | of_ray))
    except (GetTimeoutError, RayError, ImportError) as error:
        why = "no answer in time" if isinstance(error, GetTimeoutError) else as_fault(error).line
        nothing = {"versions": {}, "ahead_s": 0.0, "shm_bytes": 0, "free_bytes": 0, "gpus": 0, "sees_mark": False}
        return NodeFacts(address=node["NodeManagerAddress"], error=why, **nothing, **of_ray)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
