"""The database of a server's jobs and results: a SQLite file in a folder, or one on a PostgreSQL server.

The schema has one number, in a table of one row. A tool for migrations would bring a folder of scripts and its own
command for two tables whose rows live a day: an added column needs one line in serve/store.py.
"""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from v4e.faults import Fault
from v4e.faults.fault import one_line

STATE_VERSION = 1
SERVER = "postgresql://"
PATIENCE_S, PAUSE_S = 10.0, 0.25  # for a server that restarts, from its first silence; and between two tries
# PostgreSQL's own words for that: shut down by its operator, after a crash, not yet up. A broken connection has none.
RESTARTS = (None, "57P01", "57P02", "57P03")
WAIT_S = 5  # for a connection to a server
# A lost node answers nothing, not even a refusal: these end what waits for it.
OPTIONS = {
    "connect_timeout": WAIT_S,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "options": "-c statement_timeout=30000",
}
# Seconds since 1970 by the clock that all fronts share.
CLOCK = {
    "sqlite": "clock()",
    "postgresql": "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)",
}


def on_server(state: str) -> bool:
    """Says whether `state` is the address of a database server, and no folder."""
    return state.startswith(SERVER)


def told(state: str) -> str:
    """Returns `state` without its password."""
    if not on_server(state):
        return state
    try:
        return sa.make_url(state).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return f"{SERVER}..."


class Database:
    """Runs single statements, each on its own. One that a server's restart cuts off is tried again.

    So each statement must be one that may be carried out twice. ``{now}`` in it is the database's clock. A server that
    is away for longer than `PATIENCE_S` has every statement fail at once, so that none queues up.
    """

    def __init__(self, state: str):
        self._engine, self._state = _engine(state), state
        self._silent: float | None = None  # since when the server does not answer
        self.kind = self._engine.dialect.name
        self.now = CLOCK[self.kind]

    def rows(self, sql: str, **values: Any) -> Sequence[sa.RowMapping]:
        """Returns the rows of a query, or those that a change returns."""
        return self._tried(sql, values, lambda done: done.mappings().all())

    def count(self, sql: str, **values: Any) -> int:
        """Makes a change and returns how many rows it touched."""
        return self._tried(sql, values, lambda done: done.rowcount)

    def _tried(self, sql: str, values: dict[str, Any], read: Any) -> Any:
        statement = sa.text(sql.replace("{now}", self.now))
        while True:
            try:
                with self._engine.connect() as connection:
                    done = read(connection.execute(statement, values))
                self._silent = None
                return done
            except OperationalError as error:
                if self.kind != "postgresql" or getattr(error.orig, "sqlstate", None) not in RESTARTS:
                    raise  # a file has a wait of its own
                now = time.monotonic()
                self._silent = self._silent or now
                if now - self._silent >= PATIENCE_S:
                    raise
                time.sleep(PAUSE_S)

    def prepare(self, tables: sa.MetaData, added: dict[str, str]) -> None:
        """Makes the tables that are missing, and the columns `added` to "table.column", with their type.

        Raises:
            Fault: a newer version of v4e made them.
        """
        # One front after the other: several may start at once.
        begin, end = {
            "sqlite": ("BEGIN IMMEDIATE", "COMMIT"),
            "postgresql": ("SELECT pg_advisory_lock(8240)", "SELECT pg_advisory_unlock(8240)"),
        }[self.kind]
        with self._engine.connect() as connection:
            connection.execute(sa.text(begin))
            try:
                _check_version(connection, self._state)
                there = sa.inspect(connection)
                for place, kind in added.items():
                    table, column = place.split(".")
                    if there.has_table(table) and column not in {c["name"] for c in there.get_columns(table)}:
                        connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {column} {kind}"))
                tables.create_all(connection)
                if not there.has_table("state_version"):
                    connection.execute(sa.text(f"CREATE TABLE state_version AS SELECT {STATE_VERSION} AS version"))
            finally:
                connection.execute(sa.text(end))

    def close(self) -> None:
        self._engine.dispose()


def check_database(state: str) -> None:
    """Connects to a database server once, and compares its schema with this version's.

    Raises:
        Fault: it does not answer, refuses the user, or a newer version of v4e made its tables.
    """
    engine = _engine(state)
    try:
        with engine.connect() as connection:
            _check_version(connection, state)
    except SQLAlchemyError as error:
        raise Fault("A07", f"{told(state)}: {said(error)}: check address, user and password") from None
    finally:
        engine.dispose()


def said(error: SQLAlchemyError) -> str:
    """Returns the database's own words in one line, without statement and values."""
    return one_line(str(error.orig if isinstance(error, DBAPIError) else error), 300)


def _check_version(connection: sa.Connection, state: str) -> None:
    if not sa.inspect(connection).has_table("state_version"):
        return
    found = connection.execute(sa.text("SELECT version FROM state_version")).scalar_one()
    if found > STATE_VERSION:
        message = (
            f"{told(state)}: its tables are of version {found}, this v4e knows {STATE_VERSION}: install a newer v4e"
        )
        raise Fault("A02", message)


def _engine(state: str) -> sa.Engine:
    """Returns an engine whose connections carry out each statement at once."""
    if not on_server(state):
        return _file(Path(state))
    try:
        url = sa.make_url(state).set(drivername="postgresql+psycopg")
        return sa.create_engine(url, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=OPTIONS)
    except ModuleNotFoundError:
        raise Fault("A03", "a state on PostgreSQL needs psycopg: pip install 'v4e[postgres]'") from None
    except (ArgumentError, ValueError):  # its words may hold the password
        raise Fault("A01", f"{SERVER}...: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None


def _file(folder: Path) -> sa.Engine:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = sa.URL.create("sqlite", database=str(folder / "serve.sqlite"))
    options = {"isolation_level": "AUTOCOMMIT", "hide_parameters": True}
    engine = sa.create_engine(url, connect_args={"timeout": 30}, **options)

    @event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("clock", 0, time.time)
        # A power cut may lose the last seconds; a killed process loses nothing.
        with closing(connection.cursor()) as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")

    return engine
