"""The video corpus of World 2: clips with captions, as the web has them.

It has the kinds of the first world's (``v4e/tiny/world/corpus.py``). Most are captioned evolutions. Some stand still.
Some drift under a caption of what is seen. Some are told loosely, by an instruction or without what remains. Captions
of an open edit come in both grades, as open as the instruction and resolving.
"""

from random import Random

import numpy as np

from v4e.evaluation.metrics.exact import edit_mask
from v4e.language.tasks import TASKS
from v4e.tiny.world2 import FRAMES, SIZE, scene_rng
from v4e.tiny.world2.draw import clip, render, to_bytes
from v4e.tiny.world2.drawing import draw_edit
from v4e.tiny.world2.scene import Scene
from v4e.tiny.world2.words import CLOSINGS, a, caption, instruction

STILL, DRIFT, LOOSE = 0.06, 0.10, 0.20  # shares of the corpus
CAPTIONS = 4  # phrasings kept for each clip


def describe(scene: Scene, rng: Random) -> str:
    """Describes what is seen, without a word on what happens."""
    if scene.person:
        who = f"a person in a {scene.person.shirt} shirt"
    elif scene.face:
        who = f"a portrait of a person with {scene.face.hair} hair and {scene.face.eyes} eyes"
    elif scene.sign:
        who = f'a sign that says "{scene.sign.word}"'
    else:
        who = " and ".join(a(f"{t.color} {t.shape}") for t in scene.things if t) or "an empty scene"
    return f"{who} {rng.choice(('in front of', 'before', 'with'))} {scene.place}".capitalize()


def drift(frames: np.ndarray, rng: Random) -> np.ndarray:
    """The uint8 clip (P, S, S, 3) as a panning camera in changing light sees it."""
    size, reach = frames.shape[1], frames.shape[1] // 8
    dx, dy = rng.randint(-reach, reach), rng.randint(-reach, reach)
    gain = rng.uniform(0.6, 1.3) if rng.random() < 0.5 else 1.0
    moved = []
    for f, frame in zip(np.linspace(0, 1, len(frames)), frames, strict=True):
        pad = np.pad(frame, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
        y, x = reach + round(dy * f), reach + round(dx * f)
        moved.append(pad[y : y + size, x : x + size] * (1 + f * (gain - 1)))
    return np.stack(moved).clip(0, 255).astype(np.uint8)


def make_clip(index: int, seed: int, size: int = SIZE, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray, dict]:
    """Makes clip `index` of the corpus: uint8 (P, S, S, 3), its region, and its task and texts.

    The region, bool (S, S), is where any valid outcome changes the source. So it tells nothing of the outcome shown.
    """
    task = TASKS[index % len(TASKS)]
    rng = scene_rng("pretrain", task, index, seed)
    edit = draw_edit(rng, task, size=size)
    one = edit.outcomes[edit.drawn(rng)]
    roll = rng.random()
    if roll < STILL + DRIFT:
        still = np.repeat(clip(edit.before, edit.before, 1, size), frames, 0)
        kind, shown = ("still", still) if roll < STILL else ("drift", drift(still, rng))
        ending = f", {rng.choice(CLOSINGS)}." if kind == "still" else "."
        texts = [describe(edit.before, rng) + ending for _ in range(CAPTIONS)]
    elif roll < STILL + DRIFT + LOOSE:
        kind, shown = "loose", drift(clip(edit.before, one.scene, frames, size, reach=rng.uniform(0.3, 1)), rng)
        texts = [instruction(edit.kind, edit.slots, rng) for _ in range(CAPTIONS // 2)]
        texts += [caption(edit.told, one.slots, rng, closing=False) for _ in range(CAPTIONS // 2)]
    else:
        kind, shown = task, clip(edit.before, one.scene, frames, size)
        texts = [caption(edit.kind, edit.slots, rng) for _ in range(CAPTIONS // 2)]
        texts += [caption(edit.told, one.slots, rng) for _ in range(CAPTIONS // 2)]
    requests = [instruction(edit.kind, edit.slots, rng) for _ in range(2)]
    said = " ".join(requests).lower()
    concepts = sorted({edit.told, *(w for value in edit.slots.values() for w in value.split() if w in said)})
    ends = [to_bytes(render(one.scene, size)) for one in edit.outcomes] if kind == task else shown
    region = np.logical_or.reduce([edit_mask(shown[0], end) for end in ends])
    return (
        shown,
        region,
        {"kind": kind, "task": task, "captions": texts, "instructions": requests, "concepts": concepts},
    )
