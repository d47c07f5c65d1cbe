"""Small synthetic edits for the fixtures: soft colors with a thing on them, and an instruction."""

from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from v4e.language.tasks import TASKS

COLORS = {"red": (200, 40, 40), "blue": (40, 70, 200), "green": (40, 150, 60), "yellow": (220, 200, 50)}
THINGS = ("mug", "ball", "hat", "lamp", "vase", "kite", "car", "boat")
PHRASES = {  # of each task, as people write them; c and d are colors, t and u things
    "addition": ("add a {c} {t} on the left", "put a small {c} {t} beside the {u}", "insert a {t} next to the {u}"),
    "removal": ("remove the {c} {t}", "erase the {t} on the right", "get rid of the {t}"),
    "replacement": ("replace the {t} with a {u}", "swap the {t} for a {u}"),
    "background": ("change the background to a beach", "make the background a {c} studio backdrop"),
    "color": ("make the {t} {c}", "change the color of the {t} to {c}", "paint the {t} {c}"),
    "material": ("turn the {t} into wood", "make the {t} made of glass", "give the {t} a marble texture"),
    "text": ("change the text to '{t}'", 'write "{t}" on the {u}', "make the sign say '{u}'"),
    "motion": ("raise the man's {s} hand near the {t}", "make the woman smile at the {t}", "make the dog sit"),
    "portrait": ("smooth the skin of the man with the {t}", "give the woman {c} lipstick", "make his beard longer"),
    "style": ("turn the picture of the {t} into a watercolor", "make it a pencil sketch", "apply anime style"),
    "tone": ("give the photo a warm {c} tone", "change the season to winter", "make the image look warmer"),
}


@dataclass(frozen=True)
class Drawn:
    """One synthetic edit."""

    task: str
    instruction: str
    source: Image.Image
    edit: Image.Image


def drawn(task: str, key: str, size: tuple[int, int]) -> Drawn:
    """Draws an edit of `task`, another one for each `key`; `size` is width and height in pixels."""
    rng = Random(f"{task}/{key}")
    c, d = rng.sample(sorted(COLORS), 2)
    t, u = rng.sample(THINGS, 2)
    text = rng.choice(PHRASES[task]).format(c=c, d=d, t=t, u=u, s=rng.choice(("left", "right")))
    base, place = _soft(rng, size), (rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.6))
    thing = _with_thing(base, place, COLORS[d])
    source, edit = thing, thing
    if task == "addition":
        source, edit = base, _with_thing(base, place, COLORS[c])
    elif task == "removal":
        edit = base
    elif task == "replacement":
        edit = _with_thing(base, place, COLORS[c], round_=False)
    elif task == "background":
        edit = _with_thing(_soft(rng, size), place, COLORS[d])
    elif task in ("color", "portrait"):
        edit = _with_thing(base, place, COLORS[c])
    elif task == "material":
        edit = _with_thing(base, place, COLORS[d], stripes=True)
    elif task == "text":
        edit, at = thing.copy(), (place[0] * size[0], place[1] * size[1])
        ImageDraw.Draw(edit).text(at, u.upper(), fill="white", font_size=size[1] // 8)
    elif task == "motion":
        edit = _with_thing(base, (place[0], place[1] + 0.15), COLORS[d])
    elif task == "style":
        edit = ImageOps.posterize(thing, 2)
    else:
        edit = ImageEnhance.Brightness(thing).enhance(0.6)
    return Drawn(task, text, source, edit)


def drawings(key: str, per_task: int, size: tuple[int, int], tasks: tuple[str, ...] = TASKS) -> list[Drawn]:
    """Draws `per_task` edits of each of `tasks`, sorted by task as in OmniEdit."""
    return [drawn(task, f"{key}/{number}", size) for task in tasks for number in range(per_task)]


def _soft(rng: Random, size: tuple[int, int]) -> Image.Image:
    """Draws clouds of color, others for each call."""
    coarse = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def _with_thing(
    base: Image.Image, place: tuple[float, float], color: tuple[int, ...], round_: bool = True, stripes: bool = False
) -> Image.Image:
    image, (width, height) = base.copy(), base.size
    box = (place[0] * width, place[1] * height, (place[0] + 0.3) * width, (place[1] + 0.3) * height)
    draw = ImageDraw.Draw(image)
    (draw.ellipse if round_ else draw.rectangle)(box, fill=color)
    if stripes:
        for y in range(int(box[1]) + 8, int(box[3]) - 8, max(4, height // 32)):
            ends = (box[0] + 0.1 * width, y, box[2] - 0.1 * width, y)
            draw.line(ends, fill=(120, 80, 40), width=max(2, height // 64))
    return image
