"""Settings of an edit that mean nothing are refused by name."""

import math

import pytest

from v4e.editing.settings import EditSettings, check_seed


@pytest.mark.parametrize(
    ("field", "value"),
    [(name, value) for name in ("guidance", "shift") for value in (math.nan, math.inf, -1.0)] + [("shift", 0.0)],
)
def test_numbers_that_are_none(field, value):
    with pytest.raises(ValueError, match=f"^{field}={value}: expected a number"):
        EditSettings(**{field: value})


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_seeds_that_no_generator_takes(seed):
    check_seed(0), check_seed(2**63 - 1)
    with pytest.raises(ValueError, match=f"^seed={seed}: expected a whole number from 0"):
        check_seed(seed)
