"""The checks of a machine or a cluster before a run: each says what it found, and what to mend."""

import os
import socket
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from packaging.requirements import Requirement

from actors.nodes import NodeFacts
from v4e.config import Config
from v4e.faults import Fault
from v4e.faults.foreign import as_fault
from v4e.files.database import check_database, on_server, told
from v4e.files.uri import exists, free_bytes, join, local_path, open_uri, remove, write_atomic
from v4e.models.sizes import pipeline
from v4e.planning.memory import checkpoint_bytes
from v4e.weights.hub import check_folder, is_hub_id

GIB = 2**30
CLOCK_S = 5.0  # difference of two clocks that leases and heartbeats bear
TEMPORARY_GIB = 5.0  # that Ray's logs, sockets and spilled objects need
PORTS = {8265: "Ray's dashboard, for ray job submit", 8000: "v4e serve, whose option is port="}
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    name: str
    state: Literal["ok", "look", "wrong"]  # "look": it need not be wrong
    said: str

    @classmethod
    def of(cls, name: str, faults: Sequence[str], ok: str, state: Literal["look", "wrong"] = "wrong") -> "Finding":
        """Returns `ok`, or the faults where there are any."""
        return cls(name=name, state=state, said="; ".join(faults)) if faults else cls(name=name, state="ok", said=ok)


def packages() -> Finding:
    """Compares what is installed here with what pyproject.toml asks for."""
    faults, count = [], 0
    try:
        texts = requires("v4e") or []
    except PackageNotFoundError:
        return Finding(name="packages", state="look", said="v4e is not installed here, so what it needs is not known")
    for text in texts:
        asked = Requirement(text)
        if asked.marker and not asked.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            there = version(asked.name)
        except PackageNotFoundError:
            faults.append(f"{asked.name} is not installed: pip install '{text}'")
            continue
        if not asked.specifier.contains(there, prereleases=True):
            faults.append(f"{asked.name} {there}, expected {asked.specifier}: pip install '{text}'")
    return Finding.of("packages", faults, f"{count} packages as pyproject.toml asks for")


def served_state() -> list[Finding]:
    """Connects to the database of servers, if V4E_SERVE_STATE names one."""
    state = os.environ.get("V4E_SERVE_STATE", "")
    if not on_server(state):
        return []
    try:
        check_database(state)
    except Fault as fault:
        return [Finding(name="serve.state", state="wrong", said=fault.line)]
    return [Finding(name="serve.state", state="ok", said=f"{told(state)} answers")]


@contextmanager
def marked(uri: str) -> Iterator[tuple[str, bytes]]:
    """A small file below the folder `uri`, and its bytes, for the body of ``with``; a folder that it made goes too."""
    mark, body = join(uri, f".doctor-{uuid.uuid4().hex}"), os.urandom(16)
    place = local_path(uri)
    made = [path for path in (place, *place.parents) if not path.exists()] if place else []
    try:
        write_atomic(mark, body)
        yield mark, body
    finally:
        with suppress(Exception):  # the first error is the one that counts
            remove(mark)
        for path in made:  # the deepest first
            with suppress(OSError):  # somebody else's file is there by now
                path.rmdir()


def place(key: str, uri: str) -> Finding:
    """Writes a small file to the folder `uri`, reads it and removes it, as a run does."""
    try:
        with marked(uri) as (mark, body), open_uri(mark) as f:
            same = f.read() == body
        left = exists(mark)
    except Exception as error:  # whatever a storage service says
        fault = as_fault(error)
        return Finding(name=key, state="wrong", said=f"{uri}: {fault.message} [V4E-{fault.code}]")
    faults = [] if same else [f"{uri} returns other bytes than were written: another program writes there"]
    faults += [f"{mark} could not be removed: give this user the right to delete"] if left else []
    return Finding.of(key, faults, f"{uri}: a file was written, read and removed")


def disk(config: Config) -> Finding:
    """Compares the free room at ``run.dir`` with the checkpoints that a run keeps, and one more as it is written."""
    try:
        place = local_path(config.run.dir)
        if place is None:
            return Finding(name="disk", state="ok", said=f"{config.run.dir} is a storage service's")
        model = pipeline(config.models.student, "models.student")
    except Exception as error:  # a model's files may be damaged in any way
        return Finding(name="disk", state="look", said=f"the size of a checkpoint is not known: {as_fault(error).line}")
    one, count = checkpoint_bytes(config, model.dit, model.image_tokens), config.train.keep + 1
    free = free_bytes(place)
    asked = f"{count} checkpoints of {one / GIB:.2f} GiB at {config.run.dir}, {free / GIB:.1f} GiB free"
    return Finding.of(
        "disk", [f"{asked}: lower train.keep, or choose another run.dir"] if free < count * one else [], asked
    )


def models(config: Config) -> Finding:
    """Looks for the folders of teacher and student; hub ids are fetched later."""
    faults, ids = [], []
    for key in ("student", "teacher"):
        folder = getattr(config.models, key)
        if is_hub_id(folder):
            ids.append(folder)
            continue
        try:
            check_folder(folder)
        except Exception as error:  # its files may be damaged in any way
            faults.append(f"models.{key}: {as_fault(error).message}")
    return Finding.of("models", faults, f"to fetch: {', '.join(ids)}; v4e fetch does it" if ids else "both are there")


def ports() -> Finding:
    """Tries the ports that commands listen on by default."""
    faults = []
    for port, use in PORTS.items():
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                faults.append(f"{port} is in use, which is for {use}")
    return Finding.of("ports", faults, " and ".join(map(str, PORTS)) + " are free", "look")


def token(nodes: Sequence[NodeFacts]) -> Finding:
    """Asks for Ray's token where others reach the cluster: who reaches it without one runs any code there."""
    reached = sorted({node.address for node in nodes} - set(LOOPBACK))
    has = os.environ.get("RAY_AUTH_MODE", "") == "token"
    fault = (
        f"the cluster is reached at {', '.join(reached[:3])} and RAY_AUTH_MODE is not token: who reaches it may run "
        "any code. Start all nodes with RAY_AUTH_MODE=token, after ray get-auth-token --generate"
    )
    return Finding.of(
        "token", [] if has or not reached else [fault], "asked for" if has else "only this machine", "look"
    )


def cluster(config: Config, nodes: Sequence[NodeFacts], shared: bool) -> Iterator[Finding]:
    """Yields what the nodes say, compared with this process and with each other."""
    silent = [f"{node.address}: {node.error}: look into its raylet's log, or remove it" for node in nodes if node.error]
    yield Finding.of("nodes", silent, f"{len(nodes)} answer")
    there = [node for node in nodes if not node.error]
    yield _versions(there)
    late = [f"{n.address} is {n.ahead_s:+.0f} s from this clock: run an NTP client there" for n in there if _skewed(n)]
    yield Finding.of("clocks", late, f"within {CLOCK_S:g} s")
    yield Finding.of("/dev/shm", [line for node in there for line in _shm(node)], "holds Ray's objects on every node")
    full = [
        f"{node.address}: {node.free_bytes / GIB:.1f} GiB free in the temporary folder, expected {TEMPORARY_GIB:g}"
        for node in there
        if node.free_bytes < TEMPORARY_GIB * GIB
    ]
    yield Finding.of("temporary", full, f"at least {TEMPORARY_GIB:g} GiB free on every node")
    yield Finding.of(
        "GPUs", list(_gpus(config, there)), f"{sum(node.offered_gpus for node in there):g} offered", "look"
    )
    if shared:
        blind = [
            f"{node.address} does not see what this process wrote to run.dir={config.run.dir}: choose a folder that "
            "all nodes share, or a bucket"
            for node in there
            if not node.sees_mark
        ]
        yield Finding.of("shared run.dir", blind, "every node sees it")


def _skewed(node: NodeFacts) -> bool:
    # The question took some of that time to get there, so a clock may seem ahead by as much and never behind.
    return node.ahead_s < -CLOCK_S or node.ahead_s - node.took_s > CLOCK_S


def _versions(nodes: Sequence[NodeFacts]) -> Finding:
    faults = []
    for name in sorted({name for node in nodes for name in node.versions}):
        by_version = Counter(node.versions.get(name, "") for node in nodes)
        if len(by_version) > 1:
            usual = by_version.most_common(1)[0][0]
            odd = ", ".join(
                f"{node.address} has {node.versions.get(name) or 'none'}"
                for node in nodes
                if node.versions.get(name, "") != usual
            )
            faults.append(f"{name}: {usual or 'none'} on most nodes, {odd}: install the same everywhere")
    return Finding.of("versions", faults, "the same on every node")


def _shm(node: NodeFacts) -> Iterator[str]:
    if node.store_bytes and node.shm_bytes < node.store_bytes:
        yield (
            f"{node.address}: /dev/shm has {node.shm_bytes / GIB:.2f} GiB, and Ray's objects may take "
            f"{node.store_bytes / GIB:.2f}: "
            "give the container a larger one, as by docker run --shm-size, or Ray a smaller --object-store-memory"
        )


def _gpus(config: Config, nodes: Sequence[NodeFacts]) -> Iterator[str]:
    for node in nodes:
        if node.gpus != node.offered_gpus:
            yield f"{node.address} has {node.gpus} GPUs and Ray offers {node.offered_gpus:g}: see ray start --num-gpus"
        elif node.gpus and "+cpu" in node.versions.get("torch", ""):
            yield f"{node.address} has {node.gpus} GPUs and torch {node.versions['torch']}: install a build for CUDA"
    asked = config.train.workers * config.train.gpus_per_worker
    asked += config.teacher.replicas * config.teacher.tp * config.teacher.gpus if config.kd.weight > 0 else 0
    if asked > (offered := sum(node.offered_gpus for node in nodes)):
        yield f"the run asks for {asked:g} GPUs and there are {offered:g}: nothing starts until nodes are added"
