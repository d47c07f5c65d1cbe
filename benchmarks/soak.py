"""Many clients, mixed sizes, some that leave, and a SIGKILL now and then: every request is answered or cleanly refused.

``python benchmarks/soak.py [minutes] [clients] [kill every seconds]``, 5 64 60 without. Model and front are killed in
turns.
"""

import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import psutil

from benchmarks.on_ray import on_ray, replicas
from benchmarks.result import write_result
from benchmarks.served import picture, png

BOUND_S = 180.0  # longer without an answer is a hang
REFUSED = (429, 503)
SIZES = ((32, 32), (48, 32), (64, 64), (200, 120))


class Clients:
    """Threads that ask until they are told to stop; every request ends up in `counts`."""

    def __init__(self, url: str, clients: int):
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._url, self._stop, self._lock = url, threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        rng = random.Random(number)
        with httpx.Client(base_url=self._url, timeout=BOUND_S) as client:
            while not self._stop.is_set():
                outcome, pause = self._request(client, rng)
                with self._lock:
                    self.counts[outcome] += 1
                self._stop.wait(pause)

    def _request(self, client: httpx.Client, rng: random.Random) -> tuple[str, float]:
        """One request and how it ended; seconds that the server asked to wait."""
        files = {"image": png(picture(rng.randrange(99), rng.choice(SIZES)))}
        form = {"prompt": "make it blue", "num_inference_steps": str(rng.choice((2, 4, 8)))}
        leaves = rng.random() < 0.1
        try:
            if leaves:
                with client.stream("POST", "/v1/images/edits", files=files, data=form | {"stream": "true"}) as answer:
                    next(answer.iter_lines(), None)
                return "left", 0.0
            answer = client.post("/v1/images/edits", files=files, data=form)
        except httpx.HTTPError as error:
            self.wrong.append(f"{type(error).__name__}: {error}")
            return "lost", 0.0
        if answer.status_code == 200 and answer.json()["data"][0]["b64_json"]:
            return "answered", 0.0
        clean = answer.headers.get("content-type", "").startswith("application/json") and "error" in answer.json()
        if answer.status_code in REFUSED and clean:
            return "refused", float(answer.headers.get("retry-after", 1))
        self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
        return "lost", 0.0


def rss(names: tuple[str, ...] = ("Front", "Model")) -> float:
    """MiB of the application's processes."""
    return sum(p.memory_info().rss for name in names for p in replicas(name)) / 2**20


def kill(name: str) -> bool:
    """SIGKILL of a deployment's process, if there is one right now."""
    try:
        found = replicas(name)
        if found:
            found[0].kill()
        return bool(found)
    except psutil.NoSuchProcess:
        return False


def measure(seconds: float, clients: int, kill_every_s: float) -> tuple[list[dict], dict]:
    """Rows a few seconds apart, and the counts of all requests."""
    rows, kills = [], 0
    with on_ray(max_pixels="1024", warm="32x32", waiting="48", per_key="64") as url:
        crowd = Clients(url, clients)
        start = time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            if now > kill_every_s * (kills + 1):
                kills += kill(("Model", "Front")[kills % 2])
            rows.append({"s": round(now, 1), "rss_mib": round(rss(), 1), "kills": kills, **crowd.counts})
            time.sleep(2)
        crowd.stop()
        settled = rss()
    counts = crowd.counts
    # Killed processes begin anew: the start is what they had come to just before the first kill.
    first = [row["rss_mib"] for row in rows if row["kills"] == 0][-1]
    summary = {name: counts[name] for name in ("answered", "refused", "left", "lost")}
    summary = {"requests": counts.total(), **summary, "kills": kills, "rss_end_over_start": round(settled / first, 4)}
    return [*rows, *({"wrong": text} for text in crowd.wrong[:20])], summary


def main() -> None:
    minutes, clients, every = (float(a) for a in [*sys.argv[1:], *("5", "64", "60")[len(sys.argv) - 1 :]])
    rows, summary = measure(60 * minutes, int(clients), every)
    write_result("soak", " ".join(["python benchmarks/soak.py", *sys.argv[1:]]), rows, summary)


if __name__ == "__main__":
    main()
