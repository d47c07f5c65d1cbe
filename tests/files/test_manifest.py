"""Time and memory of a stage: of its own processes, over restarts."""

import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from v4e.files import manifest
from v4e.files.manifest import stage
from v4e.files.uri import read_json

MIB = 150  # far above what this process allocates meanwhile
HOLD = f"held = bytearray(b'x') * ({MIB} << 20); print('held', flush=True); import time; time.sleep(60)"
# A neighbour's parent has ended, so it is below nobody of ours.
NEIGHBOUR = f"import os; os.fork() and os._exit(0); print(os.getpid(), flush=True); {HOLD}"


def peak(run_dir) -> float:
    return read_json(f"{run_dir}/stages.json")["work"]["peak_rss_mib"]


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(manifest, "SAMPLE_S", 0.02)


def test_memory_of_a_process_below_counts_and_that_of_a_neighbour_does_not(tmp_path):
    neighbour = subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdout=subprocess.PIPE, text=True)
    assert neighbour.stdout is not None
    pid = int(neighbour.stdout.readline())
    try:
        with stage(f"{tmp_path}/alone", "work"):
            assert neighbour.stdout.readline() == "held\n"
            time.sleep(0.1)
        assert psutil.Process(pid).memory_info().rss > MIB << 20
    finally:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).send_signal(signal.SIGKILL)
    with stage(f"{tmp_path}/with", "work"):
        child = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        time.sleep(0.1)
        child.kill()
        child.wait()
    assert MIB < peak(f"{tmp_path}/with") - peak(f"{tmp_path}/alone") < 1.5 * MIB


def test_seconds_add_up_over_restarts_and_one_end_is_enough(tmp_path):
    with pytest.raises(RuntimeError), stage(str(tmp_path), "work"):
        time.sleep(0.05)
        raise RuntimeError
    first = read_json(f"{tmp_path}/stages.json")["work"]
    assert first["seconds"] >= 0.05 and not first["finished"]
    for _ in range(2):
        with stage(str(tmp_path), "work"):
            pass
    again = read_json(f"{tmp_path}/stages.json")["work"]
    assert again["seconds"] >= first["seconds"] and again["finished"]
    assert again["peak_rss_mib"] >= first["peak_rss_mib"]
