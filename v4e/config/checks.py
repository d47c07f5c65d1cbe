"""Rules for the values of settings, and the one-line errors that name the setting and the rule."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Rule(NamedTuple):
    """A test of a value, and the words for what passes it."""

    ok: Callable[[float], bool]
    words: str


FINITE = Rule(math.isfinite, "a number, not inf or nan")
AT_LEAST_1 = Rule(lambda value: value >= 1, "at least 1")
NOT_NEGATIVE = Rule(lambda value: math.isfinite(value) and value >= 0, "a number, not negative")
POSITIVE = Rule(lambda value: math.isfinite(value) and value > 0, "a number above 0")
ABOVE_0 = Rule(lambda value: value > 0, "above 0 (inf for no limit)")
BELOW_1 = Rule(lambda value: 0 <= value < 1, "in [0, 1)")


def require(ok: bool, message: str) -> None:
    """Raises ValueError with `message` unless `ok`."""
    if not ok:
        raise ValueError(message)


def check(section: object, rule: Rule, *names: str) -> None:
    """Checks the fields `names` of a config's `section` against `rule`.

    Raises:
        ValueError: names the key, its value and the rule.
    """
    for name in names:
        value = getattr(section, name)
        require(rule.ok(value), f"{type(section).__name__.lower()}.{name}={value} must be {rule.words}")
