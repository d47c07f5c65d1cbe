"""Edits of photographs by formulas: stickers and signs drawn over them, hues turned, tones graded, styles computed.

Photographs are uint8 RGB, (SIZE, SIZE, 3).
"""

import colorsys
from dataclasses import replace
from random import Random

import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image, ImageDraw, ImageFilter

from v4e.tiny.world.draw import FONT
from v4e.tiny.world.language import instruction
from v4e.tiny.world.scene import COLORS, INKS, SHAPES, SLOTS, WORDS, Thing

SIZE = 256  # pixels of a crop's side; the pipelines bring it to the recipe's size
TASKS = ("addition", "removal", "replacement", "color", "material", "text", "motion", "style", "tone")
LUMA = (0.299, 0.587, 0.114)  # Rec. 601
GRADES = {  # p -> M p + b of RGB in [0, 255], rounded and clipped: 3 rows of M, then b
    "warm": ((1.15, 0, 0), (0, 0.95, 0), (0, 0, 0.60), (20, 8, 0)),
    "cold": ((0.60, 0, 0), (0, 0.90, 0), (0, 0, 1.10), (0, 8, 25)),
    "dark": ((0.30, 0, 0), (0, 0.32, 0), (0, 0, 0.45), (0, 0, 0)),
    "bright": ((0.50, 0, 0), (0, 0.50, 0), (0, 0, 0.50), (127.5, 127.5, 127.5)),
    "sepia": ((0.329, 0.646, 0.125), (0.254, 0.499, 0.097), (0.173, 0.340, 0.066), (0, 0, 0)),  # luma x 1.1, 0.85, 0.58
    "black and white": (LUMA, LUMA, LUMA, (0, 0, 0)),
}
BLACK_AND_WHITE = ("make the picture black and white", "turn the photo black and white", "apply a black-and-white look")
STYLES = ("pencil sketch", "watercolor", "pixel art", "pop art")
POP = ((64, 0, 115), (242, 26, 115), (255, 217, 26))  # shadows, middle, lights
HUES = {name: colorsys.rgb_to_hsv(*COLORS[name])[0] for name in ("red", "orange", "yellow", "green", "blue", "purple")}
UNSURE = 12 / 360  # of a full circle: hues nearer by less than this to one color than to the next
RECOLORS = ("red", "green", "blue", "purple")  # that any shade is recognised as

RADIUS = 0.17  # of a sticker, in units of the side
FINE = 4  # drawn so many times larger
INK = (20, 20, 26)
BOARD = (250, 250, 245)


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
    """A shape's corners, in units of its radius round its centre, y down; none is farther than 1 along x or y."""
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
    """(color, bool mask) of the saturated colors that fill between 4 % and 60 % of the photograph, largest first.

    Left out are colors of doubtful extent: many pixels are as much another color (red or orange?), or half grey.
    """
    hue, saturation, value = np.moveaxis(rgb_to_hsv(photo_HWC / 255), -1, 0)
    away_HWN = np.abs((hue[..., None] - np.array(list(HUES.values())) + 0.5) % 1 - 0.5)
    nearest_HW = np.where((saturation > 0.4) & (value > 0.15), away_HWN.argmin(-1), -1)
    first_HW, second_HW = np.moveaxis(np.sort(away_HWN, -1), -1, 0)[:2]
    doubtful_HW = (second_HW - first_HW < UNSURE) | (saturation < 0.6)
    found = []
    for i, name in enumerate(HUES):
        colored_HW = nearest_HW == i
        area = Image.fromarray((colored_HW & (saturation > 0.6)).astype(np.uint8) * 255)
        mask_HW = np.asarray(area.filter(ImageFilter.MedianFilter(9))) > 0
        if 0.04 <= mask_HW.mean() <= 0.6 and doubtful_HW[colored_HW].mean() < 0.4:
            found.append((name, mask_HW))
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
