"""Ray's workers, forked from a process that has imported what they need.

An actor of ours imports torch and diffusers for seven seconds of CPU before it does anything, and the tests start
hundreds of actors. The raylet starts this file in the place of Ray's ``setup_worker.py``. It asks a server for a fork,
which goes on as Ray's ``default_worker.py``, and ends when that ends. A worker that needs another interpreter or folder
than the server's is started as Ray does it.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the launcher starts often, and needs none of it
    from multiprocessing.connection import Connection

SOCKET = "V4E_TEST_WORKERS"  # the variable that names the server's socket
CONTEXT = "--serialized-runtime-env-context="


@contextmanager
def server(folder: str) -> Iterator[None]:
    """A server for all Ray clusters that this process and those below it start; its socket lies in `folder`."""
    import multiprocessing

    from tests.support import ranks

    os.environ[SOCKET] = os.path.join(folder, "socket")
    here, there = multiprocessing.Pipe()
    process = ranks.start(serve, os.environ[SOCKET], pipe=(there,))
    there.close()
    here.recv()  # once it listens
    use_server()
    yield
    del os.environ[SOCKET]
    here.close()
    process.join()


def use_server() -> None:
    """Lets each Ray that this process starts from now on fork its workers from the server, if there is one."""
    if SOCKET in os.environ:
        from ray._private import ray_constants

        ray_constants.SETUP_WORKER_FILENAME = os.path.abspath(__file__)


def serve(caller: "Connection", path: str) -> None:
    """Forks workers until `caller`, the other end of a pipe, is gone."""
    import select
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        caller.send("ready")
        while select.select([listening, caller], [], [])[0] == [listening]:
            launcher, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                caller.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                become_worker(launcher)
            launcher.close()


def become_worker(launcher: socket.socket) -> None:
    """Turns this fork into the worker that `launcher` wants, with its environment, folder, input and outputs."""
    from tests.support import ranks

    head, files, _, _ = socket.recv_fds(launcher, 4, 3)
    size, request = int.from_bytes(head, "big"), b""
    while len(request) < size:
        request += launcher.recv(size - len(request))
    wanted = json.loads(request)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    os.chdir(wanted["cwd"])
    try:
        ranks.become(wanted["argv"][0], wanted["argv"][1:])
    finally:
        os._exit(0)


def launch(arguments: list[str]) -> None:
    """Asks the server for the worker, and waits for its end."""
    wanted = json.loads(next((a.removeprefix(CONTEXT) for a in arguments if a.startswith(CONTEXT)), "{}"))
    if wanted.get("command_prefix") or wanted.get("py_executable", sys.executable) != sys.executable:
        from ray._private import workers

        own = os.path.join(workers.__path__[0], "setup_worker.py")
        os.execv(sys.executable, [sys.executable, own, *arguments])
    argv = [a for a in arguments if not a.startswith((CONTEXT, "--language="))]
    environ = dict(os.environ) | wanted.get("env_vars", {})
    request = json.dumps({"argv": argv, "environ": environ, "cwd": os.getcwd()}).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ[SOCKET])
        socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
        server.sendall(request)
        server.recv(1)  # returns when the worker ends, which holds the other end


if __name__ == "__main__":
    launch(sys.argv[1:])
