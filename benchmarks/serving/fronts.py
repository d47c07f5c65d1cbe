"""Three fronts over one PostgreSQL server, under clients whose jobs must end once, whatever is killed.

Fronts, replicas and the database are killed in turns. A trigger in the database counts how often each job ends.

``python -m benchmarks.serving.fronts [minutes] [clients] [kill every seconds]``; the defaults are 5 64 15.
"""

import random
import sys
import threading
import time
import uuid
from collections import Counter

import httpx
import psycopg

from benchmarks.serving.soak import BOUND_S, REFUSED, Memory, kill
from benchmarks.support.on_ray import on_ray
from benchmarks.support.postgres import Postgres, postgres
from benchmarks.support.result import write_result
from benchmarks.support.served import picture, png

ENDED = ("succeeded", "failed", "cancelled")
COUNTED = """
CREATE TABLE ends (id TEXT, was TEXT, now TEXT);
CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN INSERT INTO ends VALUES (NEW.id, OLD.status, NEW.status); RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER noted AFTER UPDATE OF status ON jobs FOR EACH ROW
WHEN (OLD.status IS DISTINCT FROM NEW.status AND (OLD.status IN ('succeeded', 'failed', 'cancelled') OR
NEW.status IN ('succeeded', 'failed', 'cancelled'))) EXECUTE FUNCTION note();
"""


class Clients:
    """Threads that create jobs, each until it is accepted, and follow them to their end."""

    def __init__(self, url: str, clients: int):
        self.counts: Counter[str] = Counter()
        self.accepted: set[str] = set()
        self.wrong: list[str] = []
        self._url, self._stop, self._lock = url, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Asks for no new job, and waits for the end of those that were accepted."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        rng = random.Random(number)
        with httpx.Client(base_url=self._url, timeout=BOUND_S) as client:
            while not self._stop.is_set():
                files = {"image": png(picture(rng.randrange(99)))}
                form = {"prompt": "make it blue", "num_inference_steps": str(rng.choice((2, 4)))}
                headers = {"idempotency-key": uuid.uuid4().hex}
                answer = self._ask(
                    lambda f=files, d=form, h=headers: client.post("/v1/edits/jobs", files=f, data=d, headers=h)
                )
                if answer is None:
                    continue
                name = answer.json()["id"]
                with self._lock:
                    self.accepted.add(name)
                self._follow(client, name)

    def _follow(self, client: httpx.Client, name: str) -> None:
        deadline = time.monotonic() + BOUND_S
        while time.monotonic() < deadline:
            answer = self._ask(lambda: client.get(f"/v1/edits/jobs/{name}"))
            if answer is not None and (status := answer.json()["status"]) in ENDED:
                self._count(status)
                return
            time.sleep(0.5)
        self._count("unfinished")

    def _ask(self, request) -> httpx.Response | None:
        """Sends a request until it is neither refused nor cut off. Returns None for a wrong answer, which is kept.

        A front that is killed cuts its connections off: the client asks again, by the same idempotency key.
        """
        deadline = time.monotonic() + BOUND_S
        while time.monotonic() < deadline:
            try:
                answer = request()
            except httpx.TransportError as error:
                self._count(f"cut off: {type(error).__name__}")
                time.sleep(0.5)
                continue
            if answer.status_code in (200, 202):
                self._count("answered")
                return answer
            clean = answer.headers.get("content-type", "").startswith("application/json") and "error" in answer.json()
            if answer.status_code not in REFUSED or not clean:
                break
            self._count("refused")
            time.sleep(min(2.0, float(answer.headers.get("retry-after", 1))))
        else:
            self.wrong.append("refused for too long")
            return None
        self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
        return None

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.counts[outcome] += 1


def measure(server: Postgres, seconds: float, clients: int, kill_every_s: float) -> tuple[list[dict], dict]:
    """Returns rows a few seconds apart, the growth of each process, and the counts of requests and jobs."""
    rows, memory, kills = [], Memory(), Counter[str]()
    state = server.database()
    kept = {"cache_mib": "2", "state_mib": "8", "waiting": "200", "per_key": "200"}
    with on_ray(
        max_pixels="1024", warm="32x32", replicas="2", max_replicas="2", fronts="3", state=state, **kept
    ) as url:
        with psycopg.connect(state, autocommit=True) as admin:
            admin.execute(COUNTED)
        crowd, start = Clients(url, clients), time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            if now > kill_every_s * (kills.total() + 1):
                victim = ("Front", "database", "Model")[kills.total() % 3]
                if victim == "database":
                    server.stop()
                    server.start()
                else:
                    kill(victim)
                kills[victim] += 1
            rows.append({"s": round(now, 1), **{f"kills of {name}": n for name, n in kills.items()}, **crowd.counts})
            memory.look(now)
            time.sleep(2)
        crowd.stop()
        with psycopg.connect(state) as admin:
            ends = Counter(name for (name,) in admin.execute("SELECT id FROM ends").fetchall())
            there = {name for (name,) in admin.execute("SELECT id FROM jobs").fetchall()}
    counts = crowd.counts
    grown = memory.grown()
    summary = {
        "jobs": len(crowd.accepted),
        **{status: counts[status] for status in (*ENDED, "unfinished")},
        "lost": len(crowd.accepted - there),
        "ended_once": sum(ends[name] == 1 for name in crowd.accepted),
        "ended_twice": sum(n > 1 for n in ends.values()),
        "requests": counts["answered"] + counts["refused"] + len(crowd.wrong),
        "refused": counts["refused"],
        "cut_off": sum(n for name, n in counts.items() if name.startswith("cut off")),
        "wrong": len(crowd.wrong),
        **{f"kills of {name}": n for name, n in kills.items()},
        **({"mib_per_minute": max(row["mib_per_minute"] for row in grown)} if grown else {}),
    }
    return [*rows, *grown, *({"wrong": text} for text in crowd.wrong[:20])], summary


def main() -> None:
    minutes, clients, every = (float(a) for a in [*sys.argv[1:], *("5", "64", "15")[len(sys.argv) - 1 :]])
    with postgres() as server:
        assert server is not None, "no PostgreSQL server is installed: apt-get install postgresql"
        rows, summary = measure(server, 60 * minutes, int(clients), every)
    write_result("fronts", " ".join(["python -m benchmarks.serving.fronts", *sys.argv[1:]]), rows, summary)


if __name__ == "__main__":
    main()
