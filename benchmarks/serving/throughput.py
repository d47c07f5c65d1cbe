"""The cost of HTTP, the queue and Ray Serve over the bare editor.

It is measured as latency of one client, throughput of many, and steps until the model is free when a client leaves.

``python -m benchmarks.serving.throughput [rounds]``: in each round the bare editor and the server take turns, edit by
edit. Their ratio is the result: whatever else the machine does slows both. ``model_over_bare`` is the model alone
inside its replica; ``parse``, ``encode`` and ``hops`` are the parts around it.
"""

import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import torch

from benchmarks.support.on_ray import on_ray
from benchmarks.support.result import write_result
from benchmarks.support.served import opened, picture, png
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.weights.student import BASE

SIDE = 128  # pixels: an edit of the tiny model takes about a second
CLIENTS = 4


def bare(editor: Editor, seed: int) -> float:
    """Returns the seconds of an edit from a file's bytes to a file's bytes, in this process."""
    start = time.perf_counter()
    image = opened(png(picture(seed, (SIDE, SIDE)))).convert("RGB")
    [edit] = editor.edit([image], ["make it blue"], [seed], EditSettings(height=SIDE, width=SIDE))
    png(edit.image)
    return time.perf_counter() - start


def served(client: httpx.Client, seed: int) -> float:
    """Returns the seconds of the same edit over HTTP."""
    start = time.perf_counter()
    form = {"prompt": "make it blue", "seed": str(seed)}
    client.post("/v1/images/edits", files={"image": png(picture(seed, (SIDE, SIDE)))}, data=form).raise_for_status()
    return time.perf_counter() - start


def latency(editor: Editor, client: httpx.Client, rounds: int) -> list[dict]:
    """Measures one client, one edit at a time; bare and served in turns, each first every other time."""
    rows = []
    for seed in range(rounds):
        pair = [("bare", lambda seed=seed: bare(editor, seed)), ("served", lambda seed=seed: served(client, seed))]
        rows.append({"what": "latency"} | {name: run() for name, run in (pair if seed % 2 else pair[::-1])})
    return rows


def stages(client: httpx.Client) -> dict[str, float]:
    """Reads the seconds that the server has spent in each part of an edit so far."""
    lines = client.get("/metrics").text.splitlines()
    pairs = [line.split() for line in lines if line.startswith("v4e_stage_seconds_sum{")]
    return {name.split('"')[1]: float(value) for name, value in pairs}


def saturation(editor: Editor, client: httpx.Client, rounds: int) -> list[dict]:
    """Measures edits per second: a bare loop against `CLIENTS` clients that never pause, round by round."""
    rows = []
    for number in range(rounds):
        seeds = range(number * 8, number * 8 + 8)
        pair = [("bare", lambda seeds=seeds: [bare(editor, seed) for seed in seeds])]
        pair += [("served", lambda seeds=seeds: crowd(client, seeds))]
        row: dict = {"what": "saturation"}
        for name, run in pair if number % 2 else pair[::-1]:
            start = time.perf_counter()
            run()
            row[name] = len(seeds) / (time.perf_counter() - start)
        rows.append(row)
    return rows


def crowd(client: httpx.Client, seeds: Sequence[int]) -> None:
    """Makes the edits of `seeds` with `CLIENTS` clients at once."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(lambda seed: served(client, seed), seeds))


def cancelled(client: httpx.Client, rounds: int) -> list[dict]:
    """Counts the steps that the model makes after the last one that a leaving client saw."""
    from ray import serve

    model, rows = serve.get_deployment_handle("Model", "default"), []
    form = {"prompt": "x", "stream": "true", "num_inference_steps": "30"}
    for _ in range(rounds):
        before, told = model.steps.remote().result(), 0
        files = {"image": png(picture(0, (SIDE, SIDE)))}
        with client.stream("POST", "/v1/images/edits", files=files, data=form) as answer:
            for line in answer.iter_lines():
                told += line.startswith(": step")
                if told == 5:
                    break
        served(client, 0)  # waits until the model is free; its own steps are taken off
        rows.append({"what": "cancelled", "steps": model.steps.remote().result() - before - told - 8})
    return rows


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    torch.set_num_threads(1)
    editor = Editor.load(BASE)
    with (
        on_ray(max_pixels=str(SIDE * SIDE), warm=f"{SIDE}x{SIDE}") as url,
        httpx.Client(base_url=url, timeout=300) as client,
    ):
        for seed in range(2):
            bare(editor, seed), served(client, seed)
        before = stages(client)
        rows = latency(editor, client, rounds)
        mean = {name: 1000 * (seconds - before[name]) / rounds for name, seconds in stages(client).items()}
        rows += saturation(editor, client, max(1, rounds // 3))
        rows += cancelled(client, max(1, rounds // 3))
    of = {what: [row for row in rows if row["what"] == what] for what in ("latency", "saturation", "cancelled")}
    total = {name: 1000 * statistics.mean(row[name] for row in of["latency"]) for name in ("bare", "served")}
    around = mean["parse"] + mean["encode"]
    write_result(
        "serve",
        " ".join(["python -m benchmarks.serving.throughput", *sys.argv[1:]]),
        rows,
        {
            "p50_over_bare": round(statistics.median(r["served"] / r["bare"] for r in of["latency"]), 4),
            "saturation_over_bare": round(statistics.median(r["served"] / r["bare"] for r in of["saturation"]), 4),
            "cancelled_within_steps": max(row["steps"] for row in of["cancelled"]),
            "bare_mean_ms": round(total["bare"], 1),
            "model_over_bare": round(mean["model"] / total["bare"], 4),
            "parse_ms": round(mean["parse"], 1),
            "encode_ms": round(mean["encode"], 1),
            "hops_ms": round(total["served"] - mean["model"] - around, 1),
            "load": round(os.getloadavg()[1], 1),  # of all that ran here in the last five minutes
        },
    )


if __name__ == "__main__":
    main()
