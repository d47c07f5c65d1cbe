"""The store of jobs and results, in a file and on a real PostgreSQL server: the same tests for both."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import DBAPIError

from benchmarks.support.postgres import PASSWORD
from serve.errors import StoreLost
from serve.settings import Settings
from serve.startup import check
from serve.store import ServerStore
from tests.support.stores import change, claim_of, job_of, store_of
from tests.support.wait import until
from v4e.faults import Fault
from v4e.files import database as database_module
from v4e.files.database import Database


def test_a_front_that_stood_still_changes_no_job_that_another_took(state):
    """Its steps, its result, its lease's renewal and its own end come too late."""
    late, other = (store_of(state) for _ in range(2))
    name = job_of(late, "ann", source=b"picture")
    lost = claim_of(late.lease(-1.0, 9)[0])  # as if it had stood still for longer than its lease
    claim = claim_of(other.lease(60.0, 9)[0])
    assert (lost.id, claim.id) == (name, name) and lost.holder != claim.holder
    assert not late.advance(lost, status="running", step=1) and not late.hold(lost, 0)
    assert late.lease(60.0, 9) == [], "the lease is the other front's still"
    assert other.advance(claim, status="succeeded", result="of the other", source=b"")
    assert not late.advance(lost, status="succeeded", result="of the late one")
    assert not other.advance(claim, status="running", step=9), "what has ended does not run again"
    row = late.job(name, "ann")
    assert row is not None and (row["status"], row["result"]) == ("succeeded", "of the other")
    assert late.lease(60.0, 9) == []


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_job_that_has_ended_is_not_cancelled(state, end):
    store = store_of(state)
    name = job_of(store, "ann")
    assert store.advance(claim_of(store.lease(60.0, 9)[0]), status=end)
    store.cancel(name)
    row = store.job(name, "ann")
    assert row is not None and row["status"] == end


def test_a_cancelled_job_is_nobodys(state):
    store = store_of(state)
    name = job_of(store, "ann", webhook="http://x")
    claim = claim_of(store.lease(60.0, 9)[0])
    store.cancel(name)
    assert not store.advance(claim, status="succeeded") and not store.hold(claim, 60.0)
    assert [row["id"] for row in store.lease(60.0, 0)] == [name], "its webhook can be sent at once"


def test_a_database_of_before_jobs_had_holders_is_read(state):
    old = store_of(state)
    name = job_of(old, "ann")
    old.close()
    change(state, "DROP TABLE state_version")
    change(state, "ALTER TABLE jobs DROP COLUMN holder")
    new = store_of(state)
    [row] = new.lease(60.0, 9)
    assert row["id"] == name and new.advance(claim_of(row), status="running")


def test_owners_of_jobs_take_turns(state):
    store = store_of(state)
    ann, bob = [job_of(store, "ann") for _ in range(4)], [job_of(store, "bob") for _ in range(2)]

    def leased(most: int) -> list[str]:
        return [row["id"] for row in store.lease(60.0, most)]

    assert leased(3) == [ann[0], ann[1], bob[0]]
    assert leased(0) == []
    ended = "UPDATE jobs SET status = 'succeeded', webhook = 'http://x' WHERE id = :id"
    change(state, ended, id=ann[2])  # only to be told: beside the others
    assert leased(1) == [ann[2], bob[1]]
    assert leased(9) == [ann[3]]


def test_what_is_asked_often_reads_no_pictures(tmp_path):
    store_of(str(tmp_path)).close()
    often = (
        "SELECT COALESCE(SUM(bytes), 0) AS n FROM results",
        "DELETE FROM results WHERE expires <= {now}",
        "DELETE FROM jobs WHERE expires <= {now}",
        "SELECT COUNT(*) AS n FROM jobs WHERE owner = 'a' AND status IN ('queued', 'running')",
    )
    database = Database(str(tmp_path))
    for sql in often:
        plan = [row["detail"] for row in database.rows(f"EXPLAIN QUERY PLAN {sql}")]
        assert all("INDEX" in step for step in plan), plan


def test_results_and_jobs_are_kept_for_a_while_only(state):
    short = store_of(state, ttl_s=0.0)
    assert short.result(short.keep("image/png", b"x")) is None
    assert change(state, "UPDATE results SET bytes = bytes") == 1
    values = {"fingerprint": "f", "fields": "{}", "source": b"", "mask": None, "steps": 1, "webhook": None}
    job = short.add_job(owner="a", idempotency=None, **values)
    assert job is None and short.lease(10.0, 9) == []  # past its time it is neither shown nor made
    assert change(state, "UPDATE jobs SET told = 0") == 1
    short.purge()
    assert change(state, "UPDATE results SET bytes = bytes") == change(state, "UPDATE jobs SET told = 0") == 0


def test_the_oldest_results_make_room_whichever_front_kept_them(state):
    fronts = [store_of(state, most_bytes=1000.0) for _ in range(2)]
    names = [fronts[k % 2].keep("image/png", bytes(300)) for k in range(6)]
    for front in fronts:
        front.purge()  # as every few seconds: now each knows of the other's
    names.append(fronts[0].keep("image/png", bytes(300)))
    kept = [name for name in names if fronts[1].result(name) is not None]
    assert kept == names[-3:]


def test_fronts_that_ask_at_once_get_different_jobs(state):
    fronts = [store_of(state) for _ in range(4)]
    names = {job_of(fronts[0], f"owner {k % 5}") for k in range(40)}
    together, taken = threading.Barrier(len(fronts)), []

    def take(front: ServerStore) -> None:
        together.wait()
        while rows := front.lease(60.0, 3):
            taken.extend(row["id"] for row in rows)

    with ThreadPoolExecutor(len(fronts)) as pool:
        list(pool.map(take, fronts))
    assert len(taken) == len(names) and set(taken) == names


def test_an_owners_key_of_idempotency_makes_one_job_on_all_fronts(state):
    fronts = [store_of(state) for _ in range(4)]
    together = threading.Barrier(len(fronts))

    def add(front: ServerStore) -> str:
        together.wait()
        return job_of(front, "ann", idempotency="k")

    with ThreadPoolExecutor(len(fronts)) as pool:
        assert len(set(pool.map(add, fronts))) == 1
    assert job_of(fronts[0], "bob", idempotency="k") not in {row["id"] for row in fronts[0].jobs("ann", 9, None)}


def test_fronts_that_start_at_once_make_one_schema(state):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(store_of, [state] * 4))
    name = job_of(stores[0], "ann")
    assert [row["id"] for row in stores[3].lease(60.0, 9)] == [name]
    assert change(state, "UPDATE state_version SET version = version") == 1


def test_a_newer_schema_is_refused_and_left_as_it_is(state):
    store_of(state).close()
    change(state, "UPDATE state_version SET version = 99")
    change(state, "ALTER TABLE jobs DROP COLUMN holder")
    with pytest.raises(Fault, match="tables are of version 99, this v4e knows 1: install a newer v4e") as caught:
        store_of(state)
    assert PASSWORD not in caught.value.line
    with pytest.raises(DBAPIError):
        change(state, "UPDATE jobs SET holder = ''")


def test_what_a_restart_of_the_server_cuts_off_is_made_once(postgres_server):
    """Writers go on for as long as the server is away; all that they were told is there afterwards."""
    state = postgres_server.database()
    store, go = store_of(state), threading.Event()
    made: list[str] = []

    def write(k: int) -> None:
        while not go.is_set() or (k == 0 and len(made) < 10):
            made.append(job_of(store, f"owner {k}"))

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, k) for k in range(4)]
        until(lambda: len(made) > 20, 60)
        postgres_server.stop()
        before = len(made)
        postgres_server.start()
        until(lambda: len(made) > before + 20, 60)
        go.set()
        for writer in writers:
            writer.result()
    assert len(made) == len(set(made)) == change(state, "UPDATE jobs SET told = 0")


def test_a_server_that_stays_away_is_told_in_one_line(postgres_server, monkeypatch, caplog):
    state = postgres_server.database()
    monkeypatch.setattr(database_module, "PATIENCE_S", 0.0)
    store = store_of(state)
    name = store.keep("image/png", b"x")
    postgres_server.stop()
    try:
        with pytest.raises(StoreLost):
            asyncio.run(store.ask(store.result, name))
    finally:
        postgres_server.start()
    [record] = [record for record in caplog.records if "does not answer" in record.message]
    assert "\n" not in record.message and PASSWORD not in record.message
    found = asyncio.run(store.ask(store.result, name))
    assert found is not None and found.blob == b"x"


def test_a_database_that_cannot_be_used_is_refused_in_one_line_without_its_password(postgres_server, random_family):
    model, good = str(random_family / "tiny-wan-i2v"), postgres_server.database()
    check(Settings(model=model, state=good))
    nowhere = good.replace(f":{postgres_server.port}/", ":1/")
    states = {
        good.replace(PASSWORD, "wr0ng"): "password authentication failed",
        nowhere: "refused",
        good + "x": "does not exist",
        f"postgresql://v4e:{PASSWORD}@127.0.0.1:port/x": "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    }
    for state, words in states.items():
        with pytest.raises(ValueError, match=words) as caught:
            check(Settings(model=model, state=state))
        line = str(caught.value)
        assert "\n" not in line and line.startswith("settings.state=postgresql://"), line
        assert PASSWORD not in line and "wr0ng" not in line, line
    assert PASSWORD not in repr(Settings(state=good))


def test_several_fronts_need_a_database_that_all_reach():
    with pytest.raises(ValueError, match=r"fronts=3 may lie on several nodes: set state=postgresql"):
        Settings(fronts=3)
    assert Settings(fronts=3, state="postgresql://h/x").fronts == 3


def test_a_job_that_waits_has_its_place(state):
    store = store_of(state)

    def add(owner: str) -> str:
        given = {"fingerprint": "", "fields": "{}", "source": b"", "mask": None, "steps": 1, "webhook": None}
        return store.add_job(owner=owner, idempotency=None, **given)["id"]

    ann, bob = [add("ann") for _ in range(3)], [add("bob")]
    turns = [ann[0], bob[0], ann[1], ann[2]]  # owners take turns
    assert [store.place(name) for name in turns] == [(k, 4) for k in (1, 2, 3, 4)]
    rows = store.lease(10, 9)
    assert [row["id"] for row in rows] == sorted(turns, key=[*ann, *bob].index)
    assert store.advance(claim_of(next(row for row in rows if row["id"] == ann[0])), status="succeeded")
    assert [store.place(name)[0] for name in turns] == [0, 2, 1, 3]
