"""The owner of a stage of a run: ``<run.dir>/owner-<stage>.json`` says its host and process, and has a heartbeat.

Clocks of hosts may differ. So nobody compares times: an owner on another host is dead when its heartbeat stands still
while one looks at it. An owner on this host is dead when its process is gone.
"""

import _thread
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from v4e.faults import Fault
from v4e.files.uri import exists, join, read_json, remove, write_json_atomic

BEAT_S = 10.0  # between heartbeats
DEAD_S = 35.0  # without a heartbeat, seen from another host
SETTLE_S, SETTLE_REMOTE_S = 0.02, 0.5  # after which the last of several who write at once is known
log = logging.getLogger(__name__)
_mine: set[str] = set()  # of this process: a stage within a stage of the same name has the same owner
Record = dict[str, str | int | float]


@contextmanager
def owning(run_dir: str, stage: str) -> Iterator[None]:
    """Holds `stage` of the run in `run_dir` for the length of a block.

    Another process that holds it is refused until it ends. One that has died is followed.

    Raises:
        Fault: another process works there; names its host, process and heartbeat.
    """
    uri = owner_uri(run_dir, stage)
    if uri in _mine:
        yield
        return
    record = _take(uri, run_dir, stage)
    _mine.add(uri)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(uri, record, ended), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        _mine.discard(uri)
        with suppress(Exception):  # a place that is gone by now needs no owner
            if _read(uri).get("token") == record["token"]:
                remove(uri)


def owner_uri(run_dir: str, stage: str) -> str:
    """The file of the owner of a stage."""
    return join(run_dir, f"owner-{re.sub(r'[^a-z]+', '-', stage)}.json")


def owner_of(run_dir: str, stage: str) -> str:
    """The owner of a stage in words, and empty without one or where it is known to be dead."""
    record = _read(owner_uri(run_dir, stage))
    return _told(record) if record and _is_alive_here(record) is not False else ""


def _take(uri: str, run_dir: str, stage: str) -> Record:
    """Writes this process into the file, once whoever is in it is dead."""
    there = _read(uri)
    if there and _is_alive(uri, there):
        raise Fault(
            "T10",
            f"run.dir={run_dir}: {stage} is under way there already, by {_told(there)}: wait for its end, end it, or "
            "choose another run.dir",
        )
    if there:
        log.warning("%s: %s goes on after %s, which is dead", run_dir, stage, _told(there))
    process = psutil.Process()
    record: Record = {
        "host": socket.gethostname(),
        "place": _place(),
        "pid": process.pid,
        "started": process.create_time(),
        "token": uuid.uuid4().hex,
        "beat": 0,
        "time": time.time(),
    }
    write_json_atomic(uri, record)
    time.sleep(SETTLE_REMOTE_S if "://" in uri else SETTLE_S)
    if (now := _read(uri)) and now.get("token") != record["token"]:
        raise Fault(
            "T10", f"run.dir={run_dir}: {stage} was begun at the same moment by {_told(now)}: let that one go on"
        )
    return record


def _beat(uri: str, record: Record, ended: threading.Event) -> None:
    """Writes the heartbeat; ends the program if another process has taken the run over meanwhile."""
    while not ended.wait(BEAT_S):
        try:
            there = _read(uri)
            if there and there.get("token") != record["token"]:
                log.error("%s was taken over by %s: this process ends", uri, _told(there))
                _thread.interrupt_main()
                return
            record |= {"beat": int(record["beat"]) + 1, "time": time.time()}
            write_json_atomic(uri, record)
        except Exception as error:  # storage that fails for a moment ends no run
            log.warning("the heartbeat of %s was not written: %s", uri, error)


def _is_alive(uri: str, record: Record) -> bool:
    """Returns whether the owner lives; one on another host is watched for up to DEAD_S seconds."""
    if (here := _is_alive_here(record)) is not None:
        return here
    end = time.monotonic() + DEAD_S
    while time.monotonic() < end:
        time.sleep(min(1.0, DEAD_S / 10))
        if (now := _read(uri)) != record:
            return bool(now)
    return False


def _is_alive_here(record: Record) -> bool | None:
    """Returns whether the owner's process lives; None where it is not one of this host."""
    if record.get("place") != _place():
        return None
    try:
        process = psutil.Process(int(record.get("pid", 0)))
        return abs(process.create_time() - float(record.get("started", 0))) < 1 and process.status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def _place() -> str:
    """The host and its table of processes: containers may share a host's name, and each has a process 1."""
    name = socket.gethostname()
    with suppress(OSError):
        boot = open("/proc/sys/kernel/random/boot_id").read().strip()  # noqa: SIM115
        return f"{name} {boot} {os.readlink('/proc/self/ns/pid')}"
    return name


def _read(uri: str) -> Record:
    """The record in the file; empty without one, or where a crash left something else."""
    try:
        value = read_json(uri) if exists(uri) else {}
    except (ValueError, FileNotFoundError):
        return {}
    return value if isinstance(value, dict) else {}


def _told(record: Record) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(record.get("time", 0))))
    return f"process {record.get('pid')} on {record.get('host')} (heartbeat {record.get('beat')} of {when})"
