"""What outlives a request: results and jobs in one SQLite file, each for a while. It also outlives this process."""

import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (id TEXT PRIMARY KEY, mime TEXT, blob BLOB, bytes INTEGER, expires REAL);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT, idempotency TEXT, fingerprint TEXT,
    fields TEXT, source BLOB, mask BLOB,
    status TEXT, step INTEGER DEFAULT 0, steps INTEGER, preview BLOB, result TEXT, error TEXT,
    webhook TEXT, told INTEGER DEFAULT 0, lease REAL DEFAULT 0, created REAL, expires REAL,
    UNIQUE (owner, idempotency)
);
-- What is asked every few seconds is answered without reading past the pictures.
CREATE INDEX IF NOT EXISTS results_size ON results (expires, bytes);
CREATE INDEX IF NOT EXISTS jobs_expire ON jobs (expires);
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (owner, created, lease, expires) WHERE status IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS jobs_untold ON jobs (lease, expires)
    WHERE webhook IS NOT NULL AND told = 0 AND status NOT IN ('queued', 'running');
"""


@dataclass(frozen=True)
class Result:
    mime: str
    blob: bytes


class Store:
    """All access to the file. `folder` is the operator's; nothing of a request ever becomes a path."""

    def __init__(self, folder: str, ttl_s: float, most_bytes: float):
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._ttl_s, self._most_bytes = ttl_s, most_bytes
        self._db = sqlite3.connect(path / "serve.sqlite", isolation_level=None, timeout=30, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # A power cut may cost the last seconds, a killed process nothing.
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA)
        self._bytes = self._one("SELECT COALESCE(SUM(bytes), 0) AS n FROM results")["n"]

    def keep(self, mime: str, blob: bytes) -> str:
        """Keeps a result; its id cannot be guessed, and who knows it may read it."""
        name = "img_" + secrets.token_hex(16)
        values = (name, mime, blob, len(blob), time.time() + self._ttl_s)
        self._db.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?)", values)
        self._bytes += len(blob)
        if self._bytes > self._most_bytes:
            self._shrink()
        return name

    def result(self, name: str) -> Result | None:
        row = self._one("SELECT mime, blob FROM results WHERE id = ? AND expires > ?", name, time.time())
        return Result(row["mime"], row["blob"]) if row else None

    def add_job(self, **values: Any) -> sqlite3.Row | None:
        """A new job, queued; the earlier one of this owner and idempotency key if there is one."""
        now = time.time()
        values |= {"id": "job_" + secrets.token_hex(16), "status": "queued", "created": now}
        values["expires"] = now + self._ttl_s
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        sql = f"INSERT INTO jobs ({names}) VALUES ({marks}) ON CONFLICT (owner, idempotency) DO NOTHING"
        if self._db.execute(sql, tuple(values.values())).rowcount:
            return self.job(values["id"], values["owner"])
        return self.repeated(values["owner"], values["idempotency"])

    def repeated(self, owner: str, idempotency: str | None) -> sqlite3.Row | None:
        """The job that this owner asked for with this idempotency key before."""
        return self._one("SELECT * FROM jobs WHERE owner = ? AND idempotency = ?", owner, idempotency)

    def job(self, name: str, owner: str) -> sqlite3.Row | None:
        """A job of this owner; others' are as if they were not there."""
        return self._one("SELECT * FROM jobs WHERE id = ? AND owner = ? AND expires > ?", name, owner, time.time())

    def unfinished(self, owner: str) -> int:
        sql = "SELECT COUNT(*) AS n FROM jobs WHERE owner = ? AND status IN ('queued', 'running')"
        return self._one(sql, owner)["n"]

    def unfinished_bytes(self) -> int:
        """Of the pictures of all jobs that have not ended."""
        sql = (
            "SELECT COALESCE(SUM(LENGTH(source) + COALESCE(LENGTH(mask), 0)), 0) AS n FROM jobs "
            "WHERE status IN ('queued', 'running')"
        )
        return self._one(sql)["n"]

    def lease(self, lease_s: float, most: int) -> list[sqlite3.Row]:
        """Takes jobs that nobody works on, new ones and those whose server has died under them.

        Of those to be edited at most `most`, so that owners take turns: an owner's third comes after the others'
        second. Of those whose end is only to be told, all.
        """
        now = time.time()
        turns = (
            "SELECT id, lease, created, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY created) AS turn FROM jobs "
            "WHERE status IN ('queued', 'running') AND expires > ?"
        )
        chosen = f"SELECT id FROM ({turns}) WHERE lease < ? ORDER BY turn, created LIMIT ?"
        untold = (
            "SELECT id FROM jobs WHERE webhook IS NOT NULL AND told = 0 AND lease < ? AND expires > ? "
            "AND status NOT IN ('queued', 'running')"
        )
        sql = f"UPDATE jobs SET lease = ? WHERE id IN ({chosen}) OR id IN ({untold}) RETURNING *"
        rows = self._db.execute(sql, (now + lease_s, now, now, most, now, now)).fetchall()
        return sorted(rows, key=lambda row: row["created"])

    def hold(self, names: list[str], lease_s: float) -> None:
        """Says that this server still works on these jobs."""
        until = time.time() + lease_s
        self._db.executemany("UPDATE jobs SET lease = ? WHERE id = ?", [(until, name) for name in names])

    def update_job(self, name: str, *, unless: str = "", **values: Any) -> bool:
        """Sets columns of a job; not if its status is `unless`. Whether it did."""
        assignments = ", ".join(f"{column} = ?" for column in values)
        sql = f"UPDATE jobs SET {assignments} WHERE id = ? AND status <> ?"
        return self._db.execute(sql, (*values.values(), name, unless)).rowcount > 0

    def purge(self) -> None:
        """Drops what has expired."""
        now = time.time()
        self._db.execute("DELETE FROM results WHERE expires <= ?", (now,))
        self._db.execute("DELETE FROM jobs WHERE expires <= ?", (now,))
        self._bytes = self._one("SELECT COALESCE(SUM(bytes), 0) AS n FROM results")["n"]

    def close(self) -> None:
        self._db.close()

    def _shrink(self) -> None:
        """Drops the oldest results down to nine tenths of what may be kept."""
        for row in self._db.execute("SELECT id, bytes FROM results ORDER BY expires").fetchall():
            if self._bytes <= 0.9 * self._most_bytes:
                return
            self._db.execute("DELETE FROM results WHERE id = ?", (row["id"],))
            self._bytes -= row["bytes"]

    def _one(self, sql: str, *values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()
