"""Jobs and stores of a server, for tests."""

from serve.store import Claim, Row, ServerStore
from v4e.files.database import Database


def store_of(state: str, ttl_s: float = 60.0, most_bytes: float = 1e9) -> ServerStore:
    return ServerStore(state, ttl_s, most_bytes)


def job_of(store: ServerStore, owner: str, **more) -> str:
    """Adds a job and returns its id."""
    values = {"idempotency": None, "fingerprint": "f", "fields": '{"prompt": "x"}', "source": b"s", "mask": None}
    row = store.add_job(**values | {"owner": owner, "steps": 1, "webhook": None} | more)
    assert row is not None
    return row["id"]


def claim_of(row: Row) -> Claim:
    return Claim(row["id"], row["holder"])


def change(state: str, sql: str, **values) -> int:
    """Changes rows behind the server's back, and returns how many."""
    database = Database(state)
    try:
        return database.count(sql, **values)
    finally:
        database.close()
