"""When the pool grows and shrinks: the rule alone, and replicas that really come and go."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.teacher.scaling import LIGHT, SATURATED, Waits, Window, wanted

SHARE = st.floats(0, 1)


def settled(demand: float, fewest: int, most: int, start: int) -> list[int]:
    """Sizes of a pool whose students would keep `demand` replicas busy if they never waited."""
    sizes = [start]
    for _ in range(50):
        n = sizes[-1]
        busy = min(demand, n)
        sizes.append(wanted(Window(wait_share=1 - busy / demand, busy=busy), n, fewest, most))
    return sizes


@settings(deadline=None)
@given(SHARE, st.floats(0, 64), st.integers(1, 16), st.integers(1, 16), st.integers(0, 16))
def test_any_window_keeps_the_pool_within_bounds_and_moves_it_gently(wait_share, busy, replicas, fewest, more):
    most = fewest + more
    number = wanted(Window(wait_share=wait_share, busy=busy), replicas, fewest, most)
    assert fewest <= number <= most
    if fewest <= replicas <= most:
        assert replicas - 1 <= number <= 2 * replicas


@settings(deadline=None)
@given(st.floats(0.05, 20), st.integers(1, 12))
def test_a_steady_demand_ends_in_a_steady_pool_that_meets_it_without_many_to_spare(demand, start):
    sizes = settled(demand, 1, 32, start)
    assert sizes[-1] == sizes[-2]
    assert sizes[-1] >= min(demand, 32) * 0.95  # students wait 5 % at most
    assert sizes[-1] <= max(1, start, math.ceil(demand / LIGHT) + 1)


@settings(deadline=None)
@given(st.floats(0.05, 20), st.integers(1, 12))
def test_a_pool_that_grew_does_not_shrink_again_under_the_same_demand(demand, start):
    sizes = settled(demand, 1, 32, start)
    grown = [n for before, n in pairwise(sizes) if n > before]
    if grown:
        assert min(sizes[sizes.index(grown[0]) :]) >= grown[0]


def test_waiting_for_idle_replicas_is_no_reason_to_grow():
    window = Window(wait_share=0.9, busy=0.5 * SATURATED * 2)
    assert wanted(window, 2, 1, 8) == 2


def test_waits_are_the_students_own_clocks():
    waits = Waits()
    assert waits.share() is None
    waits.hear("a", 10.0, 0.0)
    assert waits.share() is None  # heard once: no time has passed
    waits.hear("a", 20.0, 5.0)
    waits.hear("b", 20.0, 100.0)
    waits.hear("b", 30.0, 100.0)
    assert waits.share() == pytest.approx(5 / 20)
    assert waits.share() is None
    waits.hear("a", 40.0, 25.0)  # it waited for longer than a window and is heard of only now
    assert waits.share() == 1.0
    waits.hear("a", 50.0, 0.0)  # a worker that began again under its old name
    assert waits.share() == 0.0
