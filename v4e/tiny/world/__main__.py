"""``python -m v4e.tiny.world --sheet out.png`` draws clips of each task; ``--out folder`` writes a split as Parquet."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from v4e.tiny.world import FRAMES, SIZE, SPLITS, make_triplets
from v4e.tiny.world.write import write_split

ZOOM = 3
TEXT_HEIGHT = 14


def sheet(path: Path, split: str, per_task: int, seed: int) -> None:
    """A contact sheet: a row an edit, its instruction above the frames of its clip."""
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m v4e.tiny.world", description=__doc__)
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this PNG")
    parser.add_argument("--out", type=Path, help="write <split>.parquet below this folder, in OmniEdit's schema")
    parser.add_argument("--split", choices=SPLITS[1:], default="train")
    parser.add_argument("--per-task", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.per_task < 1:
        parser.error(f"--per-task {args.per_task}: expected at least 1")
    if args.sheet and args.sheet.suffix.lower() != ".png":
        parser.error(f"--sheet {args.sheet}: expected the name of a PNG, e.g. sheet.png")
    if args.sheet and not args.sheet.parent.is_dir():
        parser.error(f"--sheet {args.sheet}: {args.sheet.parent} is no folder: make it first, or choose another")
    if not (args.sheet or args.out):
        parser.error("nothing to do: expected --sheet out.png or --out folder")
    if args.sheet:
        sheet(args.sheet, args.split, args.per_task, args.seed)
    if args.out:
        path = args.out / f"{args.split}.parquet"
        write_split(str(path), args.split, args.per_task, args.seed)
        print(path)


if __name__ == "__main__":
    main()
