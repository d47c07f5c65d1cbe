"""The pretraining corpus of a world on disk, drawn once by several processes."""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from v4e.models.tiny_sizes import FIRST, SECOND, TinySizes
from v4e.tiny.world import corpus as first
from v4e.tiny.world2 import corpus as second

World = Literal["world", "world2"]
SIZES: dict[World, TinySizes] = {"world": FIRST, "world2": SECOND}  # of each world's own family


def write_corpus(
    folder: Path,
    clips: int,
    seed: int,
    workers: int,
    world: World = "world",
    sizes: TinySizes = FIRST,
    chunk: int = 500,
) -> None:
    """Writes ``clips.npy`` (N, P, S, S, 3) uint8, ``regions.npy`` (N, S, S) bool and ``texts.json``; done once.

    A region is where a clip changes. Where an edit is open, it is where any of its outcomes would.

    Raises:
        ValueError: the first world has clips of one size and length only.
    """
    if world == "world" and (sizes.pixels, sizes.frames) != (FIRST.pixels, FIRST.frames):
        raise ValueError(
            f"the first world has {FIRST.frames} frames of {FIRST.pixels} pixels, got {sizes.frames} of "
            f"{sizes.pixels}: set world=world2"
        )
    if (folder / "texts.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shape = (clips, sizes.frames, sizes.pixels, sizes.pixels, 3)
    out = np.lib.format.open_memmap(folder / "clips.npy", "w+", np.uint8, shape)
    regions = np.zeros((clips, *shape[2:4]), bool)
    texts: list[dict] = []
    starts = range(0, clips, chunk)
    with ProcessPoolExecutor(workers) as pool:
        counts = [min(chunk, clips - start) for start in starts]
        chunks = pool.map(partial(_chunk, seed=seed, world=world, sizes=sizes), starts, counts)
        for start, (frames, changed, rows) in zip(starts, chunks, strict=True):
            out[start : start + chunk], regions[start : start + chunk] = frames, changed
            texts += rows
    out.flush()
    np.save(folder / "regions.npy", regions)
    (folder / "texts.json").write_text(json.dumps(texts))


def _chunk(
    start: int, count: int, seed: int, world: World, sizes: TinySizes
) -> tuple[np.ndarray, np.ndarray, list[dict]]:
    made = [
        first.make_clip(i, seed) if world == "world" else second.make_clip(i, seed, sizes.pixels, sizes.frames)
        for i in range(start, start + count)
    ]
    clips, regions, texts = zip(*made, strict=True)
    return np.stack(clips), np.stack(regions), list(texts)
