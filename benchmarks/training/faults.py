"""SIGKILL of a TP rank, a replica, the pool and a node while a run trains: it ends, with the same losses bit for bit.

The run is the tiny family with random weights on random samples, on a Ray cluster of several nodes on this machine.
Every kind of fault strikes at random moments between the first step and the last, up to PER_RUN times a run. The
node's fault ends all that runs on it, whether teachers, pool or training worker; a new node replaces it.

Three things show that no target was lost or trained twice. First, metrics.jsonl holds each step once. Second, the
losses of each step are the undisturbed run's, bit for bit. The kd loss of a step depends on that step's own targets,
and through the weights on all targets before it. Third, the last checkpoint is equal byte for byte. It holds
the weights, their average and the optimizer with its count of updates, which the last step's targets changed too.

A hang is a run that makes no new step for BOUND_S. `python -m benchmarks.training.faults [moments]`. The rows of other
stages and signals in the same file are those of `python -m benchmarks.training.faults stages KILLS [STAGE ...]`.
"""

import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, pairwise
from pathlib import Path

from benchmarks.support.nodes import Nodes, processes_of
from benchmarks.support.result import RESULTS, write_result
from benchmarks.support.watched import Outcome, WatchedTraining, outcome
from benchmarks.training import stage_faults
from tests.support.synthetic import rolled_out, stored
from v4e.config import Config, Run
from v4e.data.store.paths import store_uri
from v4e.models.tiny import save_random

FaultRow = dict[str, str | float | bool]

PER_RUN = 5  # faults
STEPS, BATCH, ACCUMULATE = 60, 4, 2  # targets of 0.12 MiB: smaller ones would not go through the object store
TIMEOUT_S, RETRIES = 30.0, 2  # teacher.timeout_s and teacher.retries
NODE_S = 5 * (3.0 + 10.0)  # Ray's defaults: a node is dead after 5 failed checks, 3 s apart, of at most 10 s each
START_S = 60.0  # Ray Train's default: for a new group of training workers
# A node's death is noticed; then the stream asks again for a timeout, waits for one more answer, for which the pool
# may need all its attempts, and for its payload; should all that fail, the training worker is started again.
BOUND_S = NODE_S + TIMEOUT_S * (1 + (RETRIES + 1) + 1) + START_S
SHAPES = {"tp1": {"tp": 1, "replicas": 2}, "tp2": {"tp": 2, "replicas": 1}}
KINDS = {"rank": ("tp2",), "replica": ("tp1",), "pool": ("tp1", "tp2"), "node": ("tp1", "tp2")}  # shapes in turn
ACTORS = {"teacher": "Replica", "pool": "TeacherPool", "student": "RayTrainWorker"}


@dataclass
class FaultBench:
    """A cluster, and the settings of runs on it."""

    settings: Config
    nodes: Nodes

    def config(self, name: str, shape: str) -> Config:
        """Returns the config of a run of its own, on the store that all share."""
        return replace(
            self.settings,
            run=Run(dir=str(Path(self.settings.run.dir, name))),
            data=replace(self.settings.data, store=store_uri(self.settings)),
            teacher=replace(self.settings.teacher, **SHAPES[shape]),
        )

    def undisturbed(self, shape: str) -> tuple[Outcome, float]:
        """Returns the expected outcome, and the median seconds of a step."""
        config = self.config(shape, shape)
        training = WatchedTraining(config, BOUND_S)
        if not training.ends() or training.error:
            raise RuntimeError(f"the undisturbed run with {shape} did not end well") from training.error
        return outcome(config), statistics.median(after - before for before, after in pairwise(training.times[1:]))

    def disturbed(
        self, kinds: Sequence[str], shape: str, expected: Outcome, step_s: float, rng: random.Random
    ) -> list[FaultRow]:
        """A run with a fault of each of `kinds` in turn, a row each: fewer if it ends before they could strike."""
        config = self.config("disturbed", shape)
        shutil.rmtree(config.run.dir, ignore_errors=True)
        training, part = WatchedTraining(config, BOUND_S), config.optim.steps // len(kinds)
        strikes: list[tuple[str, float, int, list[str]]] = []
        for number, kind in enumerate(kinds):
            step, delay_s = rng.randrange(number * part + 1, (number + 1) * part), rng.random() * step_s
            if training.reaches(step):
                time.sleep(delay_s)
            at, step = time.monotonic(), training.step
            if took := strike(self.nodes, kind, rng) if step else []:
                strikes.append((kind, at, step, took))
        hangs = not training.ends()
        end, found = time.monotonic(), outcome(config)
        if training.error and not strikes:
            raise RuntimeError("a run ended that nothing had disturbed") from training.error
        of_run: FaultRow = {
            "run_s": round(end - training.times[0], 2),
            "identical": found == expected,
            "lost": ACCUMULATE * found.lost(config.optim.steps),
            "doubled": ACCUMULATE * found.doubled(),
            "hang": hangs,
        }
        if training.error:
            of_run["error"] = repr(training.error)
        rows = []
        for (kind, at, step, took), until in zip(strikes, [*(at for _, at, *_ in strikes[1:]), end], strict=True):
            times = [at, *(moment for moment in training.times if at < moment < until), *([until] if hangs else [])]
            row: FaultRow = {
                "kind": kind,
                "shape": shape,
                "took": ", ".join(took),
                "step": step,
                "second": round(at - training.times[0], 2),
                "recovered_s": round(max((after - before for before, after in pairwise(times)), default=0.0), 2),
            }
            rows.append(row | of_run)
        return rows


def strike(nodes: Nodes, kind: str, rng: random.Random) -> list[str]:
    """Kills what `kind` says, and returns which of our actors went with it: none if they have ended by themselves."""
    if kind == "node":
        held = {node: [role for role, actor in ACTORS.items() if processes_of(node, actor)] for node in nodes.workers()}
        victims = [node for node, roles in held.items() if roles]
        if not victims:
            return []
        node = rng.choice(victims)
        nodes.kill(node)
        nodes.add()
        return held[node]
    role = "pool" if kind == "pool" else "teacher"
    processes = nodes.processes(ACTORS[role])
    if not processes:
        return []
    rng.choice(processes).kill()
    return [role]


def bench_of(folder: Path, steps: int) -> FaultBench:
    """A cluster of two nodes, and settings of runs of `steps` steps. Call it from a main thread without Ray."""
    save_random(folder / "family")
    settings = stored(
        folder,
        folder / "family",
        6,
        teacher={"timeout_s": TIMEOUT_S, "retries": RETRIES},
        optim={"steps": steps, "batch": BATCH, "accumulate": ACCUMULATE, "lr": 1e-3},
        train={"checkpoint_every": 2, "log_every": steps, "max_failures": PER_RUN},
    )
    rolled_out(settings)
    return FaultBench(settings, Nodes(2, cpus=2))


def measure(moments: int, folder: Path) -> list[FaultRow]:
    """One row for every fault: `moments` of each kind. Call it from the main thread of a process without Ray."""
    bench = bench_of(folder, STEPS)
    rows: list[FaultRow] = []
    try:
        undisturbed = cache(bench.undisturbed)
        for kind in KINDS:
            for number in count():
                missing = moments - sum(row["kind"] == kind for row in rows)
                if missing == 0:
                    break
                shape, rng = KINDS[kind][number % len(KINDS[kind])], random.Random(f"{kind} {number}")
                for row in bench.disturbed([kind] * min(PER_RUN, missing), shape, *undisturbed(shape), rng):
                    print(row, flush=True)
                    rows.append({"run": f"{kind} {number}", **row})
                if rows and rows[-1]["hang"]:  # it ends with its cluster
                    bench.nodes.close()
                    bench.nodes = Nodes(2, cpus=2)
    finally:
        bench.nodes.close()
    return rows


def main(moments: int = 20) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(moments, Path(folder))
    runs = list({row["run"]: row for row in rows}.values())
    summary = {
        "kills": len(rows),
        "identical_runs": sum(bool(run["identical"]) for run in runs),
        "runs": len(runs),
        "hangs": sum(bool(run["hang"]) for run in runs),
        "lost": sum(int(run["lost"]) for run in runs),
        "doubled": sum(int(run["doubled"]) for run in runs),
        "longest_s": max(float(row["recovered_s"]) for row in rows),
        "bound_s": BOUND_S,
    }
    for kind in KINDS:
        summary[f"{kind}_s"] = statistics.median(float(row["recovered_s"]) for row in rows if row["kind"] == kind)
    stored = json.loads((RESULTS / "faults.json").read_text())
    rows += [row for row in stored["rows"] if row["kind"] == "stage"]
    summary |= {key: value for key, value in stored["summary"].items() if key.startswith("stage_")}
    write_result("faults", f"python -m benchmarks.training.faults {moments}", rows, summary)


if __name__ == "__main__":
    if sys.argv[1:2] == ["stages"]:
        with tempfile.TemporaryDirectory() as place:
            stage_faults.main(int(sys.argv[2]), Path(place), sys.argv[3:] or [*stage_faults.STAGES])
    else:
        main(*map(int, sys.argv[1:]))
