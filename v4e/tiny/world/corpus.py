"""The video corpus that the tiny Wan family is pretrained on: clips with captions, as the web has them.

Most clips are captioned evolutions, whose captions also say what remains. The others are what makes a native video
model a bad editor (the paper's Fig. 4), built in on purpose. Some stand still. Some drift (camera pan, changing light)
under a caption that only names what is seen. Some have a loose text: an imperative title, or a caption that does not
say that the rest remains. There the camera moves, the light changes and the evolution may stop half-way.

The base performs evolution captions exactly, and drifts when it is given a raw instruction.
"""

from random import Random

import numpy as np

from v4e.evaluation.metrics.exact import edit_mask
from v4e.language.tasks import TASKS
from v4e.tiny.world import FRAMES, SIZE, scene_rng, visible_edit
from v4e.tiny.world.language import CLOSINGS, caption, instruction
from v4e.tiny.world.scene import Scene

STILL, DRIFT, LOOSE = 0.08, 0.12, 0.25  # shares of the corpus
CAPTIONS = 4  # phrasings kept for each clip


def describe(scene: Scene, rng: Random) -> str:
    """Describes what is seen, without a word on what happens."""
    if scene.person:
        who = f"a person in a {scene.person.shirt} shirt"
    elif scene.face:
        who = f"a portrait of a person with {scene.face.hair} hair and {scene.face.eyes} eyes"
    elif scene.sign:
        who = f'a sign that says "{scene.sign.word}"'
    elif scene.things:
        who = " and ".join(f"a {t.color} {t.shape}" for t in scene.things)
    else:
        who = "an empty scene"
    where = rng.choice(("in front of", "before", "with")) + f" {scene.background}"
    return f"{who} {where}".capitalize()


def drift(clip: np.ndarray, rng: Random) -> np.ndarray:
    """The uint8 clip (P, S, S, 3) as a panning camera in changing light sees it."""
    dx, dy = rng.randint(-4, 4), rng.randint(-4, 4)
    gain = rng.uniform(0.6, 1.3) if rng.random() < 0.5 else 1.0
    frames = []
    for f, frame in zip(np.linspace(0, 1, len(clip)), clip, strict=True):
        pad = np.pad(frame, ((4, 4), (4, 4), (0, 0)), mode="edge")
        y, x = 4 + round(dy * f), 4 + round(dx * f)
        frames.append(pad[y : y + SIZE, x : x + SIZE] * (1 + f * (gain - 1)))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def make_clip(index: int, seed: int) -> tuple[np.ndarray, np.ndarray, dict]:
    """Clip `index` of the corpus: uint8 (P, S, S, 3), where it changes, bool (S, S), and its texts."""
    task = TASKS[index % len(TASKS)]
    rng = scene_rng("pretrain", task, index, seed)
    edit, frames = visible_edit(rng, task, novel=False)
    roll = rng.random()
    if roll < STILL:
        frames = np.repeat(frames[:1], FRAMES, 0)
        texts = [f"{describe(edit.before, rng)}, {rng.choice(CLOSINGS)}." for _ in range(CAPTIONS)]
        kind = "still"
    elif roll < STILL + DRIFT:
        frames = drift(np.repeat(frames[:1], FRAMES, 0), rng)
        texts = [f"{describe(edit.before, rng)}." for _ in range(CAPTIONS)]
        kind = "drift"
    elif roll < STILL + DRIFT + LOOSE:
        frames = drift(edit.frames(FRAMES, SIZE, reach=rng.uniform(0.3, 1)), rng)
        texts = [instruction(edit.kind, edit.slots, rng) for _ in range(CAPTIONS // 2)]
        texts += [caption(edit.kind, task, edit.slots, rng, closing=False) for _ in range(CAPTIONS // 2)]
        kind = "loose"
    else:
        texts = [caption(edit.kind, task, edit.slots, rng) for _ in range(CAPTIONS)]
        kind = task
    requests = [instruction(edit.kind, edit.slots, rng) for _ in range(2)]
    concepts = sorted({edit.kind, *(w for v in edit.slots.values() for w in v.split())})
    region = np.logical_or.reduce([edit_mask(frames[0], frame) for frame in frames])
    return frames, region, {"kind": kind, "captions": texts, "instructions": requests, "concepts": concepts}
