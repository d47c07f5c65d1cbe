"""The gate of World 2's family: does it choose, in steps, what a mean cannot, and does the base lack spatial edits?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from v4e.config import Eval
from v4e.evaluation.metrics.choices import Ruling, judge, same_outcome, shares
from v4e.evaluation.metrics.exact import psnr
from v4e.language.tasks import TASKS
from v4e.models.tiny_sizes import SECOND, TinySizes
from v4e.tiny.pretrain.gate import clips_of
from v4e.tiny.world2 import Record, make_records
from v4e.tiny.world2.edits import SPATIAL

VAE_DB = 27.0  # of the last frame
TEACHER = 0.9  # of the ceiling
TEMPORAL_LEAST, SPATIAL_LEAST, SPATIAL_MOST = 0.7, 0.1, 0.4  # of the ceiling, for the base told by caption
COMMITTED_AT_1, COMMITTED_AT_8, MEANS_AT_8 = 0.1, 0.6, 0.15  # of open edits of temporal tasks, for the base
EQUAL = 0.05  # difference of success on closed edits up to which two numbers of steps are equal


@dataclass(frozen=True, kw_only=True)
class OpenResult:
    """The edits that one stage made of validation records, and the judge's rulings."""

    records: list[Record]
    clips: np.ndarray  # uint8 (n, P, S, S, 3)
    rulings: list[Ruling]

    def table(self) -> dict[str, dict]:
        """Returns the shares of open and of closed edits, and of all edits of each task."""
        chosen = list(zip(self.records, self.rulings, strict=True))
        groups = {
            "open": lambda r: r.open,
            "open, temporal": lambda r: r.open and r.task not in SPATIAL,
            "closed": lambda r: not r.open,
        }
        groups |= {task: lambda r, task=task: r.task == task for task in TASKS}
        return {name: shares([ruling for record, ruling in chosen if group(record)]) for name, group in groups.items()}

    def committed(self, tasks: Sequence[str] = TASKS) -> float:
        """Returns the mean over `tasks` of the share of edits that commit."""
        table = self.table()
        return float(np.mean([table[task]["committed"] for task in tasks]))

    def __str__(self) -> str:
        table = self.table()
        parts = [f"{name} committed {table[name]['committed']:.2f}" for name in ("open", "closed")]
        parts.append(f"mean-like {table['open']['mean-like']:.2f}")
        return ", ".join(parts) + "; " + " ".join(f"{task} {table[task]['committed']:.2f}" for task in TASKS)


def records_of(per_task: int, sizes: TinySizes = SECOND) -> list[Record]:
    """Returns `per_task` validation edits of each task, one of each scene."""
    return [
        make_records("val", task, index, size=sizes.pixels, frames=sizes.frames)[0]
        for task in TASKS
        for index in range(per_task)
    ]


def run(
    work: Path,
    stage: str,
    records: list[Record],
    sizes: TinySizes = SECOND,
    *,
    text: str = "caption",
    steps: int = 8,
    seed: int = 0,
) -> OpenResult:
    """Judges `stage` ("vae", "base" or "teacher"), told by ``caption``, ``resolving`` or ``instruction``."""
    frames, said = np.stack([r.frames for r in records]), [getattr(r, text) for r in records]
    clips = clips_of(work, stage, frames, said, sizes, steps=steps, seed=seed)
    rulings = [
        judge(r.source, r.outcomes, r.prior, c[-1], Eval().preserve_db) for r, c in zip(records, clips, strict=True)
    ]
    return OpenResult(records=records, clips=clips, rulings=rulings)


def last_frame_psnr(vae: OpenResult) -> float:
    """Returns the PSNR (dB) of the VAE's last frame, as a mean over clips."""
    return float(np.mean([psnr(c[-1], r.edit) for r, c in zip(vae.records, vae.clips, strict=True)]))


def variety(results: Sequence[OpenResult]) -> float:
    """Returns how often two seeds choose the same outcome, over open edits; `results` differ in their seed alone."""
    every = zip(results[0].records, *(result.rulings for result in results), strict=True)
    return same_outcome([[ruling.outcome for ruling in rulings] for record, *rulings in every if record.open])


def shortfalls(vae: OpenResult, teacher: OpenResult, base_1: OpenResult, base_8: OpenResult) -> list[str]:
    """Lists the gates that a family misses; [] is a pass. `base_1` is the base with one step of sampling."""
    temporal = [task for task in TASKS if task not in SPATIAL]
    found: list[str] = []

    def gate(name: str, value: float, least: float = 0.0, most: float = 1.0) -> None:
        if not least <= value <= most:
            found.append(f"{name}: {value:.2f}, expected {least:.2f} to {most:.2f}")

    if (db := last_frame_psnr(vae)) < VAE_DB:
        found.append(f"VAE: last frame {db:.1f} dB, expected {VAE_DB:.0f}")
    ceiling, taught, one, eight = (result.table() for result in (vae, teacher, base_1, base_8))
    for group in ("open", "closed"):
        gate(f"teacher, {group}", taught[group]["committed"], TEACHER * ceiling[group]["committed"])
    gate("base, temporal tasks", base_8.committed(temporal), TEMPORAL_LEAST * vae.committed(temporal))
    top = vae.committed(SPATIAL)
    gate("base, spatial tasks", base_8.committed(SPATIAL), SPATIAL_LEAST * top, SPATIAL_MOST * top)
    one_open, eight_open = one["open, temporal"], eight["open, temporal"]
    gate("base, open, one step", one_open["committed"], most=COMMITTED_AT_1)
    gate("base, open, 8 steps", eight_open["committed"], COMMITTED_AT_8)
    gate("base, open, 8 steps, mean-like", eight_open["mean-like"], most=MEANS_AT_8)
    difference = abs(one["closed"]["success"] - eight["closed"]["success"])
    gate("base, closed, one step against 8", difference, most=EQUAL)
    return found
