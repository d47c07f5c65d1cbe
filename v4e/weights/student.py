"""The student that comes with v4e and is used where no model is named: a base, and what training changed in it.

A better one takes its place by other files in this folder, and by these constants: nothing else in v4e names it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1] / "assets"
BASE = str(ASSETS / "tiny-wan-i2v")
FOLDER = ASSETS / "student"
CHANGE, CARD = FOLDER / "change.safetensors", FOLDER / "card.json"


@dataclass(frozen=True)
class Example:
    """A picture and an instruction that this student follows from this seed."""

    picture: Path
    instruction: str
    task: str
    seed: int


@dataclass(frozen=True)
class Card:
    """The things that a user should know of the student."""

    knows: str  # a line
    max_pixels: int  # area that it was trained on
    examples: tuple[Example, ...]


def card() -> Card:
    """Reads the student's card."""
    plain = json.loads(CARD.read_text())
    examples = tuple(Example(**row | {"picture": FOLDER / row["picture"]}) for row in plain["examples"])
    return Card(knows=plain["knows"], max_pixels=plain["max_pixels"], examples=examples)


def example(number: int) -> Example:
    """Returns the example `number`, from 1.

    Raises:
        ValueError: there is none of this number.
    """
    examples = card().examples
    if not 1 <= number <= len(examples):
        raise ValueError(f"example={number}: expected 1 to {len(examples)}")
    return examples[number - 1]
