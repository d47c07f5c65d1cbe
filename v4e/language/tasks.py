"""The 11 tasks of Table 1, and their names by the reader."""

import re
from dataclasses import dataclass

from v4e.language.reader import read
from v4e.language.wishes import imperative
from v4e.language.words import QUOTED


@dataclass(frozen=True)
class TaskRow:
    """A row of Table 1."""

    label: str  # the paper's name
    cue: str  # its typical instruction
    closing: str  # names what stays; appended to every caption of the task, never generated


TABLE1: dict[str, TaskRow] = {
    "addition": TaskRow("Subject Addition", "add a red balloon above the boy", "everything else remains still"),
    "removal": TaskRow("Subject Removal", "remove the trash can on the left", "everything else remains still"),
    "replacement": TaskRow(
        "Subject Replacement", "replace the mug with a teacup", "pose, lighting, and surroundings remain unchanged"
    ),
    "background": TaskRow(
        "Background Change", "change background to a beach", "the main subject and foreground remain unchanged"
    ),
    "color": TaskRow("Color Alteration", "make the car blue", "reflections and all other elements remain consistent"),
    "material": TaskRow(
        "Material Modification", "turn the sofa into leather", "geometry and the rest of the scene remain unchanged"
    ),
    "text": TaskRow("Text Modification", "change text to 'OPEN'", "layout and surrounding pixels remain unchanged"),
    "motion": TaskRow("Motion Change", "raise the person's right hand", "the rest of the body and scene remain steady"),
    "portrait": TaskRow(
        "Portrait Editing & Beautification",
        "smooth skin and brighten eyes",
        "identity and other details remain unchanged",
    ),
    "style": TaskRow("Style Transfer", "convert to watercolor style", "composition and content remain unchanged"),
    "tone": TaskRow("Tone Transformation", "apply warm cinematic grade", "structure and content remain unchanged"),
}
TASKS: tuple[str, ...] = tuple(TABLE1)

# (task, pattern of a whole normalized instruction) that decide before the reader, for tasks that its weights do not
# know; group names are fields of v4e.language.slots.Slots
DECIDED: tuple[tuple[str, str], ...] = ()
LIKELY = 0.25  # chance below which a task is a guess; of left-out labels between 0.2 and 0.4, 7 of 9 were right
_HIDDEN = 0xE000  # first of the characters, in private use, that stand for quoted texts


def normalize(instruction: str) -> str:
    """Returns an imperative of one line, without politeness and final punctuation; quoted text stays byte for byte."""
    quoted: list[str] = []

    def hide(found: re.Match[str]) -> str:
        quoted.append(found.group())
        return chr(_HIDDEN + len(quoted) - 1)

    text = imperative(" ".join(QUOTED.sub(hide, instruction).split()))
    for at, quote in enumerate(quoted):
        text = text.replace(chr(_HIDDEN + at), quote)
    return text


def rule_task(instruction: str) -> tuple[str, bool]:
    """Returns (task, sure) of an instruction by the reader; "" if it is none of the 11 tasks, or a mere guess.

    Instructions of several atomic edits get the task of the first one.
    """
    for task, pattern in DECIDED:
        if re.fullmatch(pattern, normalize(instruction), re.I):
            return task, True
    found = read(instruction)
    task = found.parts[0].task
    return (task if task in TABLE1 and found.chance >= LIKELY else "", found.sure)


def atoms(instruction: str) -> list[str]:
    """Splits an instruction into its atomic edits, in order, as imperatives; clauses on what stays are left out."""
    return [normalize(part.text) for part in read(instruction).parts]


def understood(instruction: str) -> str:
    """Returns an instruction in plain words: its edits in order, as imperatives, then what stays, in its own words.

    An instruction in another language, or of more than a thousand characters, stays as it is.
    """
    found = read(instruction[:1000])
    if found.language != "en" or len(instruction) > 1000:
        return instruction
    return ", ".join([", then ".join(atoms(instruction)), *found.keeps])
