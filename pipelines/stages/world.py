"""Draws the evolution world, or writes a part of it as triplets.

v4e world sheet=world.png            clips of each of the 11 tasks, as a picture
v4e world out=folder per_task=80     <split>.parquet in OmniEdit's schema

With world=world2 the sheet shows all valid outcomes of an edit, and <split>-outcomes.parquet holds them.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from v4e.config.commands import WorldOptions
from v4e.language.tasks import TASKS
from v4e.tiny import world2
from v4e.tiny.world import FRAMES, SIZE, make_triplets
from v4e.tiny.world.write import write_split
from v4e.tiny.world2 import write as world2_write
from v4e.tiny.world2.sheet import sheet as outcomes

ZOOM = 3
TEXT_HEIGHT = 14


def draw(path: Path, split: str, per_task: int, seed: int) -> None:
    """Draw a contact sheet: a row an edit, its instruction above the frames of its clip."""
    records = list(make_triplets(split, per_task, seed))
    columns = per_task
    cell_w, cell_h = FRAMES * SIZE * ZOOM + 8, SIZE * ZOOM + TEXT_HEIGHT + 4
    page = Image.new("RGB", (columns * cell_w, len(records) // columns * cell_h), "white")
    draw = ImageDraw.Draw(page)
    tasks = len(records) // columns
    for i, record in enumerate(records):
        x, y = i // tasks * cell_w, i % tasks * cell_h
        draw.text((x + 2, y + 1), f"{record.task}: {record.instruction}", fill="black")
        strip = Image.fromarray(np.concatenate(list(record.frames), 1))
        strip = strip.resize((strip.width * ZOOM, strip.height * ZOOM), Image.Resampling.NEAREST)
        page.paste(strip, (x, y + TEXT_HEIGHT))
    page.save(path)
    print(f"{path}: {len(records)} edits of split {split}")


def draw_outcomes(path: Path, split: str, per_task: int, seed: int) -> None:
    """Draw the sheet of WorldOptions 2: `per_task` edits of each task, tasks together."""
    records = [world2.make_records(split, task, index, seed)[0] for task in TASKS for index in range(per_task)]
    outcomes(records).save(path)
    print(f"{path}: {len(records)} edits of split {split}")


def run(options: WorldOptions) -> None:
    """Draw or write what `options` names.

    Raises:
        ValueError: an option is wrong, or there is nothing to do.
    """
    sheet = Path(options.sheet)
    if options.per_task < 1:
        raise ValueError(f"per_task={options.per_task}: expected at least 1")
    if options.sheet and sheet.suffix.lower() != ".png":
        raise ValueError(f"sheet={sheet}: expected the name of a PNG, e.g. sheet=world.png")
    if options.sheet and not sheet.parent.is_dir():
        raise ValueError(f"sheet={sheet}: {sheet.parent} is no folder: make it first, or choose another")
    if not (options.sheet or options.out):
        raise ValueError("nothing to do: expected sheet=world.png or out=folder")
    second = options.world == "world2"
    if options.sheet:
        (draw_outcomes if second else draw)(sheet, options.split, options.per_task, options.seed)
    if options.out:
        path = Path(options.out) / f"{options.split}.parquet"
        write = world2_write.write_split if second else write_split
        write(str(path), options.split, options.per_task, options.seed)
        print(path)
