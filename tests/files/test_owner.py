"""A stage of a run has one owner: a second process is told who it is, and one that has died is followed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.wait import until
from v4e.faults import Fault
from v4e.files import owner
from v4e.files.manifest import stage
from v4e.files.owner import owner_of, owner_uri, owning

HOLD = """
import sys, time
from v4e.files.owner import owning
with owning(sys.argv[1], "train"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the stage ``train`` of the run in ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_works_there(holder, tmp_path):
    with pytest.raises(Fault) as error, owning(str(tmp_path), "train"):
        pass
    assert error.value.code == "T10"
    for words in (f"run.dir={tmp_path}", "train", f"process {holder.pid} on {socket.gethostname()}", "heartbeat 0"):
        assert words in str(error.value)
    with owning(str(tmp_path), "export"):  # another stage may run beside it
        assert f"process {os.getpid()}" in owner_of(str(tmp_path), "export")


def test_a_stopped_process_still_owns_its_run_and_a_killed_one_does_not(holder, tmp_path):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(Fault, match="under way"), owning(str(tmp_path), "train"):
        pass
    holder.kill()
    holder.wait()
    assert owner_of(str(tmp_path), "train") == ""
    with owning(str(tmp_path), "train"):
        assert f"process {os.getpid()}" in owner_of(str(tmp_path), "train")
    assert list(tmp_path.iterdir()) == []


def elsewhere(folder: Path, **changes: object) -> Path:
    """An owner on another host, who wrote no heartbeat yet."""
    record = {"host": "other", "place": "other 1", "pid": 1, "started": 1.0, "token": "t", "beat": 3, "time": 1e12}
    file = Path(owner_uri(str(folder), "train"))
    file.write_text(json.dumps(record | changes))
    return file


def test_an_owner_on_another_host_lives_while_its_heartbeat_changes_whatever_its_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "DEAD_S", 30.0)
    elsewhere(tmp_path)
    threading.Timer(0.1, elsewhere, [tmp_path], {"beat": 4}).start()
    with pytest.raises(Fault, match="process 1 on other"), owning(str(tmp_path), "train"):
        pass


def test_an_owner_on_another_host_without_a_heartbeat_is_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "DEAD_S", 0.1)
    elsewhere(tmp_path)
    with owning(str(tmp_path), "train"):
        pass


@pytest.mark.parametrize("left", ["", "{", "[]", "{}", '{"pid": "x", "place": 3}'])
def test_what_a_crash_left_in_the_file_stops_nobody(left, tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "DEAD_S", 0.1)
    Path(owner_uri(str(tmp_path), "train")).write_text(left)
    with owning(str(tmp_path), "train"):
        pass


def test_a_process_that_another_one_has_followed_ends(tmp_path, monkeypatch, request):
    """A process that stood still for a minute must not write any more, since its run goes on elsewhere."""
    monkeypatch.setattr(owner, "BEAT_S", 0.05)
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts the tests may ignore it
    with pytest.raises(KeyboardInterrupt), owning(str(tmp_path), "train"):
        file = elsewhere(tmp_path, token="other")
        until(lambda: False)
    assert json.loads(file.read_text())["token"] == "other"  # which stays


def test_of_two_that_begin_at_once_one_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "SETTLE_S", 0.2)
    threading.Timer(0.1, elsewhere, [tmp_path], {"token": "other"}).start()
    with pytest.raises(Fault, match="same moment by process 1 on other"), owning(str(tmp_path), "train"):
        pass


def test_a_heartbeat_is_written_and_a_failing_disk_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(owner, "BEAT_S", 0.02)
    with owning(str(tmp_path), "train"):
        until(lambda: "heartbeat 2" in owner_of(str(tmp_path), "train"))
        write = owner.write_json_atomic
        failed = threading.Event()

        def fail(*_: object) -> None:
            failed.set()
            raise OSError(28, "full")

        monkeypatch.setattr(owner, "write_json_atomic", fail)
        assert failed.wait(10)
        monkeypatch.setattr(owner, "write_json_atomic", write)
        before = owner_of(str(tmp_path), "train")
        until(lambda: owner_of(str(tmp_path), "train") != before)


def test_a_stage_within_a_stage_has_the_same_owner_and_the_file_goes_with_the_outer_one(tmp_path):
    with owning(str(tmp_path), "train"):
        with stage(str(tmp_path), "train"):
            pass
        assert Path(owner_uri(str(tmp_path), "train")).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["stages.json"]


def test_an_owner_of_a_run_on_an_object_store():
    uri = f"memory://owner-{time.time_ns()}"
    with owning(uri, "train"), pytest.raises(Fault, match="under way"):
        owner._take(owner_uri(uri, "train"), uri, "train")
    assert owner_of(uri, "train") == ""
