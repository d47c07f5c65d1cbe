"""A real PostgreSQL server in a temporary folder, which can be stopped and started again."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "s3cret-of-tests"
QUICK = "-c fsync=off -c max_connections=100"


def programs() -> Path | None:
    """Returns the folder of the newest installed server's programs; None without any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """A running server. It refuses root, so root starts it as the user ``postgres``."""

    def __init__(self, folder: Path, bin_folder: Path):
        self._bin, self._data, self._folder = bin_folder, folder / "data", folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        word = folder / "password"
        word.write_text(PASSWORD)
        self._who = {}
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            self._who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            for path in (folder, word):
                os.chown(path, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", self._data, "-U", "v4e", "-A", "scram-sha-256", "--pwfile", word, "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -h 127.0.0.1 {QUICK}"
        log = self._folder / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stops it as a crash does: connections are cut, and nothing is written that was not."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def url(self, name: str, password: str = PASSWORD) -> str:
        return f"postgresql://v4e:{password}@127.0.0.1:{self.port}/{name}"

    def database(self) -> str:
        """Returns the address of a new, empty database."""
        import psycopg

        name = f"v4e_{secrets.token_hex(4)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *args: object) -> None:
        command = [str(self._bin / program), *map(str, args)]
        with (self._folder / "told").open("wb") as told:  # no pipe: the server would hold it open
            done = subprocess.run(command, cwd="/", timeout=120, stdout=told, stderr=told, **self._who)
        assert done.returncode == 0, f"{program}: {(self._folder / 'told').read_text()}"


@contextmanager
def postgres() -> Iterator[Postgres | None]:
    """A server for the body of ``with``; None where there is no PostgreSQL."""
    bin_folder = programs()
    if bin_folder is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="v4e-pg-"))  # not pytest's, whose folders are closed to other users
    try:
        server = Postgres(folder, bin_folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
