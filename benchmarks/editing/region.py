"""The region of an edit on the world's exact masks, and what keeping the rest of the picture costs.

`python -m benchmarks.editing.region [model=FOLDER] [text=instruction] [split=heldout] [per_task=20] [hold=no]` edits
records of the tiny world and writes the result after each round of tasks. `split=val` writes nothing: it prints what
each threshold gives there. The one in v4e/editing/region.py was chosen so. `hold=yes` makes each edit twice, the second
time with the latents outside the exact mask held.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from scipy import stats

from benchmarks.support.result import write_result
from v4e.editing import region
from v4e.editing.editor import Editor
from v4e.editing.finish import Edit
from v4e.editing.settings import EditSettings
from v4e.evaluation.metrics.exact import Score, psnr, score
from v4e.language.tasks import TASKS
from v4e.tiny.world import SIZE, Record, make_record, scene_rng, visible_edit

GLOBAL = ("background", "style", "tone")
PRESERVE_DB = 20.0  # as in the evaluation of a run
STRENGTHS = np.linspace(0, 1, 11)
STATES = 21  # exact states of an evolution that a picture at some strength is compared with
SETTINGS = EditSettings(height=SIZE, width=SIZE, preserve="auto")
Row = dict[str, float | str | bool | None]


def measured(record: Record, edit: Edit, held: Edit | None, states: np.ndarray) -> Row:
    """Returns the figures of one edit; `edit` kept its region, and `held` was held outside the exact mask."""
    source, truth, plain, kept = record.source, record.edit, np.asarray(edit.clip[-1]), np.asarray(edit.image)
    found = np.asarray(edit.region)
    inside, mask = found >= 128, record.mask
    off, auto = (scored(record, picture) for picture in (plain, kept))
    hold = None if held is None else scored(record, np.asarray(held.clip[-1]))
    return {
        "task": record.task,
        "iou": float((inside & mask).sum() / (inside | mask).sum()),
        "inside": float((inside & mask).sum() / mask.sum()),
        "whole": bool(found.min() == 255),
        "bits_equal": bool((kept[found == 0] == source[found == 0]).all()),
        "success": off.success,
        "success_kept": auto.success,
        "success_held": hold and hold.success,
        "psnr_outside": off.preserve_psnr,
        "psnr_outside_kept": auto.preserve_psnr,
        "psnr_outside_held": hold and hold.preserve_psnr,
        "psnr_edit": psnr(plain, truth),
        "psnr_edit_kept": psnr(kept, truth),
        "spearman": spearman(record, edit, states),
    }


def scored(record: Record, picture: np.ndarray) -> Score:
    return score(record.task, record.source, record.edit, picture, PRESERVE_DB)


def spearman(record: Record, edit: Edit, states: np.ndarray) -> float:
    """The rank correlation of strength with the exact state that is nearest inside the mask; 0 if it never moves."""
    source, mask = Image.fromarray(record.source), record.mask
    exact = states[:, mask].astype(float)
    nearest = [
        int(((exact - np.asarray(region.at_strength(edit.clip, source, s))[mask]) ** 2).mean((1, 2)).argmin())
        for s in STRENGTHS
    ]
    return float(stats.spearmanr(STRENGTHS, nearest).statistic) if len({*nearest}) > 1 else 0.0


def exact_states(split: str, record: Record, index: int) -> np.ndarray:
    """The world's own evolution of a record in small steps, uint8 (STATES, S, S, 3)."""
    novel = split == "heldout" and index % 2 == 1
    edit, _ = visible_edit(scene_rng(split, record.task, index, 0), record.task, novel=novel)
    return edit.frames(STATES, SIZE)


def rounds(editor: Editor, text: str, split: str, per_task: int, hold: bool) -> Iterator[list[Row]]:
    """Yields the figures of one edit of each task, `per_task` times."""
    for index in range(per_task):
        records = [make_record(split, task, index, 0) for task in TASKS]
        images, texts = [Image.fromarray(r.source) for r in records], [getattr(r, text) for r in records]
        seeds = [index * len(TASKS) + k for k in range(len(TASKS))]
        edits, helds = editor.edit(images, texts, seeds, SETTINGS), [None] * len(TASKS)
        if hold:
            masks = [Image.fromarray(r.mask.astype(np.uint8) * 255) for r in records]
            helds = editor.edit(images, texts, seeds, replace(SETTINGS, preserve="off", hold=True), masks=masks)
        rows = zip(records, edits, helds, strict=True)
        yield [measured(record, *made, exact_states(split, record, index)) for record, *made in rows]


def means(rows: Iterable[Row]) -> dict[str, float]:
    rows = list(rows)
    kept = {key: [float(r[key]) for r in rows if r[key] is not None] for key in rows[0] if key != "task"}  # type: ignore[arg-type]
    return {key: round(fmean(values), 4) for key, values in kept.items() if values}


def summed(rows: list[Row]) -> dict[str, float]:
    local = [row for row in rows if row["task"] not in GLOBAL]
    whole = [bool(row["whole"]) == (row["task"] in GLOBAL) for row in rows]
    summary = {f"local_{key}": value for key, value in means(local).items()}
    summary |= {key: value for key, value in means(rows).items() if key.startswith(("success", "spearman", "bits"))}
    return summary | {"errors": region.ERRORS, "whole_recognised": round(fmean(whole), 4), "edits": len(rows)}


def main() -> None:
    given = dict(part.split("=", 1) for part in sys.argv[1:])
    model, text = given.get("model", "runs/demo/export/ema"), given.get("text", "instruction")
    split, per_task, hold = given.get("split", "heldout"), int(given.get("per_task", 20)), given.get("hold") == "yes"
    torch.set_num_threads(1)
    editor = Editor.load(model)
    for errors in (region.ERRORS,) if split == "heldout" else (1.0, 1.5, 2.0, 2.5, 3.0):
        region.ERRORS = errors
        rows: list[Row] = []
        for done in rounds(editor, text, split, per_task, hold):
            rows += done
            if split == "heldout":
                command = " ".join(["python -m benchmarks.editing.region", *sys.argv[1:]])
                by_task = [{"task": t, **means(r for r in rows if r["task"] == t)} for t in TASKS]
                write_result("region", command, by_task, summed(rows))
        print(summed(rows), flush=True)


if __name__ == "__main__":
    main()
