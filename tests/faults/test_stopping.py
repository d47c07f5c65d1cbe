"""Ctrl-C and SIGTERM: once a command saves and ends, twice it ends at once, and nothing of it is left."""

import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from pipelines.parts import stopping
from pipelines.parts.command import carry_out
from tests.support.wait import until
from v4e.config import parse

COMMAND = """
import subprocess, sys, time
from pipelines.parts import stopping
from pipelines.parts.command import carry_out
from v4e.config import parse

def run(config):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    kind = sys.argv[2]
    stopping.END_S = 0.5 if kind == "stuck" else 20.0
    try:
        if kind == "saves":
            stop = []
            with stopping.saving(lambda: stop.append(1)):
                print(child.pid, flush=True)
                while not stop:
                    time.sleep(0.01)
                print("saved", flush=True)
        else:
            print(child.pid, flush=True)
            time.sleep(600)
    finally:
        if kind in ("stuck", "slow"):
            time.sleep(600)
        child.kill()
        print("cleaned", flush=True)

carry_out([f"run.dir={sys.argv[1]}"], parse, run)
"""


@pytest.fixture
def begin(tmp_path):
    """A function that begins a command of a kind; returns it and its child."""
    begun = []

    def start(kind: str) -> tuple[subprocess.Popen, psutil.Process]:
        words = [sys.executable, "-c", COMMAND, str(tmp_path / "run"), kind]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # as some supervisors start commands
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        begun.append((process, psutil.Process(int(process.stdout.readline()))))
        return begun[-1]

    yield start
    for process, child in begun:
        with suppress(psutil.NoSuchProcess):
            child.kill()  # it holds the pipe that is read to its end
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen, child: psutil.Process) -> tuple[int, str, list[str]]:
    """Status, output and lines of errors of a command, whose child must be gone."""
    out, err = process.communicate(timeout=60)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    return process.returncode, out, err.splitlines()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("kind", "words"), [("plain", "cleaned\n"), ("saves", "saved\ncleaned\n")])
def test_one_signal_ends_a_command_in_one_line(kind, words, number, status, begin):
    process, child = begin(kind)
    process.send_signal(number)
    found, out, lines = ended(process, child)
    assert (found, out) == (status, words)
    [line] = lines
    assert line.startswith(f"error: stopped by {number.name}") and line.endswith("[V4E-A11]")


def test_a_second_signal_ends_at_once_what_cleans_up_slowly(begin):
    process, child = begin("slow")
    process.send_signal(signal.SIGTERM)
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING)
    process.send_signal(signal.SIGINT)
    found, out, lines = ended(process, child)
    assert (out, lines) == ("", []) and found in (130, 143)


def test_what_does_not_end_by_itself_is_ended(begin):
    process, child = begin("stuck")
    process.send_signal(signal.SIGTERM)
    assert ended(process, child) == (143, "", [])


def test_handlers_are_put_back_and_a_thread_does_without(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    carry_out([f"run.dir={tmp_path}/x"], parse, lambda _: None)
    assert signal.getsignal(signal.SIGTERM) is before
    thread = threading.Thread(target=carry_out, args=([f"run.dir={tmp_path}/x"], parse, lambda _: None))
    thread.start()
    thread.join()
    assert stopping.current.signal == 0
