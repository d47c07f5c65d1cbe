"""The editing model of a benchmark, its settings, and the items that it has yet to edit: its manifest and batches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch

from v4e.config import Config, decided_by
from v4e.evaluation.suites.items import SuiteItem
from v4e.method.flow import sample_seed
from v4e.wan import GRID


@dataclass(frozen=True, kw_only=True)
class SuiteModel:
    """An editor: ours, or a diffusers edit pipeline."""

    name: str
    folder: str
    ours: bool  # Wan I2V through v4e.editing.editor
    text: str = "instruction"  # or "caption": told Table 1's template


def manifest(config: Config, model: SuiteModel, weights: str, data: dict[str, str]) -> dict[str, object]:
    """Returns everything that decides the edits. They are made again when any of it changes."""
    return {
        "model": model.name,
        "folder": model.folder,
        "weights": weights,
        "text": model.text,
        "settings": decided_by(config, "benchmark edits" if model.ours else "foreign edits", models=False),
        "seeds": "v4e.method.flow.sample_seed(run.seed, '<language>/<key>', 0)",
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        "data": data,
    }


def seed_of(config: Config, item: SuiteItem) -> int:
    return sample_seed(config.run.seed, f"{item.language}/{item.key}", 0)


def size_for(width: int, height: int, area: int) -> tuple[int, int]:
    """(height, width) on Wan's grid, near to `area` and to the image's aspect. The whole image is kept, unlike in
    training: the judge compares it with the whole source."""
    ratio = width / height
    sides = math.sqrt(area / ratio), math.sqrt(area * ratio)
    tall, wide = (max(GRID, round(side / GRID) * GRID) for side in sides)
    return tall, wide


def batches(items: Sequence[SuiteItem], sizes: Sequence[tuple[int, int]], batch: int) -> list[list[SuiteItem]]:
    """Returns the items that lack an edit, in forwards of one size.

    Forwards are cut before finished items are left out, so a resumed run has the same forwards, to the bit. Of rows
    that share a file the last one edits it, like in the official code.
    """
    last = {item.edited: (item, size) for item, size in zip(items, sizes, strict=True)}
    groups: dict[tuple[int, int], list[SuiteItem]] = {}
    for item, size in last.values():
        groups.setdefault(size, []).append(item)
    cuts = [group[at : at + batch] for group in groups.values() for at in range(0, len(group), batch)]
    return [cut for cut in cuts if not all(Path(item.edited).exists() for item in cut)]
