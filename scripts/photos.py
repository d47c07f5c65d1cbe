"""Triplets of real photographs: crops, and edits of them by formulas, so that the right answer is known to the pixel.

Writes train.parquet and heldout.parquet in OmniEdit's schema, and sheet.png to look at, into OUT; no photograph is in
both files. Background and portrait are left out: no formula does these to a photograph exactly.

    python scripts/photos.py runs/photos/triplets
    python pipelines/demo.py run.dir=runs/photos data.train=runs/photos/triplets/train.parquet \\
        data.heldout=runs/photos/triplets/heldout.parquet
"""

import argparse
import colorsys
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image, ImageDraw, ImageFilter
from rich.table import Table

from v4e.data.quality import BadTriplet, decode_image
from v4e.data.write import write_triplets
from v4e.progress import console
from v4e.types import EditTriplet
from v4e.world.draw import FONT
from v4e.world.language import instruction
from v4e.world.scene import COLORS, INKS, SHAPES, SLOTS, WORDS, Thing

SIZE = 256  # pixels of a crop's side; the pipelines bring it to the recipe's size
MAX_PIXELS = 64_000_000  # of a photograph
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
BUNDLED = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png",
           "rocket.jpg")  # fmt: skip
TASKS = ("addition", "removal", "replacement", "color", "material", "text", "motion", "style", "tone")
ATTEMPTS = 20  # crops tried until an edit can be seen

LUMA = (0.299, 0.587, 0.114)  # Rec. 601
GRADES = {  # p -> M p + b of RGB in [0, 255], rounded and clipped: 3 rows of M, then b
    "warm": ((1.15, 0, 0), (0, 0.95, 0), (0, 0, 0.60), (20, 8, 0)),
    "cold": ((0.60, 0, 0), (0, 0.90, 0), (0, 0, 1.10), (0, 8, 25)),
    "dark": ((0.30, 0, 0), (0, 0.32, 0), (0, 0, 0.45), (0, 0, 0)),
    "bright": ((0.50, 0, 0), (0, 0.50, 0), (0, 0, 0.50), (127.5, 127.5, 127.5)),
    "sepia": ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131), (0, 0, 0)),
    "black and white": (LUMA, LUMA, LUMA, (0, 0, 0)),
}
BLACK_AND_WHITE = ("make the picture black and white", "turn the photo black and white", "apply a black-and-white look")
STYLES = ("pencil sketch", "watercolor", "pixel art", "pop art")
POP = ((64, 0, 115), (242, 26, 115), (255, 217, 26))  # shadows, middle, lights
HUES = {name: colorsys.rgb_to_hsv(*COLORS[name])[0] for name in ("red", "orange", "yellow", "green", "blue", "purple")}
RECOLORS = ("red", "green", "blue", "purple")  # that any shade is recognised as

RADIUS = 0.17  # of a sticker, in units of the side
FINE = 4  # drawn so many times larger
INK = (20, 20, 26)
BOARD = (250, 250, 245)


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
            raise ValueError("no photographs: install scikit-image (pip install scikit-image) or pass --photos FOLDER")
        data = Path(spec.origin).parent / "data"
        paths, where = [data / name for name in BUNDLED if (data / name).is_file()], "scikit-image"
    files: dict[bytes, str] = {}
    for path in paths:
        files.setdefault(path.read_bytes(), path.name)
    if len(files) < 2:
        raise ValueError(f"{len(files)} photographs in {where}: expected at least 2, one for each split")
    return [Photo(name, decode_image(data, name, MAX_PIXELS)) for data, name in files.items()]


def split_photos(photos: list[Photo], seed: int) -> tuple[list[Photo], list[Photo]]:
    """(train, held out): a quarter of the photographs, at least one, is held out."""
    shuffled = Random(seed).sample(photos, len(photos))
    held = max(1, len(photos) // 4)
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
    """Whether a thumbnail of 32 pixels still shows the edit, in 1 % of its area or more."""
    before, after = (np.asarray(Image.fromarray(x).reduce(SIZE // 32), np.int16) for x in (source_HWC, edit_HWC))
    return bool((np.abs(before - after).max(-1) > 24).mean() >= 0.01)


def make_edit(task: str, photo_HWC: np.ndarray, rng: Random) -> tuple[np.ndarray, np.ndarray, str]:
    """(source, edit, instruction) of a crop. What a sticker or sign is changed on, has it in the source."""
    slots = rng.sample(list(SLOTS), 2)
    shapes, colors = rng.sample(SHAPES, 2), rng.sample(list(COLORS), 2)
    thing = Thing(shapes[0], colors[0], "plain", slots[0])
    named = {"old": f"{thing.color} {thing.shape}"}
    match task:
        case "addition":
            text = instruction(task, {"new": named["old"], "slot": thing.slot}, rng)
            return photo_HWC, stick(photo_HWC, thing), text
        case "removal":
            return stick(photo_HWC, thing), photo_HWC, instruction(task, named, rng)
        case "replacement":
            named["new"] = f"{colors[1]} {shapes[1]}"
            after = replace(thing, shape=shapes[1], color=colors[1])
        case "color":
            if areas := colored_areas(photo_HWC):
                name, mask_HW = areas[0]
                color = rng.choice([c for c in RECOLORS if c != name])
                text = instruction(task, {"old": f"{name} area", "color": color}, rng)
                return photo_HWC, recolor(photo_HWC, mask_HW, HUES[color] - HUES[name]), text
            named["color"] = colors[1]
            after = replace(thing, color=colors[1])
        case "material":
            named["material"] = rng.choice(("striped", "checkered"))
            after = replace(thing, material=named["material"])
        case "motion":
            named["slot"] = slots[1]
            after = replace(thing, slot=slots[1])
        case "text":
            words, ink, top = rng.sample(WORDS, 2), rng.choice(list(INKS)), rng.choice((1, 6, 12))
            source_HWC, edit_HWC = (put_sign(photo_HWC, word, ink, top) for word in words)
            return source_HWC, edit_HWC, instruction(task, {"old_word": words[0], "word": words[1]}, rng)
        case "style":
            style = rng.choice(STYLES)
            return photo_HWC, stylize(photo_HWC, style), instruction(task, {"style": style}, rng)
        case "tone":
            tone = rng.choice(list(GRADES))
            monochrome = tone == "black and white"
            text = rng.choice(BLACK_AND_WHITE) if monochrome else instruction(task, {"mood": tone}, rng)
            return photo_HWC, grade(photo_HWC, tone), text
        case _:
            raise ValueError(f"no edit {task!r} of photographs: expected one of {', '.join(TASKS)}")
    return stick(photo_HWC, thing), stick(photo_HWC, after), instruction(task, named, rng)


def outline(shape: str) -> list[tuple[float, float]]:
    """A shape's corners, within the unit circle, y down."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    match shape:
        case "circle":
            x, y = 0.92 * np.cos(turn), 0.92 * np.sin(turn)
        case "square":
            x, y = np.array((-0.8, 0.8, 0.8, -0.8)), np.array((-0.8, -0.8, 0.8, 0.8))
        case "triangle":
            x, y = np.array((0, 0.98, -0.98)), np.array((-0.95, 0.75, 0.75))
        case "star":
            turn, far = np.linspace(0, 2 * np.pi, 10, endpoint=False), np.where(np.arange(10) % 2, 0.45, 1)
            x, y = far * np.sin(turn), -far * np.cos(turn)
        case "heart":
            x = np.sin(turn) ** 3
            y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 17
        case "cross":
            a, b = 0.34, 0.95
            x = np.array((-a, a, a, b, b, a, a, -a, -a, -b, -b, -a))
            y = np.array((-b, -b, -a, -a, a, a, b, b, a, a, -a, -a))
        case _:
            raise ValueError(f"unknown shape {shape!r}: expected one of {', '.join(SHAPES)}")
    return list(zip(x.tolist(), y.tolist(), strict=True))


def stick(photo_HWC: np.ndarray, thing: Thing) -> np.ndarray:
    """`thing` drawn over the photograph; pixels that it does not cover stay to the bit."""
    side = SIZE * FINE
    cx, cy = (side * c for c in SLOTS[thing.slot])
    points = [(cx + side * RADIUS * x, cy + side * RADIUS * y) for x, y in outline(thing.shape)]
    cover = Image.new("L", (side, side))
    ImageDraw.Draw(cover).polygon(points, fill=255)
    color = tuple(round(255 * c) for c in COLORS[thing.color])
    fill = Image.new("RGB", (side, side), color)
    cells = side // 16
    rows, columns = np.indices((side, side)) // cells
    if thing.material == "striped":
        fill.paste(BOARD, mask=Image.fromarray(rows % 2 == 1))
    elif thing.material == "checkered":
        fill.paste(INK, mask=Image.fromarray((rows + columns) % 2 == 1))
    pen = ImageDraw.Draw(fill)
    pen.line([*points, *points[:2]], fill=INK, width=side // 40, joint="curve")
    alpha_HWC = np.asarray(cover.reduce(FINE))[..., None] / 255
    return np.rint(photo_HWC + alpha_HWC * (np.asarray(fill.reduce(FINE), float) - photo_HWC)).astype(np.uint8)


def put_sign(photo_HWC: np.ndarray, word: str, ink: str, top: int) -> np.ndarray:
    """A white board of 13 x 7 cells with a word of three 3 x 5 letters; a cell is 1/20 of the side."""
    cell, left = SIZE // 20, 3
    signed = Image.fromarray(photo_HWC)
    pen = ImageDraw.Draw(signed)

    def cells(x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
        return (left + x) * cell, (top + y) * cell, (left + x + width) * cell - 1, (top + y + height) * cell - 1

    pen.rectangle(cells(0, 0, 13, 7), fill=BOARD, outline=INK, width=cell // 4)
    for i, letter in enumerate(word):
        for j, bit in enumerate(FONT[letter]):
            if bit == "1":
                color = tuple(round(255 * c) for c in INKS[ink])
                pen.rectangle(cells(1 + 4 * i + j % 3, 1 + j // 3, 1, 1), fill=color)
    return np.asarray(signed)


def colored_areas(photo_HWC: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(color, bool mask) of the saturated colors that fill between 4 % and 60 % of the photograph, largest first."""
    hue, saturation, value = np.moveaxis(rgb_to_hsv(photo_HWC / 255), -1, 0)
    away = np.abs((hue[..., None] - np.array(list(HUES.values())) + 0.5) % 1 - 0.5)
    nearest = np.where((saturation > 0.6) & (value > 0.3), away.argmin(-1), -1)
    masks = {}
    for i, name in enumerate(HUES):
        smooth = Image.fromarray((nearest == i).astype(np.uint8) * 255).filter(ImageFilter.MedianFilter(9))
        masks[name] = np.asarray(smooth) > 0
    found = [(name, mask) for name, mask in masks.items() if 0.04 <= mask.mean() <= 0.6]
    return sorted(found, key=lambda area: -area[1].mean())


def recolor(photo_HWC: np.ndarray, mask_HW: np.ndarray, turn: float) -> np.ndarray:
    """Hues inside the mask turned by `turn` of a full circle, their saturation and value kept."""
    hsv_ND = rgb_to_hsv(photo_HWC[mask_HW] / 255)
    hsv_ND[:, 0] = (hsv_ND[:, 0] + turn) % 1
    edit_HWC = photo_HWC.copy()
    edit_HWC[mask_HW] = np.rint(255 * hsv_to_rgb(hsv_ND))
    return edit_HWC


def grade(photo_HWC: np.ndarray, tone: str) -> np.ndarray:
    *matrix, offset = GRADES[tone]
    return np.rint(np.clip(photo_HWC @ np.array(matrix).T + offset, 0, 255)).astype(np.uint8)


def stylize(photo_HWC: np.ndarray, style: str) -> np.ndarray:
    photo, luma_HW = Image.fromarray(photo_HWC), photo_HWC @ np.array(LUMA)
    match style:
        case "pencil sketch":  # a negative's blur, dodged: flat areas turn white, edges stay dark
            blur = Image.fromarray(np.rint(luma_HW).astype(np.uint8)).filter(ImageFilter.GaussianBlur(SIZE / 40))
            lines_HW = np.clip(255 * luma_HW / (np.asarray(blur) + 1.0), 0, 255)
            return np.repeat(np.rint(lines_HW).astype(np.uint8)[..., None], 3, -1)
        case "watercolor":
            washes = np.asarray(photo.filter(ImageFilter.MedianFilter(9)).filter(ImageFilter.ModeFilter(9)))
            return np.rint(0.65 * washes + 0.35 * 255).astype(np.uint8)
        case "pixel art":
            return np.asarray(photo.reduce(SIZE // 16).resize(photo.size, Image.Resampling.NEAREST))
        case "pop art":
            level_HW = np.digitize(luma_HW, np.quantile(luma_HW, (1 / 3, 2 / 3)))
            return np.array(POP, np.uint8)[level_HW]
    raise ValueError(f"unknown style {style!r}: expected one of {', '.join(STYLES)}")


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


def write(out: Path, folder: Path | None, per_task: int, seed: int) -> None:
    """Makes and writes both splits and the sheet."""
    photos = dict(zip(("train", "heldout"), split_photos(read_photos(folder), seed), strict=True))
    splits = {name: list(make_triplets(group, per_task, seed)) for name, group in photos.items()}
    out.mkdir(parents=True, exist_ok=True)
    for name, triplets in splits.items():
        write_triplets(str(out / f"{name}.parquet"), triplets)
    turns = zip_longest(*splits.values())
    draw_sheet(out / "sheet.png", [t for turn in turns for t in turn if t is not None])
    show(splits, photos)
    console.print(f"{out}/train.parquet, heldout.parquet, sheet.png", highlight=False, soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER", help="of PNG, JPEG or WebP files; default scikit-image's"
    )
    parser.add_argument(
        "--per-task", type=int, default=4, metavar="N", help="edits of each task of each photograph (4)"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.per_task < 1:
        parser.error(f"--per-task is {args.per_task}: expected at least 1")
    if args.photos is not None and not args.photos.is_dir():
        parser.error(f"--photos {args.photos}: expected a folder")
    try:
        write(args.out, args.photos, args.per_task, args.seed)
    except (BadTriplet, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
