"""The plan in words: rows of the tables that people see before a run and after it."""

from collections.abc import Sequence

from v4e.config import Config
from v4e.files.journal import Record
from v4e.planning.work import MIB, Pace, Reads, SampleWork, pace_of
from v4e.wire import SCALE

RARELY = 0.05  # of the workers' time: a wait that nobody need do anything about


def balance_row(work: SampleWork, config: Config) -> str:
    """Teacher against student, by FLOPs."""
    tp, workers = config.teacher.tp, config.train.workers
    whose = "the teacher's work" if tp == 1 else f"the work of each of a replica's {tp} ranks"
    return (
        f"{whose} is {work.balance:.2f} of the student's: where both reach the same TFLOP/s a rank, a replica keeps "
        f"up with {1 / work.balance:.1f} workers, and {work.balance * workers:.2f} replicas with {_count(workers)}"
    )


def stream_row(work: SampleWork, config: Config, frames: int) -> str:
    """Explains the size of a target, and how much of them is in memory at most; `frames` is F of the latents."""
    teacher, workers = config.teacher, config.train.workers
    taps, batch, tokens, width = work.shape_KBND
    target = work.target_bytes / MIB
    which = f"{frames} latent frames" if teacher.tokens == "all" else f"the last of {frames} latent frames"
    each = (
        f"2 bytes (bf16) x {width}" if teacher.payload == "bf16" else f"({width} + {SCALE}) bytes (fp8 and its scale)"
    )
    return (
        f"{target:.2f} MiB a target = {taps} taps x {batch} samples x {tokens} tokens ({which}) x {each}; "
        f"{target * config.optim.accumulate:.2f} MiB a step; at most {workers} ranks x {teacher.prefetch} ahead = "
        f"{target * workers * teacher.prefetch:.2f} MiB held"
    )


def work_row(reads: Reads, flops: int, samples_a_step: int) -> str:
    """One side's work."""
    return (
        f"{reads.clip} + {reads.text} text + {reads.image} image tokens, {_flops(flops)} a sample, "
        f"{_flops(flops * samples_a_step)} a step"
    )


def pace_rows(pace: Pace, config: Config, replicas: int) -> dict[str, str]:
    """Returns the rows of a predicted pace with `replicas`."""
    steps = config.optim.total
    least, most = config.teacher.replicas, config.teacher.most_replicas
    has = f"{least}" if least == most else f"{least} to {most}"
    rows = {
        "pace": f"{pace.step_s:.3g} s a step, {pace.samples_per_s:.3g} samples/s; "
        f"{steps} steps in {duration(steps * pace.step_s)}",
    }
    if config.kd.weight > 0:
        rows |= {
            "rate": f"{pace.mib_per_s:.1f} MiB/s of targets",
            "replicas": f"{pace.replicas} for {_count(config.train.workers)}; the pool has {has}",
            "wait": f"{pace.wait:.0%} of the students' time; replicas work {pace.busy:.0%} of theirs",
            "advice": advice(pace, pace.wait, pace.busy, config, replicas),
        }
    return rows


def compared(work: SampleWork, config: Config, records: Sequence[Record]) -> dict[str, str]:
    """A run's steps against its plan: the same FLOPs at the speed that the student turned out to have."""
    seconds, wait_s, io_s, teacher_s, mib = (
        sum(record[name] for record in records) for name in ("seconds", "wait_s", "io_s", "teacher_s", "mib")
    )
    targets = len(records) * config.optim.accumulate
    student_s = (seconds - wait_s - io_s) * config.train.workers / targets
    target_s = teacher_s / targets
    sizes = [max(1, int(record["replicas"])) for record in records]  # 0 while all of them start again
    replicas = sizes[-1]
    planned = pace_of(config, work.target_bytes, student_s, student_s * work.balance, replicas)
    found = pace_of(config, work.target_bytes, student_s, target_s, replicas)
    replica_s = sum(record["seconds"] * size for record, size in zip(records, sizes, strict=True))
    wait, busy = wait_s / seconds, teacher_s / replica_s
    return {
        "student": f"{(seconds - wait_s - io_s) / len(records):.3g} s a step, waiting and reading left out",
        "teacher": f"{target_s:.3g} s a target of {config.optim.batch} samples",
        "balance": f"{target_s / student_s:.2f} of the student's time for the teacher; {work.balance:.2f} by FLOPs",
        "stream": f"{mib / seconds:.1f} MiB/s; {planned.mib_per_s:.1f} by the plan at this student's speed",
        "wait": f"{wait:.0%} of the students' time; {planned.wait:.0%} by the plan",
        "advice": advice(found, wait, busy, config, replicas),
    }


def advice(pace: Pace, wait: float, busy: float, config: Config, replicas: int) -> str:
    """Suggests a change to a run: `wait` is the share of the workers' time that is lost, `busy` that of the `replicas`.

    `pace` is the one that its seconds a batch and a target would give by themselves.
    """
    teacher, idle = config.teacher, max(0.0, 1 - busy)
    if wait <= RARELY:
        fewer = (
            f"; teacher.replicas={pace.replicas} would do" if pace.replicas < min(replicas, teacher.replicas) else ""
        )
        return f"the teacher keeps up and is idle {idle:.0%} of the time{fewer}"
    if pace.replicas > replicas:
        key = "max_replicas" if pace.replicas > teacher.most_replicas else "replicas"  # the pool grows, but not at once
        return f"the teacher is the bottleneck: teacher.{key}={pace.replicas} would keep up"
    if pace.prefetch > teacher.prefetch:
        return f"the students wait for what was requested too late: teacher.prefetch={pace.prefetch} would hide it"
    return (
        f"the teacher is idle {idle:.0%} of the time, so the wait is not for its work: "
        "look at the transfer (teacher.payload, teacher.tokens) and at what else runs on these machines"
    )


def _count(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"


def duration(seconds: float) -> str:
    """Formats seconds in the unit that people would use."""
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _flops(number: int) -> str:
    return f"{number / 1e12:.4g} TFLOP" if number >= 1e12 else f"{number / 1e9:.4g} GFLOP"
