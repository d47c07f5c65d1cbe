"""Metrics against a ground truth: did the edit happen, and did the rest stay?

Images are uint8 RGB (h, w, 3), all of one size.
"""

from dataclasses import dataclass

import numpy as np

from v4e.language.tasks import TASKS

CHANGED = 2  # of 255: a pixel that differs by more is part of the edit
SUCCESS = 0.25  # share of the source's squared error inside the mask that an edit must get below


@dataclass(frozen=True, kw_only=True)
class Score:
    """One edit's figures."""

    task: str
    success: bool
    edit_l1: float  # mean absolute distance to the ground truth inside the mask, in [0, 1]
    preserve_psnr: float | None  # dB to the source outside the mask; None where the mask covers all


def edit_mask(source: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Bool (h, w): the pixels that the edit is to change."""
    return np.abs(source.astype(np.int16) - truth).max(-1) > CHANGED


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the PSNR of 8-bit values, in dB; 100 where they are equal."""
    mse = np.mean((a.astype(float) - b) ** 2)
    return float(10 * np.log10(255**2 / mse)) if mse else 100.0


def score(task: str, source: np.ndarray, truth: np.ndarray, edit: np.ndarray, preserve_db: float) -> Score:
    """Success: the squared error inside the mask falls below a quarter of the source's, and the rest keeps
    `preserve_db` to the source.

    Raises:
        ValueError: source and ground truth are the same image.
    """
    mask = edit_mask(source, truth)
    if not mask.any():
        raise ValueError("source and ground truth are the same image: there is no edit to score")
    inside, target, start = (x[mask].astype(float) for x in (edit, truth, source))
    preserve = psnr(edit[~mask], source[~mask]) if not mask.all() else None
    done = ((inside - target) ** 2).mean() < SUCCESS * ((start - target) ** 2).mean()
    return Score(
        task=task,
        success=bool(done and (preserve is None or preserve >= preserve_db)),
        edit_l1=float(np.abs(inside - target).mean() / 255),
        preserve_psnr=preserve,
    )


def summarize(scores: list[Score]) -> dict:
    """``{"overall": {...}, "by_task": {task: {...}}}``, tasks in Table 1's order."""
    tasks = {t: [s for s in scores if s.task == t] for t in TASKS}
    return {"overall": _means(scores), "by_task": {t: _means(s) for t, s in tasks.items() if s}}


def _means(scores: list[Score]) -> dict:
    kept = [s.preserve_psnr for s in scores if s.preserve_psnr is not None]
    return {
        "success": round(float(np.mean([s.success for s in scores])), 4),
        "edit_l1": round(float(np.mean([s.edit_l1 for s in scores])), 4),
        "preserve_psnr": round(float(np.mean(kept)), 2) if kept else None,
        "n": len(scores),
    }
