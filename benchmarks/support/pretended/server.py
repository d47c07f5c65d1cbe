"""Functions on the pretended device, each in a process of its own, forked from one that has imported torch and v4e."""

import os
import pickle
import socket
import subprocess
import sys
import traceback
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.support.pretended.device import build, pretend

ROOT = Path(__file__).resolve().parents[3]
# Where functions are without a module.
CASES = ("benchmarks.support.pretended.cases", "benchmarks.support.pretended.training")


class PretendedError(RuntimeError):
    """A function that failed; the message is its traceback."""


class Server:
    """Calls functions on the pretended device. The process behind it starts with the first call and ends with ``with``.

    Raises:
        FileNotFoundError: there is no C++ compiler.
    """

    def __init__(self) -> None:
        self.library = build()
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process is not None:
            self.connection.close()
            self.process.wait()

    def __call__(self, name: str, *arguments: object, **options: object) -> Any:
        """Returns what the function `name` returns, such as "teacher" of :data:`CASES` or "tests.gpu.own:function".

        It is not looked up here: its module may need the device. Arguments and result travel by pickle.

        Raises:
            PretendedError: it failed, or its process died.
        """
        if self.process is None:
            self._start()
        self.connection.send((name, arguments, options))
        ok, answer = self.connection.recv()
        if not ok:
            raise PretendedError(answer)
        return answer

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-W", "ignore", "-m", __name__, str(self.library), str(theirs.fileno())]
        environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environ, cwd=ROOT)
        theirs.close()
        self.connection = Connection(ours.detach())


def serve(connection: Connection) -> None:
    """Forks for each function that comes in, one after the other."""
    while True:
        try:
            work = connection.recv_bytes()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _answer(connection, work)
        _, status = os.waitpid(child, 0)
        if status:
            connection.send((False, f"the process of the function died: {os.waitstatus_to_exitcode(status)}"))


def _answer(connection: Connection, work: bytes) -> None:
    try:
        name, arguments, options = pickle.loads(work)
        module, _, function = name.rpartition(":")
        places = map(import_module, [module] if module else CASES)
        owner = next(place for place in places if hasattr(place, function))
        answer = True, getattr(owner, function)(*arguments, **options)
        pickle.dumps(answer)
    except BaseException:
        answer = False, traceback.format_exc()
    connection.send(answer)
    os._exit(0)


if __name__ == "__main__":
    pretend(Path(sys.argv[1]))
    for place in CASES:
        import_module(place)
    serve(Connection(int(sys.argv[2])))
