"""Weights by name: draws an epoch of a task's or corpus's samples, or its share of a set."""

import math
from fractions import Fraction

FINEST = 100  # denominator: weights are exact fractions, so that no epoch is a sample short by rounding
MOST = 100


def parse_weights(text: str, key: str = "data.weights") -> dict[str, Fraction]:
    """Reads ``"color=2,tone=0.5"`` as exact numbers by name. Errors name `key`, the setting.

    Raises:
        ValueError: another form, a name twice, or a weight that is out of range.
    """
    weights: dict[str, Fraction] = {}
    for part in filter(None, text.split(",")):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (name and (number == 0 or 1 / FINEST <= number <= MOST)):
            raise ValueError(
                f"{key}={text}: expected name=number, of 0 or from {1 / FINEST} to {MOST}, got {part!r}: "
                f"set e.g. {key}=color=2,tone=0.5"
            )
        if name in weights:
            raise ValueError(f"{key}={text}: {name} is given twice: expected once")
        weights[name] = Fraction(value).limit_denominator(FINEST)
    return weights
