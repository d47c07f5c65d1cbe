"""The store of results and jobs: one SQLite file that outlives requests and this process. Each row expires."""

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
    webhook TEXT, told INTEGER DEFAULT 0, lease REAL DEFAULT 0, holder TEXT, created REAL, expires REAL,
    UNIQUE (owner, idempotency)
);
-- Indexes of the columns that are polled every few seconds, so that a poll reads no pictures.
CREATE INDEX IF NOT EXISTS results_size ON results (expires, bytes);
CREATE INDEX IF NOT EXISTS jobs_expire ON jobs (expires);
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (owner, created, lease, expires) WHERE status IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS jobs_untold ON jobs (lease, expires)
    WHERE webhook IS NOT NULL AND told = 0 AND status NOT IN ('queued', 'running');
"""


# Jobs that have not ended, in the order in which they are taken: owners take turns.
TURNS = (
    "SELECT id, ROW_NUMBER() OVER (ORDER BY turn, created) AS place, COUNT(*) OVER () AS waiting FROM "
    "(SELECT id, created, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY created) AS turn FROM jobs "
    "WHERE status IN ('queued', 'running') AND expires > ?)"
)


@dataclass(frozen=True)
class Claim:
    """One server's turn at a job. A later turn at it, of this server or of another, has another holder."""

    id: str
    holder: str


@dataclass(frozen=True)
class StoredFile:
    mime: str
    blob: bytes


class ServerStore:
    """The only access to the file. `folder` is the operator's; no part of a request ever becomes a path."""

    def __init__(self, folder: str, ttl_s: float, most_bytes: float):
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._ttl_s, self._most_bytes = ttl_s, most_bytes
        self._db = sqlite3.connect(path / "serve.sqlite", isolation_level=None, timeout=30, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # A power cut may lose the last seconds; a killed process loses nothing.
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA)
        if "holder" not in {column["name"] for column in self._db.execute("PRAGMA table_info(jobs)")}:
            self._db.execute("ALTER TABLE jobs ADD COLUMN holder TEXT")  # a file of before 2026-12
        self._bytes = self._one("SELECT COALESCE(SUM(bytes), 0) AS n FROM results")["n"]

    def keep(self, mime: str, blob: bytes) -> str:
        """Stores a result and returns its id, which cannot be guessed; everyone who knows it may read the result."""
        name = "img_" + secrets.token_hex(16)
        values = (name, mime, blob, len(blob), time.time() + self._ttl_s)
        self._db.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?)", values)
        self._bytes += len(blob)
        if self._bytes > self._most_bytes:
            self._shrink()
        return name

    def result(self, name: str) -> StoredFile | None:
        row = self._one("SELECT mime, blob FROM results WHERE id = ? AND expires > ?", name, time.time())
        return StoredFile(row["mime"], row["blob"]) if row else None

    def add_job(self, **values: Any) -> sqlite3.Row | None:
        """Adds a queued job, or returns the earlier one of this owner and idempotency key."""
        now = time.time()
        values |= {"id": "job_" + secrets.token_hex(16), "status": "queued", "created": now}
        values["expires"] = now + self._ttl_s
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        sql = f"INSERT INTO jobs ({names}) VALUES ({marks}) ON CONFLICT (owner, idempotency) DO NOTHING"
        if self._db.execute(sql, tuple(values.values())).rowcount:
            return self.job(values["id"], values["owner"])
        return self.repeated(values["owner"], values["idempotency"])

    def repeated(self, owner: str, idempotency: str | None) -> sqlite3.Row | None:
        """Returns this owner's earlier job with this idempotency key."""
        return self._one("SELECT * FROM jobs WHERE owner = ? AND idempotency = ?", owner, idempotency)

    def job(self, name: str, owner: str) -> sqlite3.Row | None:
        """Returns a job of this owner; None for the jobs of others."""
        return self._one("SELECT * FROM jobs WHERE id = ? AND owner = ? AND expires > ?", name, owner, time.time())

    def jobs(self, owner: str, most: int, before: str | None) -> list[sqlite3.Row]:
        """Returns this owner's newest jobs, or the newest that are older than the job `before`, without pictures."""
        since = self.job(before, owner) if before else None
        until = (since["created"], since["id"]) if since else (float("inf"), "")
        sql = (
            "SELECT id, status, fields, step, steps, error, created, expires FROM jobs "  # none of its pictures
            "WHERE owner = ? AND expires > ? AND (created, id) < (?, ?) "
            "ORDER BY created DESC, id DESC LIMIT ?"
        )
        return self._db.execute(sql, (owner, time.time(), *until, most)).fetchall()

    def place(self, name: str) -> tuple[int, int]:
        """Returns the place of a job among unfinished ones, from 1, and how many they are; (0, 0) if it has ended."""
        sql = f"SELECT place, waiting FROM ({TURNS}) WHERE id = ?"
        row = self._one(sql, time.time(), name)
        return (row["place"], row["waiting"]) if row else (0, 0)

    def unfinished(self, owner: str) -> int:
        sql = "SELECT COUNT(*) AS n FROM jobs WHERE owner = ? AND status IN ('queued', 'running')"
        return self._one(sql, owner)["n"]

    def unfinished_bytes(self) -> int:
        """Returns the bytes of the pictures of all jobs that have not ended."""
        sql = (
            "SELECT COALESCE(SUM(LENGTH(source) + COALESCE(LENGTH(mask), 0)), 0) AS n FROM jobs "
            "WHERE status IN ('queued', 'running')"
        )
        return self._one(sql)["n"]

    def lease(self, lease_s: float, most: int) -> list[sqlite3.Row]:
        """Takes jobs that no server works on: new ones, and those whose server has died.

        It takes at most `most` jobs with an edit to make, so that owners take turns: an owner's third job comes after
        the others' second. It takes all jobs that only have a webhook to send.
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
        sql = f"UPDATE jobs SET lease = ?, holder = ? WHERE id IN ({chosen}) OR id IN ({untold}) RETURNING *"
        values = (now + lease_s, secrets.token_hex(8), now, now, most, now, now)
        return sorted(self._db.execute(sql, values).fetchall(), key=lambda row: row["created"])

    def hold(self, claim: Claim, lease_s: float) -> bool:
        """Renews a claim's lease, or ends it with 0 seconds. Returns False if another server took the job since."""
        sql = "UPDATE jobs SET lease = ? WHERE id = ? AND holder = ?"
        return self._db.execute(sql, (time.time() + lease_s, claim.id, claim.holder)).rowcount > 0

    def advance(self, claim: Claim, **values: Any) -> bool:
        """Sets columns of a job that has not ended. Returns False if it has, or if another server took it since."""
        assignments = ", ".join(f"{column} = ?" for column in values)
        sql = f"UPDATE jobs SET {assignments} WHERE id = ? AND holder = ? AND status IN ('queued', 'running')"
        return self._db.execute(sql, (*values.values(), claim.id, claim.holder)).rowcount > 0

    def cancel(self, name: str) -> None:
        """Ends a job that has not ended, takes it from the server that works on it, and drops its pictures."""
        self._db.execute(
            "UPDATE jobs SET status = 'cancelled', preview = NULL, source = x'', mask = NULL, lease = 0, holder = NULL "
            "WHERE id = ? AND status IN ('queued', 'running')",
            (name,),
        )

    def told(self, name: str) -> None:
        """Marks a job whose webhook was sent."""
        self._db.execute("UPDATE jobs SET told = 1 WHERE id = ?", (name,))

    def purge(self) -> None:
        """Deletes expired results and jobs."""
        now = time.time()
        self._db.execute("DELETE FROM results WHERE expires <= ?", (now,))
        self._db.execute("DELETE FROM jobs WHERE expires <= ?", (now,))
        self._bytes = self._one("SELECT COALESCE(SUM(bytes), 0) AS n FROM results")["n"]

    def close(self) -> None:
        self._db.close()

    def _shrink(self) -> None:
        """Deletes the oldest results until nine tenths of the limit are left."""
        for row in self._db.execute("SELECT id, bytes FROM results ORDER BY expires").fetchall():
            if self._bytes <= 0.9 * self._most_bytes:
                return
            self._db.execute("DELETE FROM results WHERE id = ?", (row["id"],))
            self._bytes -= row["bytes"]

    def _one(self, sql: str, *values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()
