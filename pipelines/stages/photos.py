"""Triplets of real photographs: crops, and edits of them by formulas, so that the right answer is known to the pixel.

Writes train.parquet and heldout.parquet in OmniEdit's schema, and sheet.png to look at, into OUT; no photograph is in
both files. Background and portrait are left out: no formula does these to a photograph exactly.

    v4e photos runs/photos/triplets
    v4e demo run.dir=runs/photos data.train=runs/photos/triplets/train.parquet \\
        data.heldout=runs/photos/triplets/heldout.parquet
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw
from rich.table import Table

from pipelines.parts.photo_edits import SIZE, TASKS, make_edit
from v4e.config.commands import PhotosOptions
from v4e.data.quality import decode_image
from v4e.data.write import write_triplets
from v4e.files.progress import console
from v4e.types import EditTriplet

MAX_PIXELS = 64_000_000  # of a photograph
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
BUNDLED = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png", "rocket.jpg")
ATTEMPTS = 20  # crops tried until an edit can be seen


@dataclass(frozen=True)
class Photo:
    name: str
    image: Image.Image  # RGB


def read_photos(folder: Path | None) -> list[Photo]:
    """The photographs in `folder`, or those that scikit-image ships, by name; copies of a file count once.

    Raises:
        ValueError: fewer than two photographs, which cannot be split, or a file that is none.
    """
    if folder is not None:
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)
        where = str(folder)
    else:
        spec = find_spec("skimage")
        if spec is None or spec.origin is None:
            raise ValueError("no photographs: install scikit-image (pip install scikit-image) or set photos=FOLDER")
        data = Path(spec.origin).parent / "data"
        paths, where = [data / name for name in BUNDLED if (data / name).is_file()], "scikit-image"
    files: dict[bytes, str] = {}
    for path in paths:
        files.setdefault(path.read_bytes(), path.name)
    if len(files) < 2:
        raise ValueError(f"{len(files)} photographs in {where}: expected at least 2, one for each split")
    return [Photo(name, decode_image(data, name, MAX_PIXELS)) for data, name in files.items()]


def split_photos(photos: list[Photo], seed: int) -> tuple[list[Photo], list[Photo]]:
    """(train, held out): a quarter of the photographs, rounded up, is held out."""
    shuffled = Random(seed).sample(photos, len(photos))
    held = -(-len(photos) // 4)
    return shuffled[held:], shuffled[:held]


def make_triplets(photos: list[Photo], per_task: int, seed: int) -> Iterator[EditTriplet]:
    """`per_task` edits of each task of each photograph; tasks and photographs take turns."""
    for index in range(per_task):
        for photo in photos:
            for task in TASKS:
                if made := make_triplet(photo, task, index, seed):
                    yield made


def make_triplet(photo: Photo, task: str, index: int, seed: int) -> EditTriplet | None:
    """Edit `index` of `task`, a pure function of its arguments; None where no crop of `photo` shows one."""
    rng = Random(hashlib.blake2b(f"{photo.name}/{task}/{index}/{seed}".encode()).digest())
    for _ in range(ATTEMPTS):
        source_HWC, edit_HWC, text = make_edit(task, crop(photo.image, rng), rng)
        if visible(source_HWC, edit_HWC):
            return EditTriplet(
                id=f"{photo.name}-{task}-{index}",
                instruction=text,
                source=Image.fromarray(source_HWC),
                edit=Image.fromarray(edit_HWC),
                task=task,
            )
    return None


def crop(image: Image.Image, rng: Random) -> np.ndarray:
    """A square of the photograph, uint8 (SIZE, SIZE, 3): at least SIZE pixels where the photograph has so many."""
    most = min(image.size)
    side = rng.randint(min(SIZE, most), most)
    left, top = rng.randint(0, image.width - side), rng.randint(0, image.height - side)
    square = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    return np.asarray(square)


def visible(source_HWC: np.ndarray, edit_HWC: np.ndarray) -> bool:
    """True if a thumbnail of 32 pixels still shows the edit, in 2 % of its area or more."""
    before, after = (np.asarray(Image.fromarray(x).reduce(SIZE // 32), np.int16) for x in (source_HWC, edit_HWC))
    return bool((np.abs(before - after).max(-1) > 24).mean() >= 0.02)


def draw_sheet(path: Path, triplets: list[EditTriplet]) -> None:
    """A row a task, three pairs of source and edit with their instruction above."""
    cell, line = 160, 16
    width, height = 3 * (2 * cell + 12), cell + line + 6
    page = Image.new("RGB", (width, height * len(TASKS)), "white")
    pen = ImageDraw.Draw(page)
    for y, task in enumerate(TASKS):
        for x, triplet in enumerate([t for t in triplets if t.task == task][:3]):
            corner = x * (2 * cell + 12), y * height
            pen.text((corner[0] + 2, corner[1] + 2), f"{task}: {triplet.instruction}", fill="black")
            for i, side in enumerate((triplet.source, triplet.edit)):
                page.paste(side.resize((cell, cell)), (corner[0] + i * (cell + 2), corner[1] + line))
    page.save(path)


def show(splits: dict[str, list[EditTriplet]], photos: dict[str, list[Photo]]) -> None:
    counts = {name: Counter(t.task for t in triplets) for name, triplets in splits.items()}
    table = Table(title="triplets of photographs", title_justify="left")
    table.add_column("task")
    for name in splits:
        table.add_column(name, justify="right")
    for task in TASKS:
        table.add_row(task, *(str(count[task]) for count in counts.values()))
    table.add_section()
    table.add_row("all", *(str(count.total()) for count in counts.values()))
    table.add_row("photographs", *(str(len(group)) for group in photos.values()))
    console.print(table)


def run(options: PhotosOptions) -> None:
    """Write the triplets that `options` names, and a sheet of them.

    Raises:
        ValueError: an option is wrong, or there are too few photographs.
    """
    if options.per_task < 1:
        raise ValueError(f"per_task={options.per_task}: expected at least 1")
    if options.photos and not Path(options.photos).is_dir():
        raise ValueError(f"photos={options.photos}: expected a folder")
    write(Path(options.out), Path(options.photos) if options.photos else None, options.per_task, options.seed)


def write(out: Path, folder: Path | None, per_task: int, seed: int) -> None:
    """Makes and writes both splits and the sheet."""
    photos: dict[str, list[Photo]] = dict(
        zip(("train", "heldout"), split_photos(read_photos(folder), seed), strict=True)
    )
    splits = {name: list(make_triplets(group, per_task, seed)) for name, group in photos.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, triplets in splits.items():
        write_triplets(str(out / f"{name}.parquet"), triplets)
    turns = zip_longest(*splits.values())
    draw_sheet(out / "sheet.png", [t for turn in turns for t in turn if t is not None])
    show(splits, photos)
    console.print(f"{out}/train.parquet, heldout.parquet, sheet.png", highlight=False, soft_wrap=True)
