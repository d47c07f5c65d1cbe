"""Jobs: asked for once, watched, ended, taken over from a server that died, and told to another server."""

import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import hypothesis
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.support.served import SMALL, http, opened, png, served
from serve import jobs as jobs_module
from serve import webhook
from serve.keys import digest
from serve.settings import Settings
from serve.store import Claim
from tests.support.stores import change, claim_of, job_of, store_of
from tests.support.wait import until

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return Settings(model=model, state=state, webhooks="any", webhook_secret=SECRET, **SMALL)


def create(url: str, key: str | None = None, **form) -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    data = {"prompt": "x", "seed": "1"} | form
    return http.post(f"{url}/v1/edits/jobs", files={"image": png()}, data=data, headers=headers)


def read(url: str, name: str) -> dict:
    return http.get(f"{url}/v1/edits/jobs/{name}").json()


def followed(url: str, name: str, timeout_s: float = 60.0) -> list[dict]:
    """All that was seen of a job until its end."""
    seen: list[dict] = []

    def ended() -> bool:
        seen.append(read(url, name))
        return seen[-1]["status"] in ENDED

    until(ended, timeout_s)
    return seen


@pytest.mark.slow
def test_a_job_evolves_to_the_edit_that_a_request_gives(url):
    answer = create(url, num_inference_steps="50")
    assert answer.status_code == 202
    seen = followed(url, answer.json()["id"])
    steps = [job["progress"]["step"] for job in seen]
    assert steps == sorted(steps) and len(set(steps)) > 5 and steps[-1] == 50
    previews = [job["preview_b64_json"] for job in seen if job["preview_b64_json"]]
    assert opened(base64.b64decode(previews[0])).size == (32, 32)
    form = {"prompt": "x", "seed": "1", "num_inference_steps": "50"}
    direct = http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form).json()
    assert seen[-1]["result"]["data"][0]["b64_json"] == direct["data"][0]["b64_json"]


def test_asked_twice_it_is_one_job(url):
    first, again = create(url, "k1"), create(url, "k1")
    assert first.json()["id"] == again.json()["id"]
    other = create(url, "k1", prompt="y")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert other.headers["x-should-retry"] == "false"
    assert create(url, "k2").json()["id"] != first.json()["id"]


def ask(url: str) -> None:
    """An edit of one step: when it is answered, what ran before has ended."""
    form = {"prompt": "x", "num_inference_steps": "1"}
    http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form).raise_for_status()


@pytest.mark.slow
def test_a_cancelled_job_ends_and_frees_the_model(url, engine, settings):
    name = create(url, num_inference_steps="50").json()["id"]
    while read(url, name)["status"] == "queued":
        pass
    assert http.post(f"{url}/v1/edits/jobs/{name}/cancel").json()["status"] == "cancelled"
    before = engine._steps
    ask(url)
    assert engine._steps - before <= 1 + 3  # its own, one under way, and what was made until this thread came to look
    assert read(url, name)["status"] == "cancelled"
    assert http.post(f"{url}/v1/edits/jobs/{name}/cancel").json()["status"] == "cancelled"
    with sqlite3.connect(f"{settings.state}/serve.sqlite") as db:  # its pictures are not kept
        assert db.execute("SELECT source, mask FROM jobs WHERE id = ?", (name,)).fetchone() == (b"", None)


def test_a_job_that_another_server_cancels_ends_here(url, engine, settings):
    """As in a redeploy, while the old front and the new one are both there."""
    name = create(url, num_inference_steps="50").json()["id"]
    while read(url, name)["status"] == "queued":
        pass
    before = engine._steps
    store_of(settings.state).cancel(name)
    ask(url)
    assert engine._steps - before <= 1 + 4
    assert read(url, name)["status"] == "cancelled"


def test_a_repeated_request_is_answered_however_many_jobs_there_are(settings, engine, tmp_path):
    tight = replace(settings, waiting=0, per_key=1, state=str(tmp_path))
    with served(tight, engine) as url:
        first = create(url, "k", num_inference_steps="50")
        assert create(url, "other").json()["error"]["code"] == "queue_full"
        again = create(url, "k", num_inference_steps="50")
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


def test_jobs_pictures_are_bounded_together(settings, engine, tmp_path):
    with served(replace(settings, state_mib=0.002, state=str(tmp_path)), engine) as url:
        assert create(url, num_inference_steps="50").status_code == 202  # its picture alone is of 3 KiB
        refused = create(url)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")


def test_a_jobs_limit_is_its_keys_own(settings, engine, tmp_path):
    """One edit at a time, by jobs too, though the usual limit is more."""
    most, running = 0, 0

    async def counted(order):
        nonlocal most, running
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.02)
            async for event in engine.edit(order):
                yield event
        finally:
            running -= 1

    bob = f"bob:{digest('secret')}::1"
    headers = {"authorization": "Bearer secret"}
    with served(replace(settings, keys=bob, state=str(tmp_path)), engine, counted) as url:
        form = {"prompt": "x", "num_inference_steps": "1"}
        jobs = [
            http.post(f"{url}/v1/edits/jobs", files={"image": png()}, data=form, headers=headers).json()["id"]
            for _ in range(3)
        ]

        def status(name: str) -> str:
            return http.get(f"{url}/v1/edits/jobs/{name}", headers=headers).json()["status"]

        for name in jobs:
            until(lambda name=name: status(name) in ENDED, 60)
            assert status(name) == "succeeded"
    assert most == 1


@pytest.mark.slow
def test_a_jobs_time_begins_with_its_turn(settings, engine, tmp_path):
    """Two at a time, they take longer than one may; what the client set counts from when it asked."""

    async def slow(order):
        await asyncio.sleep(0.3)
        async for event in engine.edit(order):
            yield event

    with served(replace(settings, deadline_s=3.0, state=str(tmp_path)), engine, slow) as url:
        names = [create(url, num_inference_steps="1").json()["id"] for _ in range(24)]
        hasty = create(url, num_inference_steps="1", deadline_s="1.5").json()["id"]
        assert {followed(url, name)[-1]["status"] for name in names} == {"succeeded"}
        assert followed(url, hasty)[-1]["error"]["code"] == "deadline_exceeded"


@pytest.mark.slow
def test_jobs_without_room_keep_nobody_elses_out(settings, engine, tmp_path):
    """Ann's edits fill what she may have, so that her jobs, which came first, wait; Bob's do not."""
    go = threading.Event()

    async def held(order):
        while order.instruction == "hold" and not go.is_set():
            await asyncio.sleep(0.005)
        async for event in engine.edit(order):
            yield event

    keys = f"ann:{digest('a')}::1,bob:{digest('b')}"
    ann, bob = ({"authorization": f"Bearer {key}"} for key in "ab")
    form, files = {"num_inference_steps": "1"}, {"image": png()}
    with (
        served(replace(settings, keys=keys, state=str(tmp_path)), engine, held) as url,
        ThreadPoolExecutor(1) as threads,
    ):

        def status(name: str, who: dict) -> dict:
            return http.get(f"{url}/v1/edits/jobs/{name}", headers=who).json()

        try:
            edit = f"{url}/v1/images/edits"
            threads.submit(http.post, edit, files=files, data=form | {"prompt": "hold"}, headers=ann)
            until(lambda: "v4e_edits_running 1.0" in http.get(f"{url}/metrics", headers=bob).text, 60)
            names = []
            for who, more in (*[(ann, {})] * 6, (ann, {"deadline_s": "0.1"}), (bob, {})):
                data = form | {"prompt": "x"} | more
                names.append(http.post(f"{url}/v1/edits/jobs", files=files, data=data, headers=who).json()["id"])
            *waiting, hasty, other = names
            until(lambda: (status(other, bob)["status"], status(hasty, ann)["status"]) == ("succeeded", "failed"), 60)
            assert status(hasty, ann)["error"]["code"] == "deadline_exceeded"
            assert {status(name, ann)["status"] for name in waiting} == {"queued"}
        finally:
            go.set()
        until(lambda: {status(name, ann)["status"] for name in waiting} == {"succeeded"}, 60)


def test_a_front_drops_a_job_that_another_took_and_gives_no_lease_up(settings, engine, tmp_path):
    """The engine stands still, as a frozen node does; meanwhile another front takes the job and ends it."""
    go = threading.Event()

    async def held(order):
        while not go.is_set():
            await asyncio.sleep(0.005)
        async for event in engine.edit(order):
            yield event

    other = store_of(str(tmp_path))
    with served(replace(settings, state=str(tmp_path)), engine, held) as url:
        try:
            name = create(url, num_inference_steps="2").json()["id"]
            until(lambda: "v4e_edits_running 1.0" in http.get(f"{url}/metrics").text, 60)
            claims: list[Claim] = []

            def taken() -> bool:
                change(str(tmp_path), "UPDATE jobs SET lease = 0")
                claims.extend(claim_of(row) for row in other.lease(60.0, 9))
                return bool(claims)

            until(taken, 60)
        finally:
            go.set()
        until(lambda: "v4e_edits_running 0.0" in http.get(f"{url}/metrics").text, 60)
        assert read(url, name)["status"] == "queued"  # of the late front's steps none counts
        assert other.advance(claims[0], status="failed", error='{"code": "other"}')
        assert read(url, name)["error"]["code"] == "other"
    assert other.hold(claims[0], 60.0), "the late front's stop gave up another's lease"


def test_a_result_is_kept_once_and_its_job_outlives_it(settings, engine, tmp_path):
    with served(replace(settings, state=str(tmp_path)), engine) as url:
        name = create(url, output="both", num_inference_steps="1").json()["id"]
        [item] = followed(url, name)[-1]["result"]["data"]
        for kind in ("", "clip_"):
            kept = http.get(f"{url}/v1/results/{item[kind + 'id']}").content
            assert base64.b64decode(item[f"{kind}b64_json"]) == kept
        with sqlite3.connect(tmp_path / "serve.sqlite") as db:
            [(text,)] = db.execute("SELECT result FROM jobs").fetchall()
            assert item["b64_json"] not in text and len(text) < 1000
            db.execute("DELETE FROM results WHERE id = ?", (item["id"],))  # it had to make room
            db.commit()
        [left] = read(url, name)["result"]["data"]
        assert left["b64_json"] is None and left["clip_b64_json"] == item["clip_b64_json"]


@pytest.mark.slow
def test_n_edits_and_errors_of_a_job(url):
    seen = followed(url, create(url, n="2", num_inference_steps="25").json()["id"])
    assert [item["seed"] for item in seen[-1]["result"]["data"]] == [1, 2]
    steps = [job["progress"]["step"] for job in seen]  # of both together
    assert steps == sorted(steps) and len(set(steps)) > 5 and steps[-1] == seen[0]["progress"]["steps"] == 50
    assert any(job["preview_b64_json"] for job in seen)
    late = followed(url, create(url, num_inference_steps="50", deadline_s="0.05").json()["id"])[-1]
    assert (late["status"], late["error"]["code"]) == ("failed", "deadline_exceeded")
    assert create(url, stream="true").status_code == 400


class Receiver(ThreadingHTTPServer):
    """Refuses the first delivery, takes the second."""

    def __init__(self):
        self.got: list[tuple[bytes, dict]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((body, dict(self.headers)))  # type: ignore[attr-defined]
        self.send_response(503 if len(self.server.got) == 1 else 204)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_args):
        pass


def test_openais_client_believes_our_webhooks(url, monkeypatch):
    monkeypatch.setattr(webhook, "PAUSES_S", (0.01, 0.01))
    receiver = Receiver()
    try:
        address = f"http://127.0.0.1:{receiver.server_port}/told"
        name = create(url, webhook_url=address, num_inference_steps="1").json()["id"]
        until(lambda: len(receiver.got) >= 2, 30)
        body, headers = receiver.got[1]
        client = openai.OpenAI(api_key="none", webhook_secret=SECRET)
        client.webhooks.verify_signature(body.decode(), headers)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.verify_signature(body.decode() + " ", headers)
        event = json.loads(body)
        assert (event["type"], event["data"]["id"]) == ("edit.job.succeeded", name)
        assert receiver.got[0][1]["webhook-id"] == headers["webhook-id"]  # a repeat can be told from a new event
    finally:
        receiver.shutdown()
        receiver.server_close()


@hypothesis.settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 2**32), st.binary(min_size=24, max_size=48))
def test_signatures_are_those_of_the_standards_algorithm(text, now, key):
    body = json.dumps({"data": text}).encode()
    headers = webhook.signed(body, "msg_1", datetime.fromtimestamp(now, UTC), "whsec_" + base64.b64encode(key).decode())
    signature = hmac.digest(key, f"msg_1.{now}.".encode() + body, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(signature).decode()}"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", str(now))


def test_a_webhook_is_refused_where_they_are_off(settings, engine, tmp_path):
    with served(replace(settings, webhooks="off", state=str(tmp_path)), engine) as url:
        assert create(url, webhook_url="http://127.0.0.1:1/").json()["error"]["param"] == "webhook_url"


def test_the_jobs_of_a_dead_server_are_made_by_the_next(settings, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "LEASE_S", 0.2)
    settings = replace(settings, state=str(tmp_path))
    store = store_of(settings.state)
    name = job_of(store, "anyone", fields='{"prompt": "x", "num_inference_steps": 1}', source=png())
    assert [job["id"] for job in store.lease(0.2, 9)] == [name]  # and here its server dies
    assert store.lease(0.2, 9) == []
    with served(settings, engine) as url:
        assert followed(url, name)[-1]["status"] == "succeeded"


def test_jobs_go_on_after_their_store_did_not_answer(settings, engine, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(jobs_module, "LEASE_S", 0.2)
    settings = replace(settings, state=str(tmp_path))
    with served(settings, engine) as url, sqlite3.connect(tmp_path / "serve.sqlite") as other:
        other.execute("ALTER TABLE results RENAME TO gone")
        other.commit()
        until(lambda: "store does not answer" in caplog.text, 60)
        other.execute("ALTER TABLE gone RENAME TO results")
        other.commit()
        assert followed(url, create(url, num_inference_steps="1").json()["id"])[-1]["status"] == "succeeded"


def test_jobs_are_listed_newest_first_in_pages_and_without_pictures(settings, engine, tmp_path):
    keyed = replace(settings, keys=f"ann:{digest('a')},bob:{digest('b')}", state=str(tmp_path))
    with served(keyed, engine) as url:
        ann, bob = ({"authorization": f"Bearer {key}"} for key in "ab")
        form = {"prompt": "x", "num_inference_steps": "1"}
        made = [
            http.post(f"{url}/v1/edits/jobs", files={"image": png()}, data=form, headers=ann).json()["id"]
            for _ in range(5)
        ]
        seen, more = [], True
        while more:
            asked = {"limit": 2} | ({"after": seen[-1]} if seen else {})
            page = http.get(f"{url}/v1/edits/jobs", params=asked, headers=ann).json()
            seen += [job["id"] for job in page["data"]]
            more = page["has_more"]
            assert all(job["prompt"] == "x" and "result" not in job for job in page["data"])
        assert seen == made[::-1]
        assert http.get(f"{url}/v1/edits/jobs", headers=bob).json() == {"object": "list", "data": [], "has_more": False}
        assert http.get(f"{url}/v1/edits/jobs", params={"limit": 101}, headers=ann).status_code == 422
