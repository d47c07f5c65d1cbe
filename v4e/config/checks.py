"""What a setting may be: rules with a name, and the one line that a setting outside its rule gets."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Rule(NamedTuple):
    """A test of a value, and in words what passes it."""

    ok: Callable[[float], bool]
    words: str


FINITE = Rule(math.isfinite, "a number, not inf or nan")
AT_LEAST_1 = Rule(lambda value: value >= 1, "at least 1")
NOT_NEGATIVE = Rule(lambda value: math.isfinite(value) and value >= 0, "a number, not negative")
POSITIVE = Rule(lambda value: math.isfinite(value) and value > 0, "a number above 0")
ABOVE_0 = Rule(lambda value: value > 0, "above 0 (inf for no limit)")
BELOW_1 = Rule(lambda value: 0 <= value < 1, "in [0, 1)")


def require(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)


def check(section: object, rule: Rule, *names: str) -> None:
    """Holds the fields `names` of a config's `section` to `rule`.

    Raises:
        ValueError: one line with the key, what it is and what it must be.
    """
    for name in names:
        value = getattr(section, name)
        require(rule.ok(value), f"{type(section).__name__.lower()}.{name}={value} must be {rule.words}")
