"""A field of a section: its default, its help, and the results that it decides."""

from dataclasses import Field, field
from typing import Literal, TypeVar

T = TypeVar("T")
Outcome = Literal[
    "triplets",
    "samples",
    "captions",
    "features",
    "rollouts",
    "training",
    "export",
    "edits",
    "scores",
    "benchmark edits",
    "foreign edits",
    "benchmark scores",
]
NOTHING: tuple[Outcome, ...] = ()  # speed, memory, places, views: no figure of a run depends on it


def setting(
    default: T, text: str, *, decides: Outcome | tuple[Outcome, ...], only: str = "", before: T | None = None
) -> T:
    """Return a field of a frozen dataclass.

    Args:
        default: a number, a text, a boolean or a tuple.
        text: the help, with the unit.
        decides: the results that change with the setting. When it changes, they are made again or refused.
        only: ``field=value`` of the same section, without which the setting has no effect.
        before: the value by which results were made before there was the setting. Stamps leave it out where it is so:
            they stay what they were, and :func:`v4e.config.decided.differing` knows what an older one means.
    """
    outcomes = (decides,) if isinstance(decides, str) else decides
    return field(default=default, metadata={"help": text, "decides": outcomes, "only": only, "before": before})  # type: ignore[return-value]


def help_of(one: Field) -> str:
    """Return the help of a field."""
    return one.metadata["help"]


def decides(one: Field) -> tuple[Outcome, ...]:
    """Return the results that a field decides."""
    return one.metadata["decides"]


def has_effect(section: object, one: Field) -> bool:
    """Return whether the other fields of `section` leave a field its effect."""
    name, _, value = one.metadata["only"].partition("=")
    return not name or getattr(section, name) == value


def before(one: Field) -> object:
    """Return the value of a field in results that are older than the field; None if there are none such."""
    return one.metadata["before"]
