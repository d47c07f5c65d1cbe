"""Several fronts over one database: one may be killed, and the database may restart, and no job is lost."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.support.front import front
from benchmarks.support.served import SMALL, http, png, served
from serve import jobs as jobs_module
from serve.keys import digest
from serve.settings import Settings
from tests.support.stores import change
from tests.support.wait import until

pytestmark = pytest.mark.slow
LEASE_S = 2.0
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
DATA = "data:image/png;base64," + base64.b64encode(png()).decode()


@pytest.fixture(scope="module")
def settings(random_family: Path, tmp_path_factory):
    return Settings(model=str(random_family / "tiny-wan-i2v"), state=str(tmp_path_factory.mktemp("unused")), **SMALL)


def create(url: str, steps: int, key: str = "") -> str:
    form = {"prompt": "x", "seed": "1", "num_inference_steps": str(steps)}
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = http.post(f"{url}/v1/edits/jobs", files={"image": png()}, data=form, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def read(url: str, name: str) -> dict:
    return http.get(f"{url}/v1/edits/jobs/{name}").json()


def ended(url: str, name: str) -> dict:
    until(lambda: read(url, name).get("status") in ("succeeded", "failed", "cancelled"), 120)
    return read(url, name)


def test_a_front_that_is_killed_leaves_its_jobs_to_another(settings, engine, state, monkeypatch):
    settings = replace(settings, state=state)
    with front(settings, LEASE_S) as (process, first):
        names = [create(first, 50) for _ in range(3)]
        until(lambda: any(read(first, name)["progress"]["step"] > 2 for name in names), 120)
        process.kill()
        process.wait()
    assert change(state, "UPDATE jobs SET told = 0 WHERE status IN ('queued', 'running')") >= 1
    monkeypatch.setattr(jobs_module, "LEASE_S", LEASE_S)
    with served(settings, engine) as second:
        jobs = [ended(second, name) for name in names]
        assert [job["status"] for job in jobs] == ["succeeded"] * 3
        pictures = {job["result"]["data"][0]["b64_json"] for job in jobs}
        assert len(pictures) == 1 and None not in pictures  # of one seed, whoever made them


def test_any_front_shows_and_cancels_the_jobs_of_a_key_and_of_no_other(settings, engine, state):
    settings = replace(settings, state=state, keys=f"ann:{digest('a')},bob:{digest('b')}")
    with served(settings, engine) as first, served(settings, engine) as second:
        name = create(first, 50, "a")
        ann, bob = ({"authorization": f"Bearer {key}"} for key in "ab")
        where = f"{second}/v1/edits/jobs/{name}"
        assert http.get(where, headers=ann).json()["id"] == name
        assert http.get(where, headers=bob).status_code == http.post(f"{where}/cancel", headers=bob).status_code == 404
        assert http.post(f"{where}/cancel", headers=ann).json()["status"] == "cancelled"
        assert http.get(f"{first}/v1/edits/jobs/{name}", headers=ann).json()["status"] == "cancelled"


def test_a_restart_of_the_database_under_load_loses_no_job_and_no_request(settings, engine, postgres_server):
    settings = replace(settings, state=postgres_server.database())
    with served(settings, engine) as first, served(settings, engine) as second:
        names = [create((first, second)[k % 2], 30) for k in range(6)]
        until(lambda: any(read(first, name)["status"] == "running" for name in names), 120)
        postgres_server.stop()
        postgres_server.start()
        form = {"prompt": "x", "num_inference_steps": "1"}
        answer = http.post(f"{second}/v1/images/edits", files={"image": png()}, data=form)
        assert answer.status_code == 200, answer.text
        assert [ended(first, name)["status"] for name in names] == ["succeeded"] * 6
    assert change(settings.state, "UPDATE results SET bytes = bytes") == 7  # each edit was kept once


def test_requests_are_refused_cleanly_while_the_database_is_away(settings, engine, postgres_server, monkeypatch):
    monkeypatch.setattr("v4e.files.database.PATIENCE_S", 0.0)
    settings = replace(settings, state=postgres_server.database())
    with served(settings, engine) as url:
        name = create(url, 1)
        assert ended(url, name)["status"] == "succeeded"
        postgres_server.stop()
        try:
            for answer in (
                http.get(f"{url}/v1/edits/jobs/{name}"),
                http.post(f"{url}/v1/images/edits", files={"image": png()}, data={"prompt": "x"}),
                http.get(f"{url}/v1/results/img_{32 * '0'}"),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
                assert answer.headers["x-should-retry"] == "true"
            assert http.get(f"{url}/healthz").status_code == 200
        finally:
            postgres_server.start()
        assert ended(url, name)["status"] == "succeeded"
        assert ended(url, create(url, 1))["status"] == "succeeded"


@pytest.mark.parametrize("name", ["%00", "job_%00", "job_" + 31 * "0", "%ff", "%ED%A0%80", "a%27%20OR%201=1", 64 * "x"])
def test_names_that_no_job_or_result_has_are_not_found(settings, engine, state, name):
    with served(replace(settings, state=state), engine) as url:
        assert http.get(f"{url}/v1/edits/jobs/{name}").status_code == 404
        assert http.post(f"{url}/v1/edits/jobs/{name}/cancel").status_code == 404
        assert http.get(f"{url}/v1/results/{name}").status_code == 404
        assert http.get(f"{url}/v1/edits/jobs?after={name}").json()["data"] == []


def test_nul_bytes_in_texts_stop_no_database(settings, engine, state):
    with served(replace(settings, state=state, webhooks="any", webhook_secret=SECRET), engine) as url:
        form = {"prompt": "a\0b", "num_inference_steps": 1, "image": {"image_url": DATA}}
        assert http.post(f"{url}/v1/edits/jobs", json=form).status_code == 202
        refused = http.post(f"{url}/v1/edits/jobs", json=form | {"webhook_url": "http://127.0.0.1:1/\0"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "webhook_url")
