"""SIGKILL, SIGTERM and a minute of SIGSTOP at random moments of every stage: the same command ends with the same bytes.

A stage is the program's own command on a Ray of its own. The tiny family has random weights, the world a few scenes. A
model that captions and one that judges are servers in this process. A moment is drawn over the seconds
that the undisturbed stage took. The command itself is struck, or one of the processes below it: a worker, an actor that
is not ready yet, Ray's raylet. If the command ends badly, it is given again, as a user would, at most AGAIN times.

A row says whether the results are the undisturbed ones to the bit, and which processes were left LEFT_S after the end.
Rows are kept as they come: the same command goes on where it was cut.
"""

import datetime
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path

import psutil

from benchmarks.support.result import RESULTS, as_text
from pipelines.parts import benchmark_fixture
from tests.support.openai_server import serve
from tests.support.suites import honest, http_judge
from v4e.data.captions_table import read_captions
from v4e.files import journal
from v4e.models.tiny import save_random
from v4e.tiny.world.write import write_split

STOP_S = 60.0
AGAIN = 3
BOUND_S = 600.0  # for a command, after which it counts as hanging
LEFT_S = 20.0
MARK = "V4E_FAULTS"  # in the environment of all processes of a command
SIGNALS = ("SIGKILL", "SIGTERM", "SIGSTOP")
Files = Mapping[str, str]  # to a hash


@dataclass(frozen=True)
class StageCase:
    """One stage: its arguments, which actors work for it, and where its results lie."""

    command: str
    arguments: tuple[str, ...]
    actors: tuple[str, ...]
    results: tuple[str, ...]  # globs below the run


STAGES = {
    "caption": StageCase("caption", (), ("Captioner",), ("captions.parquet",)),
    "precompute": StageCase("precompute", ("precompute.batch=2",), ("MapWorker",), ("store/samples/*.safetensors",)),
    "rollout": StageCase(
        "rollout", ("teacher.batch=2",), ("Replica", "TeacherPool"), ("store/rollouts/*/*.safetensors",)
    ),
    "train": StageCase(
        "train",
        ("teacher.replicas=2",),
        ("RayTrainWorker", "Replica", "TeacherPool"),
        ("metrics.jsonl", "checkpoints/*/*.distcp"),
    ),
    "export": StageCase("export", (), (), ("export/**/*.safetensors",)),
    "evaluate": StageCase("evaluate", ("eval.batch=2",), ("EditActor",), ("eval/**/*.npy", "metrics.json")),
    "generate": StageCase("benchmark", ("bench.stages=generate", "bench.batch=2"), ("EditActor",), ("bench/**/*.png",)),
    "judge": StageCase("benchmark", ("bench.stages=judge",), (), ("bench/**/scores.json",)),
}  # fmt: skip


def hashed(run: Path, case: StageCase) -> Files:
    """Hashes of a stage's results, without what is time in them."""
    found = {}
    for path in sorted(path for glob in case.results for path in run.glob(glob) if path.is_file()):
        content = path.read_bytes()
        if path.name == "captions.parquet":
            content = json.dumps([*read_captions(str(path)).items()]).encode()
        elif path.name == "metrics.jsonl":
            names = ("step", "loss", "kd", "tail", "grad_norm")
            content = json.dumps([[one.get(name) for name in names] for one in journal.read(path)]).encode()
        elif path.name in ("metrics.json", "scores.json"):
            left_out = ("seconds", "date", "url", "served", "answered_by")
            content = json.dumps({k: v for k, v in json.loads(content).items() if k not in left_out}).encode()
        found[str(path.relative_to(run))] = hashlib.sha256(content).hexdigest()
    return found


class Command:
    """A stage as a process of its own, all of whose processes can be found by a mark in their environment."""

    def __init__(self, case: StageCase, settings: list[str], log: Path) -> None:
        self.mark = uuid.uuid4().hex
        environ = {**os.environ, MARK: self.mark, "RAY_ADDRESS": "", "PYTHONPATH": str(Path.cwd())}
        words = [sys.executable, "-W", "ignore", f"pipelines/{case.command}.py", *settings, *case.arguments]
        with log.open("ab") as printed:
            self.process = subprocess.Popen(words, env=environ, stdout=printed, stderr=printed, start_new_session=True)

    def processes(self, title: str = "") -> list[psutil.Process]:
        """The processes of this command that live, and whose program or Ray title begins with `title`."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, IndexError):
                ours = process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE
                if ours and Path(process.cmdline()[0]).name.startswith(title):
                    found.append(process)
        return found

    def ends(self, bound_s: float = BOUND_S) -> int | None:
        """Waits for the end; the exit status, or None for a hang, of which nothing is left."""
        try:
            return self.process.wait(bound_s)
        except subprocess.TimeoutExpired:
            for process in self.processes():
                with suppress(psutil.Error):
                    process.kill()
            return None

    def left(self) -> list[str]:
        """Names of the processes that there still are LEFT_S after the end; then they are ended."""
        until = time.monotonic() + LEFT_S
        while (some := self.processes()) and time.monotonic() < until:
            time.sleep(0.2)
        names = []
        for process in some:
            with suppress(psutil.Error):
                names.append(process.name())
                process.kill()
        return names


def strike(command: Command, who: str, name: str, rng: random.Random) -> str:
    """Sends the signal `name` to the command or to a process of it; what was struck, empty where there is none."""
    title, found = "raylet" if who == "raylet" else f"ray::{who}", list[psutil.Process]()
    while not found:  # it may begin later than the moment that was drawn
        if command.process.poll() is not None:
            return ""
        found = [psutil.Process(command.process.pid)] if who == "driver" else command.processes(title)
    victim = rng.choice(sorted(found, key=lambda one: one.pid))
    with suppress(psutil.Error):
        said = victim.name()
        victim.send_signal(getattr(signal, name))
        if name == "SIGSTOP":
            time.sleep(STOP_S)
            victim.send_signal(signal.SIGCONT)
        return said
    return ""


def disturbed(
    case: StageCase, who: str, name: str, settings: list[str], run: Path, usual_s: float, early: bool
) -> dict[str, object]:
    """A stage that is struck once and given again until it ends well."""
    rng, log = random.Random(f"{case.command} {who} {name} {early}"), run.with_suffix(".log")
    command, start = Command(case, settings, log), time.monotonic()
    if early:  # as soon as the actor's process is there, before it is ready
        while not command.processes(f"ray::{who}") and command.process.poll() is None:
            time.sleep(0.1)
    if not early:
        time.sleep(rng.random() * max(0.0, usual_s - (time.monotonic() - start)))
    struck, at = strike(command, who, name, rng), time.monotonic()
    statuses, left = [command.ends()], []
    ended_s = time.monotonic() - at
    left += command.left()
    while statuses[-1] != 0 and len(statuses) <= AGAIN:
        again = Command(case, settings, log)
        statuses.append(again.ends())
        left += again.left()
    traceback = "Traceback" in log.read_text(errors="replace")
    return {"struck": struck, "statuses": statuses, "ended_s": round(ended_s, 1), "left": left, "traceback": traceback}


def cases() -> list[tuple[str, str, str, bool]]:
    """Stage, who is struck, by which signal, and whether before it is ready; in an order that mixes the stages."""
    found = [
        (stage, who, name, early)
        for (stage, case), name in product(STAGES.items(), SIGNALS)
        for who in ("driver", *case.actors, *(("raylet",) if case.actors else ()))
        for early in (False, *((True,) if who not in ("driver", "raylet") else ()))
    ]
    random.Random(0).shuffle(found)
    return found


def measure(
    kills: int, folder: Path, stages: Sequence[str], keep: Callable[[dict], None], done: Container[str]
) -> None:
    """Strikes the first `kills` cases but those of `done` and of other stages; a row goes to `keep` as it comes."""
    run, before, expected, usual = folder / "run", folder / "before", dict[str, Files](), dict[str, float]()
    save_random(folder / "family")
    benchmark_fixture.write(folder / "benchmarks")
    write_split(str(run / "triplets" / "train.parquet"), "train", 1, 0)
    write_split(str(run / "triplets" / "heldout.parquet"), "heldout", 1, 0)
    with ExitStack() as servers:
        captioner = servers.enter_context(serve())
        judge, _ = servers.enter_context(http_judge(honest))
        settings = [
            *(f"run.dir={run}", f"models.student={folder}/family/tiny-wan-i2v", "watch.samples_every=0"),
            *(f"models.teacher={folder}/family/tiny-wan-flf2v", "optim.steps=8", "optim.batch=2", "optim.accumulate=2"),
            *("train.checkpoint_every=2", f"caption.url={captioner.url}", "caption.model=any", "caption.vote=never"),
            *(f"bench.gedit={folder}/benchmarks/gedit", f"bench.gedit_code={folder}/benchmarks/gedit_code"),
            *("bench.suites=gedit", "bench.models=native_i2v", "bench.rubrics=given", f"judge.url={judge}"),
            *("judge.model=any", "sample.steps=2", "caption.batch=2"),
        ]
        needed = [*STAGES][: max([*STAGES].index(stage) for stage in stages) + 1]
        for stage, case in ((stage, STAGES[stage]) for stage in needed):
            shutil.copytree(run, before / stage)
            command, start = Command(case, settings, folder / "undisturbed.log"), time.monotonic()
            if status := command.ends():
                said = (folder / "undisturbed.log").read_text()[-900:]
                raise RuntimeError(f"{stage} ended with {status} undisturbed: {said}")
            usual[stage], expected[stage] = time.monotonic() - start, hashed(run, case)
            if not expected[stage]:
                raise RuntimeError(f"{stage} left no results")
        for number, (stage, who, name, early) in enumerate(islice(cycle(cases()), kills)):
            if stage not in stages:
                continue
            title = f"stage {number} {stage} {who} {name}{' early' if early else ''}"
            if title in done:
                continue
            shutil.rmtree(run)
            shutil.copytree(before / stage, run)
            row = disturbed(STAGES[stage], who, name, settings, run, usual[stage], early)
            identical = hashed(run, STAGES[stage]) == expected[stage]
            if not row["struck"]:  # the stage ended before there was anything to strike
                continue
            head = {
                "date": datetime.date.today().isoformat(),
                "run": title,
                "kind": "stage",
                "stage": stage,
                "who": who,
                "signal": name,
            }
            keep(head | {"identical": identical} | row)


def main(kills: int, folder: Path, stages: Sequence[str] = tuple(STAGES)) -> None:
    """Strikes `stages`; goes on with the rows in the result file, which keeps its others."""
    stored = json.loads((RESULTS / "faults.json").read_text())
    rows: list[dict] = stored["rows"]

    def keep(row: dict) -> None:
        rows.append(row)
        ours = [one for one in rows if one["kind"] == "stage"]
        summary = stored["summary"] | {
            "stage_kills": len(ours),
            "stage_identical": sum(one["identical"] for one in ours),
            "stage_left": sum(len(one["left"]) for one in ours),
            "stage_hangs": sum(None in one["statuses"] for one in ours),
            "stage_tracebacks": sum(one["traceback"] for one in ours),
        }
        # Under the head of the other rows, which were measured on another day; these have their own.
        (RESULTS / "faults.json").write_text(as_text(stored | {"rows": rows, "summary": summary}))

    measure(kills, folder, stages, keep, {row["run"] for row in rows})
