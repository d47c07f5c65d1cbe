"""A training run as its user sees it: the plan before it, and its losses, time and alarms while it runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors.teacher.pool import await_pool
from pipelines.parts.prepared import PreparedRun
from v4e.config import Config, Teacher, objective
from v4e.files import journal
from v4e.files.progress import bar, say
from v4e.method.losses import TERMS
from v4e.models.sizes import dit
from v4e.planning.work_table import balance_row, stream_row
from v4e.training.mixing import mix_of, mix_rows
from v4e.watch.follow import Follower

POLL_S, POLL_REMOTE_S = 0.5, 5.0  # between looks at metrics.jsonl, in a folder and on another filesystem
LOSSES = ("loss", *TERMS)


def describe(run: PreparedRun, done: int) -> dict[str, str]:
    """The plan of a run of which `done` steps are trained, for people."""
    config, optim, data = run.config, run.config.optim, run.config.data
    headers = run.store.headers()
    mix = mix_of(run.ids, config, headers)
    samples = optim.batch * optim.accumulate
    every = {"steps": config.train.checkpoint_every, "minutes": config.train.checkpoint_minutes}
    often = [f"{number:g} {unit}" for unit, number in every.items() if number]
    rows = {
        "student": f"{config.models.student}, {run.student['num_layers']} blocks of width "
        f"{dit(run.student).width}, {config.train.dtype}",
        "data": f"{len(run.ids)} samples of {data.frames} x {data.height} x {data.width}",
        "steps": f"{optim.total} of {samples} samples ({optim.batch} a forward x {optim.accumulate}), "
        f"{optim.total * samples / float(mix.epoch_draws):.1f} epochs",
        "loss": objective(config.kd, config.tail, config.flow),
        "workers": f"{config.train.workers}",
        "checkpoints": f"every {' and '.join(often)}, the newest {config.train.keep} kept",
    }
    rows |= mix_rows(mix, headers, config)
    if run.distils:
        rows["teacher"] = (
            f"{config.models.teacher}, {config.teacher.replicas} replicas of {config.teacher.tp} ranks, "
            f"taps {config.kd.taps}"
        )
        rows["balance"] = balance_row(run.work, config)
        rows["stream"] = stream_row(run.work, config, data.latent_frames)
    rows |= {"doubt": config.doubt} if config.doubt else {}
    rows["start"] = f"step {done}, from its checkpoint" if done else "the beginning"
    return rows


def report_start(pool: ActorHandle, teacher: Teacher) -> None:
    """Shows from a thread what a pool that starts is waiting for; the workers wait for it too and raise its error."""

    def report() -> None:
        with suppress(RuntimeError, RayError):
            await_pool(pool, teacher, say)

    threading.Thread(target=report, daemon=True).start()


@contextmanager
def watching(uri: str, follower: Follower) -> Iterator[None]:
    """Shows the run whose journal is at `uri`: a bar, every ``train.log_every`` steps its losses, and alarms."""
    config, done, finished = follower.config, follower.done, threading.Event()

    def watch() -> None:
        offset, shown = 0, done
        window: list[journal.Record] = []
        with bar("training", config.optim.total - done, unit="steps") as advance:
            while True:
                last_look = finished.is_set()
                records, offset = journal.follow(uri, offset)
                for record in records:
                    if record["step"] <= shown:  # of an earlier run, or done again after a failure
                        continue
                    shown = record["step"]
                    advance(1, "  ".join(f"{term} {record[term]:.4f}" for term in LOSSES if term in record))
                    window.append(record)
                    if shown % config.train.log_every == 0:
                        say(summary(window, config))
                        window.clear()
                follower.see(records)
                if last_look:
                    return
                finished.wait(POLL_REMOTE_S if "://" in uri else POLL_S)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def summary(window: list[journal.Record], config: Config) -> str:
    """One line on the steps of `window`."""
    means = [f"{term} {sum(r[term] for r in window) / len(window):.4f}" for term in LOSSES if term in window[-1]]
    seconds = sum(r["seconds"] for r in window)
    samples = len(window) * config.optim.batch * config.optim.accumulate
    return (
        f"step {window[-1]['step']}/{config.optim.total}  {'  '.join(means)}  {samples / seconds:.1f} samples/s  "
        f"{journal.bottleneck(window)}"
    )
