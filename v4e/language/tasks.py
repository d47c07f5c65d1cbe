"""The 11 tasks: Table 1 with its caption templates, and rules that sort instructions into them."""

import re
from dataclasses import dataclass

from v4e.language.rules import match_rule
from v4e.language.wishes import imperative
from v4e.language.words import QUOTED, verbatim


@dataclass(frozen=True)
class TaskRow:
    """A row of Table 1."""

    label: str  # the paper's name
    cue: str  # its typical instruction
    template: str  # of the caption, with slots; v4e/captions/templates.py fills them
    closing: str  # names what stays; appended to every caption of the task, never generated


TABLE1: dict[str, TaskRow] = {
    "addition": TaskRow(
        "Subject Addition",
        "add a red balloon above the boy",
        "{target} gradually {appears} {place}",
        "everything else remains still",
    ),
    "removal": TaskRow(
        "Subject Removal",
        "remove the trash can on the left",
        "{source} gradually {fades} away",
        "everything else remains still",
    ),
    "replacement": TaskRow(
        "Subject Replacement",
        "replace the mug with a teacup",
        "{source} gradually {turns} into {target} in place",
        "pose, lighting, and surroundings remain unchanged",
    ),
    "background": TaskRow(
        "Background Change",
        "change background to a beach",
        "The background slowly transforms into {target}",
        "the main subject and foreground remain unchanged",
    ),
    "color": TaskRow(
        "Color Alteration",
        "make the car blue",
        "{source} color gradually shifts to {target}",
        "reflections and all other elements remain consistent",
    ),
    "material": TaskRow(
        "Material Modification",
        "turn the sofa into leather",
        "{source} texture gradually becomes {target}",
        "geometry and the rest of the scene remain unchanged",
    ),
    "text": TaskRow(
        "Text Modification",
        "change text to 'OPEN'",
        "{source} text gradually changes to {target}",
        "layout and surrounding pixels remain unchanged",
    ),
    "motion": TaskRow(
        "Motion Change",
        "raise the person's right hand",
        "{source} slowly {moves} {place}",
        "the rest of the body and scene remain steady",
    ),
    "portrait": TaskRow(
        "Portrait Editing & Beautification",
        "smooth skin and brighten eyes",
        "{source} {is} gently {smoothed} over time",
        "identity and other details remain unchanged",
    ),
    "style": TaskRow(
        "Style Transfer",
        "convert to watercolor style",
        "The scene gradually adopts {target} style",
        "composition and content remain unchanged",
    ),
    "tone": TaskRow(
        "Tone Transformation",
        "apply warm cinematic grade",
        "The image gradually shifts to {target}",
        "structure and content remain unchanged",
    ),
}
TASKS: tuple[str, ...] = tuple(TABLE1)

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
    """Returns (task, confident) of an instruction by rules alone; ("", False) if no rule applies.

    Instructions of several atomic edits get the task of the first one.
    """
    parts = atoms(instruction)
    if len(parts) > 1:
        found = [rule_task(part) for part in parts]
        return found[0][0], all(sure for _, sure in found)
    text = normalize(instruction)
    if QUOTED.search(text) or (verbatim(text) and re.search(r"\b(?:sign|poster|label|banner|shirt|logo)\b", text)):
        return "text", True
    return match_rule(text.lower())


# verbs that begin a further edit after "and" or a comma; fewer than begin an instruction: many are nouns there
_JOINT = re.compile(
    r"(?:\s*[,;]\s*(?:and\s+)?(?:then\s+)?|\s+and\s+then\s+|\s+and\s+(?:also\s+)?|\s+then\s+|"
    r"\.\s+(?:then\s+)?)(?=(?:add|put|place|insert|draw|include|introduce|create|remove|delete|erase|get rid of|take|"
    r"eliminate|clear|wipe|make|turn|change|convert|transform|give|set|switch|paint|(?:re)?colou?r|tint|dye|cover|let|have|"
    r"replace|swap|apply|raise|lift|lower|move|smooth|brighten|darken|whiten|soften|sharpen)\b\s+\w)",
    re.I,
)


def atoms(instruction: str) -> list[str]:
    """Splits an instruction into its atomic edits, in order: before each further imperative outside quotes."""
    text = normalize(instruction)
    quoted = [match.span() for match in QUOTED.finditer(text)]
    parts, start = [], 0
    for joint in _JOINT.finditer(text):
        leads = re.match(r"(?:in|at|on|to) the\b", text[start : joint.start()], re.I)  # "in the top left, add ..."
        if joint.start() > start and not leads and not any(a < joint.start() < b for a, b in quoted):
            parts.append(text[start : joint.start()].strip())
            start = joint.end()
    return [normalize(part) for part in (*parts, text[start:].strip())]
