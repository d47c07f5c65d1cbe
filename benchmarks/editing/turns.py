"""Ten turns on one picture: success and what stays, with a session, with edits of edits, and from exact pictures.

`python -m benchmarks.editing.turns [model=FOLDER] [text=instruction] [sessions=22]` draws scenes of two things. Each
turn changes one of them, and its picture is compared with the exact one. From exact pictures each turn begins with what
the turns before it should have made, so no fault of one is the next one's. `after` is the success of the turns of which
all before succeeded, and `among` how many these are. `outside` is of the pixels that no turn so far
was to change, against the first picture.
"""

import sys
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

import numpy as np
import torch
from PIL import Image

from benchmarks.support.result import write_result
from v4e.editing.editor import Editor
from v4e.editing.session import Session
from v4e.editing.settings import EditSettings
from v4e.evaluation.metrics.exact import edit_mask, psnr, score
from v4e.tiny.world import SIZE
from v4e.tiny.world.draw import render
from v4e.tiny.world.language import caption, instruction
from v4e.tiny.world.scene import BACKGROUNDS, COLORS, SHAPES, SLOTS, Scene, Thing, held_out

TURNS = 10
SETTINGS = EditSettings(height=SIZE, width=SIZE)
WAYS = ("session", "edits of edits", "from exact pictures")


@dataclass(frozen=True)
class Turn:
    task: str
    text: str
    truth: np.ndarray  # uint8 (S, S, 3), after it


def drawn(scene: Scene) -> np.ndarray:
    return (render(scene, SIZE).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def story(rng: Random, said: str) -> tuple[np.ndarray, list[Turn]]:
    """Returns a first picture and its turns, in words as `said`: instructions or captions."""
    shapes, slots = rng.sample(SHAPES, 2), rng.sample(list(SLOTS), 2)
    things = [Thing(s, rng.choice(allowed(s)), "plain", place) for s, place in zip(shapes, slots, strict=True)]
    scene = Scene(rng.choice(BACKGROUNDS), tuple(things))
    first, turns = drawn(scene), []
    for _ in range(TURNS):
        which, task = rng.randrange(2), rng.choice(("color", "motion", "replacement"))
        old, other = scene.things[which], scene.things[1 - which]
        words = {"old": f"{old.color} {old.shape}"}
        if task == "color":
            new = replace(old, color=rng.choice([c for c in allowed(old.shape) if c != old.color]))
            words["color"] = new.color
        elif task == "motion":
            new = replace(old, slot=rng.choice([s for s in SLOTS if s not in (old.slot, other.slot)]))
            words["slot"] = new.slot
        else:
            shape = rng.choice([s for s in SHAPES if s not in (old.shape, other.shape)])
            new = replace(old, shape=shape, color=rng.choice(allowed(shape)))
            words["new"] = f"{new.color} {new.shape}"
        scene = replace(scene, things=tuple(new if at == which else other for at in (0, 1)))
        text = instruction(task, words, rng) if said == "instruction" else caption(task, task, words, rng)
        turns.append(Turn(task, text, drawn(scene)))
    return first, turns


def allowed(shape: str) -> list[str]:
    """Returns the colors that training showed with a shape."""
    return [color for color in COLORS if not held_out(color, shape)]


def pictures(editor: Editor, way: str, first: np.ndarray, turns: list[Turn], seed: int) -> list[np.ndarray]:
    """Returns the picture after each turn."""
    session = Session(editor=editor, first=Image.fromarray(first), settings=SETTINGS)
    made, now = [], session.first
    for k, turn in enumerate(turns):
        if way == "from exact pictures":
            now = Image.fromarray(turns[k - 1].truth) if k else session.first
            session = Session(editor=editor, first=now, settings=SETTINGS)
        if way != "edits of edits":
            session = session.edited(turn.text, seed + k)
            now = session.picture
        else:
            now = editor.edit([now], [turn.text], [seed + k], SETTINGS)[0].image
        made.append(np.asarray(now))
    return made


def main() -> None:
    given = dict(part.split("=", 1) for part in sys.argv[1:])
    torch.set_num_threads(1)
    editor = Editor.load(given.get("model", "runs/demo/export/ema"))
    stories = [story(Random(k), given.get("text", "instruction")) for k in range(int(given.get("sessions", 22)))]
    rows = []
    for way in WAYS:
        figures: list[list[tuple[bool, float | None]]] = [[] for _ in range(TURNS)]
        after: list[list[bool]] = [[] for _ in range(TURNS)]
        for number, (first, turns) in enumerate(stories):
            so_far, before = np.zeros((SIZE, SIZE), bool), first
            for k, picture in enumerate(pictures(editor, way, first, turns, 100 * number)):
                truth = turns[k].truth
                so_far |= edit_mask(before, truth)
                kept = None if so_far.all() else psnr(picture[~so_far], first[~so_far])
                figures[k].append((score(turns[k].task, before, truth, picture, 20.0).success, kept))
                if all(figures[j][number][0] for j in range(k)):
                    after[k].append(figures[k][number][0])
                before = truth
            print(way, number + 1, flush=True)
        for k, turn in enumerate(figures):
            kept = [db for _, db in turn if db is not None]
            success = round(fmean(done for done, _ in turn), 4)
            row = {"way": way, "turn": k + 1, "success": success, "outside": round(fmean(kept), 2)}
            more = {"after": round(fmean(after[k]), 4), "among": len(after[k])} if after[k] else {"among": 0}
            rows.append(row | more)
    at = {(row["way"], row["turn"]): row for row in rows}
    summary = {
        f"{way.replace(' ', '_')}_{key}_{turn}": at[way, turn][key]
        for way in WAYS
        for key in ("success", "outside")
        for turn in (1, TURNS)
    }
    write_result("turns", " ".join(["python -m benchmarks.editing.turns", *sys.argv[1:]]), rows, summary)


if __name__ == "__main__":
    main()
