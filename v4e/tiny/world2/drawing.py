"""Drawing edits at random: a task's kinds, how many are open, and none that could not be judged."""

from collections.abc import Callable
from random import Random

import numpy as np

from v4e.tiny.world2 import local, whole
from v4e.tiny.world2.draw import render
from v4e.tiny.world2.edits import WorldEdit, check_task

OPEN = 0.6  # share of edits that leave something to choose
SEEN = 24 / 255  # a pixel that changes by more has clearly changed
LEAST = 0.008  # share of the pixels in which an outcome differs clearly from the source and from the others
Draw = Callable[[Random, str, bool], WorldEdit]
# Of a task, equally likely: what draws it, and what may be open.
KINDS: dict[str, tuple[tuple[Draw, tuple[str, ...]], ...]] = {
    "addition": ((local.addition, ("place", "place", "color", "shape")),),
    "removal": ((local.removal, ("any", "any", "color")),),
    "replacement": ((local.replacement, ("color", "shape")),),
    "background": ((whole.background, ("group",)),),
    "color": ((local.color, ("group",)),),
    "material": ((local.material, ("group",)),),
    "text": ((whole.text, ("group",)),),
    "motion": ((local.motion, ("place", "row")), (local.motion, ("place", "row")), (whole.arm, ("side",))),
    "portrait": ((whole.portrait, ("any",)),),
    "style": ((whole.style, ("any",)),),
    "tone": ((whole.tone, ("group",)),),
}


def draw_edit(rng: Random, task: str, *, size: int, novel: bool = False, open_share: float = OPEN) -> WorldEdit:
    """Draws an edit of `task` whose outcomes can all be seen and told apart at `size` pixels.

    `novel`: the thing that it is about is a combination of color and shape that other splits never show.

    Raises:
        ValueError: there is no such task.
    """
    check_task(task)
    kinds = KINDS[task]
    while True:
        make, aspects = rng.choices(kinds)[0]
        aspect = rng.choice(aspects) if rng.random() < open_share else ""
        edit = make(rng, aspect, novel)
        if edit.open == bool(aspect) and distinct(edit, size):
            return edit


def distinct(edit: WorldEdit, size: int) -> bool:
    """Returns whether the source and all outcomes differ clearly from each other."""
    pictures = [render(edit.before, size), *(render(one.scene, size) for one in edit.outcomes)]
    for i, picture in enumerate(pictures):
        for other in pictures[:i]:
            if (np.abs(picture - other).max(-1) > SEEN).mean() < LEAST:
                return False
    return True
