"""A soak test: many clients, mixed sizes, some that leave, and a SIGKILL now and then.

Every request must be answered or cleanly refused, and no process may grow while it lives.

``python -m benchmarks.serving.soak [minutes] [clients] [kill every seconds]``; the defaults are 5 64 60. Model and
front are killed in turns. With 0 nothing is killed, and another record is written: the growth of each process.
"""

import random
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import httpx
import psutil
from scipy.stats import theilslopes

from benchmarks.support.on_ray import on_ray, proxies, replicas
from benchmarks.support.result import write_result
from benchmarks.support.served import picture, png

BOUND_S = 180.0  # longer without an answer is a hang
REFUSED = (429, 503)
WARM_UP_S = 120.0  # of a process: by then it has served each kind of request often, many at once
LONG_ENOUGH_S = 60.0  # that a process must live after its warm-up to show whether it grows
SIZES = ((32, 32), (48, 32), (64, 64), (200, 120))


class Clients:
    """Threads that send requests until they are stopped; every request is counted in `counts`."""

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
        """Sends one request. Returns its outcome and the seconds to wait before the next."""
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


class Memory:
    """The resident memory of each process (MiB) over the seconds of its life."""

    def __init__(self):
        self.lives: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def look(self, now: float) -> list[dict]:
        """Records the memory of each process now. Returns one row per process."""
        rows = []
        for name, processes in {"Front": replicas("Front"), "Model": replicas("Model"), "Proxy": proxies()}.items():
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    mib = process.memory_info().rss / 2**20
                    self.lives.setdefault((name, process.pid), []).append((now, mib))
                    rows.append({"s": round(now, 1), "process": name, "pid": process.pid, "rss_mib": round(mib, 1)})
        return rows

    def grown(self) -> list[dict]:
        """Returns the growth of each process that lived long enough, from the end of its warm-up.

        `mib_per_minute` is the median of the slopes between all pairs of measurements (Theil and Sen). Single peaks of
        edits under way do not move it.
        """
        rows = []
        for (name, pid), life in self.lives.items():
            warm = [(at, mib) for at, mib in life if at - life[0][0] >= WARM_UP_S]
            if not warm or warm[-1][0] - warm[0][0] < LONG_ENOUGH_S:
                continue
            seconds, mib = zip(*warm, strict=True)
            rows.append(
                {
                    "process": name,
                    "pid": pid,
                    "minutes": round((seconds[-1] - seconds[0]) / 60, 2),
                    "warm_mib": round(statistics.median(mib[:5]), 1),
                    "end_mib": round(statistics.median(mib[-5:]), 1),
                    "mib_per_minute": round(60 * float(theilslopes(mib, seconds).slope), 2),
                }
            )
        return rows


def kill(name: str) -> bool:
    """Sends SIGKILL to a deployment's process. Returns False if there is none right now."""
    try:
        found = replicas(name)
        if found:
            found[0].kill()
        return bool(found)
    except psutil.NoSuchProcess:
        return False


def measure(seconds: float, clients: int, kill_every_s: float) -> tuple[list[dict], dict]:
    """Returns rows a few seconds apart, the growth of each process, and the counts of all requests."""
    rows, memory, kills = [], Memory(), 0
    # Small limits, so that caches and stores fill up during the test.
    kept = {"cache_mib": "2", "state_mib": "1"}
    with on_ray(max_pixels="1024", warm="32x32", waiting="48", per_key="64", **kept) as url:
        crowd = Clients(url, clients)
        start = time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            if kill_every_s and now > kill_every_s * (kills + 1):
                kills += kill(("Model", "Front")[kills % 2])
            rows.append({"s": round(now, 1), "kills": kills, **crowd.counts})
            rows += memory.look(now)
            time.sleep(2)
        crowd.stop()
    counts, grown = crowd.counts, memory.grown()
    summary = {name: counts[name] for name in ("answered", "refused", "left", "lost")}
    summary = {"requests": counts.total(), **summary, "kills": kills, "processes": len(grown)}
    if grown:
        summary["end_over_warm"] = round(max(row["end_mib"] / row["warm_mib"] for row in grown), 4)
        summary["mib_per_minute"] = max(row["mib_per_minute"] for row in grown)
    return [*rows, *grown, *({"wrong": text} for text in crowd.wrong[:20])], summary


def main() -> None:
    minutes, clients, every = (float(a) for a in [*sys.argv[1:], *("5", "64", "60")[len(sys.argv) - 1 :]])
    rows, summary = measure(60 * minutes, int(clients), every)
    command = " ".join(["python -m benchmarks.serving.soak", *sys.argv[1:]])
    write_result("soak" if every else "soak_memory", command, rows, summary)


if __name__ == "__main__":
    main()
