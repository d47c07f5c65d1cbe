"""The store of results and jobs, in a database that outlives requests and this process. Each row expires."""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from serve.errors import StoreLost
from v4e.files.database import Database, said

log = logging.getLogger("ray.serve")

P = ParamSpec("P")
T = TypeVar("T")
Row = sa.RowMapping
ID = re.compile(r"(img|job)_[0-9a-f]{32}")  # all others are unknown: a database may refuse to compare them
THREADS = 4  # that ask the database at once; each waits while it restarts

TABLES = sa.MetaData()
sa.Table(
    "results",
    TABLES,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("mime", sa.Text),
    sa.Column("blob", sa.LargeBinary),
    sa.Column("bytes", sa.Integer),
    sa.Column("expires", sa.Double),
    # This and the other indexes are of the columns that are polled every few seconds: a poll reads no pictures.
    sa.Index("results_size", "expires", "bytes"),
)
OPEN = "status IN ('queued', 'running')"
UNTOLD = "webhook IS NOT NULL AND told = 0 AND status NOT IN ('queued', 'running')"


def _partial(name: str, where: str, *columns: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


sa.Table(
    "jobs",
    TABLES,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text) for name in ("owner", "idempotency", "fingerprint", "fields")),
    *(sa.Column(name, sa.LargeBinary) for name in ("source", "mask", "preview")),
    *(sa.Column(name, sa.Text) for name in ("status", "result", "error", "webhook", "holder")),
    sa.Column("step", sa.Integer, server_default="0"),
    sa.Column("steps", sa.Integer),
    sa.Column("told", sa.Integer, server_default="0"),
    sa.Column("lease", sa.Double, server_default="0"),
    *(sa.Column(name, sa.Double) for name in ("created", "expires")),
    sa.UniqueConstraint("owner", "idempotency"),
    sa.Index("jobs_expire", "expires"),
    _partial("jobs_open", OPEN, "owner", "created", "lease", "expires"),
    _partial("jobs_untold", UNTOLD, "lease", "expires"),
)
ADDED = {"jobs.holder": "TEXT"}  # to files of before 2026-12

# Jobs that have not ended, in the order in which they are taken: owners take turns.
TURNS = (
    "SELECT id, turn, ROW_NUMBER() OVER (ORDER BY turn, created, id) AS place, COUNT(*) OVER () AS waiting FROM "
    "(SELECT id, created, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY created, id) AS turn FROM jobs "
    f"WHERE {OPEN} AND expires > {{now}}) AS own"
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
    """The only access to the database. `state` is the operator's; no part of a request ever becomes a path.

    Several fronts may share it. Each change is one statement, with the condition under which it holds, and may be
    carried out twice.
    """

    def __init__(self, state: str, ttl_s: float, most_bytes: float):
        self._ttl_s, self._most_bytes = ttl_s, most_bytes
        self._threads = ThreadPoolExecutor(THREADS, "store")
        self._db = Database(state)
        self._db.prepare(TABLES, ADDED)
        self._bytes = self._kept()

    async def ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a method of this store in a thread: a slow database holds no other request up.

        Raises:
            StoreLost: the database does not answer, or cannot do it now.
        """
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, partial(question, *args, **kwargs))
        except SQLAlchemyError as error:
            log.error("the store does not answer: %s", said(error))
            raise StoreLost from None

    def keep(self, mime: str, blob: bytes) -> str:
        """Stores a result and returns its id, which cannot be guessed; everyone who knows it may read the result."""
        name = "img_" + secrets.token_hex(16)
        self._db.count(
            "INSERT INTO results (id, mime, blob, bytes, expires) VALUES (:id, :mime, :blob, :bytes, {now} + :ttl_s) "
            "ON CONFLICT DO NOTHING",
            **{"id": name, "mime": mime, "blob": blob, "bytes": len(blob), "ttl_s": self._ttl_s},
        )
        self._bytes += len(blob)
        if self._bytes > self._most_bytes:
            self._shrink()
        return name

    def result(self, name: str) -> StoredFile | None:
        if not ID.fullmatch(name):
            return None
        row = self._one("SELECT mime, blob FROM results WHERE id = :id AND expires > {now}", id=name)
        return StoredFile(row["mime"], row["blob"]) if row else None

    def add_job(self, **values: Any) -> Row | None:
        """Adds a queued job, or returns the earlier one of this owner and idempotency key."""
        values |= {"id": "job_" + secrets.token_hex(16), "status": "queued"}
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        self._db.count(
            f"INSERT INTO jobs ({names}, created, expires) VALUES ({marks}, {{now}}, {{now}} + :ttl_s) "
            "ON CONFLICT DO NOTHING",
            **values,
            ttl_s=self._ttl_s,
        )
        if values["idempotency"] is None:
            return self.job(values["id"], values["owner"])
        return self.repeated(values["owner"], values["idempotency"])

    def repeated(self, owner: str, idempotency: str) -> Row | None:
        """Returns this owner's earlier job with this idempotency key."""
        sql = "SELECT * FROM jobs WHERE owner = :owner AND idempotency = :idempotency"
        return self._one(sql, owner=owner, idempotency=idempotency)

    def job(self, name: str, owner: str) -> Row | None:
        """Returns a job of this owner; None for the jobs of others."""
        if not ID.fullmatch(name):
            return None
        return self._one(
            "SELECT * FROM jobs WHERE id = :id AND owner = :owner AND expires > {now}", id=name, owner=owner
        )

    def jobs(self, owner: str, most: int, before: str | None) -> Sequence[Row]:
        """Returns this owner's newest jobs, or the newest that are older than the job `before`, without pictures."""
        since = self.job(before, owner) if before else None
        return self._db.rows(
            "SELECT id, status, fields, step, steps, error, created, expires FROM jobs "  # none of its pictures
            "WHERE owner = :owner AND expires > {now} AND (created, id) < (:created, :id) "
            "ORDER BY created DESC, id DESC LIMIT :most",
            owner=owner,
            created=since["created"] if since else float("inf"),
            id=since["id"] if since else "",
            most=most,
        )

    def place(self, name: str) -> tuple[int, int]:
        """Returns the place of a job among unfinished ones, from 1, and how many they are; (0, 0) if it has ended."""
        row = self._one(f"SELECT place, waiting FROM ({TURNS}) AS turns WHERE id = :id", id=name)
        return (row["place"], row["waiting"]) if row else (0, 0)

    def unfinished(self, owner: str) -> int:
        return self._number(f"SELECT COUNT(*) AS n FROM jobs WHERE owner = :owner AND {OPEN}", owner=owner)

    def unfinished_bytes(self) -> int:
        """Returns the bytes of the pictures of all jobs that have not ended."""
        size = "LENGTH(source) + COALESCE(LENGTH(mask), 0)"
        return self._number(f"SELECT COALESCE(SUM({size}), 0) AS n FROM jobs WHERE {OPEN}")

    def lease(self, lease_s: float, most: int) -> list[Row]:
        """Takes jobs that no server works on: new ones, and those whose server has died. ``now`` of a row is the clock.

        It takes at most `most` jobs with an edit to make, so that owners take turns: an owner's third job comes after
        the others' second. It takes all jobs that only have a webhook to send.
        """
        # Two fronts that ask at once get different jobs, and none waits for the other.
        lock = "FOR UPDATE OF jobs SKIP LOCKED" if self._db.kind == "postgresql" else ""
        rows = self._db.rows(
            f"WITH chosen AS MATERIALIZED (SELECT jobs.id FROM jobs JOIN ({TURNS}) AS turns ON jobs.id = turns.id "
            f"WHERE jobs.{OPEN} AND jobs.lease < {{now}} ORDER BY turns.place LIMIT :most {lock}) "
            "UPDATE jobs SET lease = {now} + :lease_s, holder = :holder WHERE lease < {now} AND (id IN "
            f"(SELECT id FROM chosen) OR id IN (SELECT id FROM jobs WHERE {UNTOLD} AND lease < {{now}} "
            "AND expires > {now})) RETURNING *, {now} AS now",
            lease_s=lease_s,
            holder=secrets.token_hex(8),
            most=most,
        )
        return sorted(rows, key=lambda row: row["created"])

    def hold(self, claim: Claim, lease_s: float) -> bool:
        """Renews a claim's lease, or ends it with 0 seconds. Returns False if another server took the job since."""
        sql = "UPDATE jobs SET lease = {now} + :lease_s WHERE id = :id AND holder = :holder"
        return self._db.count(sql, lease_s=lease_s, id=claim.id, holder=claim.holder) > 0

    def advance(self, claim: Claim, **values: Any) -> bool:
        """Sets columns of a job that has not ended. Returns False if it has, or if another server took it since."""
        assignments = ", ".join(f"{column} = :{column}" for column in values)
        sql = f"UPDATE jobs SET {assignments} WHERE id = :claimed AND holder = :holder AND {OPEN}"
        return self._db.count(sql, **values, claimed=claim.id, holder=claim.holder) > 0

    def cancel(self, name: str) -> bool:
        """Ends a job, takes it from the server that works on it, and drops its pictures. False if it has ended."""
        sql = (
            "UPDATE jobs SET status = 'cancelled', preview = NULL, source = :none, mask = NULL, lease = 0, "
            f"holder = NULL WHERE id = :id AND {OPEN}"
        )
        return self._db.count(sql, none=b"", id=name) > 0

    def told(self, name: str) -> None:
        """Marks a job whose webhook was sent."""
        self._db.count("UPDATE jobs SET told = 1 WHERE id = :id", id=name)

    def purge(self) -> None:
        """Deletes expired results and jobs."""
        self._db.count("DELETE FROM results WHERE expires <= {now}")
        self._db.count("DELETE FROM jobs WHERE expires <= {now}")
        self._bytes = self._kept()

    def close(self) -> None:
        self._threads.shutdown()
        self._db.close()

    def _kept(self) -> int:
        return self._number("SELECT COALESCE(SUM(bytes), 0) AS n FROM results")

    def _shrink(self) -> None:
        """Deletes the oldest results until nine tenths of the limit are left."""
        newer = "SELECT id, SUM(bytes) OVER (ORDER BY expires DESC, id) AS kept FROM results"
        sql = f"DELETE FROM results WHERE id IN (SELECT id FROM ({newer}) AS newest WHERE kept > :most)"
        self._db.count(sql, most=0.9 * self._most_bytes)
        self._bytes = self._kept()

    def _one(self, sql: str, **values: Any) -> Row | None:
        rows = self._db.rows(sql, **values)
        return rows[0] if rows else None

    def _number(self, sql: str, **values: Any) -> int:
        return self._db.rows(sql, **values)[0]["n"]
