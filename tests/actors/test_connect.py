"""The environment of a local Ray: its workers have ours, and the process that starts it keeps its own."""

import os
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from actors.address import check_address
from actors.cluster import STARTS, WORKER_ENV, environment, start_local
from v4e.faults import Fault


def test_a_variable_is_set_for_a_block_and_then_as_before(monkeypatch):
    monkeypatch.setenv("V4E_SET", "before")
    monkeypatch.delenv("V4E_UNSET", raising=False)
    with pytest.raises(RuntimeError), environment({"V4E_SET": "inside", "V4E_UNSET": "inside"}):
        assert (os.environ["V4E_SET"], os.environ["V4E_UNSET"]) == ("inside", "inside")
        raise RuntimeError
    assert os.environ["V4E_SET"] == "before"
    assert "V4E_UNSET" not in os.environ


@pytest.mark.ray
def test_workers_of_a_local_ray_have_its_environment(cluster):
    import ray

    @ray.remote(num_cpus=0)
    def seen() -> dict[str, str | None]:
        return {name: os.environ.get(name) for name in WORKER_ENV}

    assert ray.get(seen.remote()) == WORKER_ENV
    assert "MALLOC_MMAP_THRESHOLD_" not in os.environ


@pytest.mark.parametrize(
    "address", ["nowhere", "ray://", "10.0.0.1", "host:port", "host:0", "host:99999", ":6379", "http://host:8265"]
)
def test_what_is_no_address_is_refused_at_once(address):
    with pytest.raises(Fault, match=r"RAY_ADDRESS=.*expected host:port") as error:
        check_address(address)
    assert error.value.code == "T04"


@pytest.mark.parametrize("prefix", ["", "ray://"])
@pytest.mark.parametrize("listener", ["nobody", "silent", "http"])
def test_an_address_without_a_ray_is_refused_in_seconds(listener, prefix):
    """Ray itself tries for more than 16 minutes."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listener != "nobody":
            server.listen(8)
        if listener == "http":

            def answer() -> None:
                while True:
                    try:
                        with server.accept()[0] as client:
                            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    except OSError:
                        return

            threading.Thread(target=answer, daemon=True).start()
        address = f"{prefix}127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Fault, match=f"RAY_ADDRESS={address}: no Ray answers.*unset RAY_ADDRESS") as error:
            check_address(address, answer_s=0.3)
        assert error.value.code == "T04"


@pytest.mark.parametrize("address", ["", "auto", "local"])
def test_words_are_left_to_ray(address):
    check_address(address)


def test_a_local_ray_is_started_again_and_its_processes_are_ended():
    started = []

    def start() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        if len(started) < STARTS:
            raise RuntimeError("Timed out waiting for file\nlong\ntext")

    start_local(start)
    assert [psutil.pid_exists(process.pid) for process in started] == [False] * (STARTS - 1) + [True]
    started[-1].kill()
    started[-1].wait()


def test_a_local_ray_that_does_not_start_is_told_in_one_line_with_its_logs():
    started = []

    def start() -> None:
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        raise RuntimeError("Timed out waiting for file\nlong\ntext")

    with pytest.raises(
        Fault, match=r"3 attempts: RuntimeError: Timed out waiting for file; its logs are in .*/logs;"
    ) as error:
        start_local(start)
    assert error.value.code == "T05" and "\n" not in error.value.line
    assert len(started) == STARTS and not any(
        psutil.pid_exists(process.pid) and process.poll() is None for process in started
    )
