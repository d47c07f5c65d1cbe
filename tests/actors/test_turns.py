"""The order of a replica's requests over two threads, and the seconds that they count."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.teacher import turns
from actors.teacher.turns import Turns


@given(order=st.permutations(range(6)), failing=st.sets(st.integers(0, 5)))
def test_calls_pass_by_their_numbers_whatever_thread_comes_first_and_whichever_fails(order, failing):
    taken, passed = Turns(), []

    def call(number: int) -> None:
        try:
            with taken.turn(number):
                passed.append(number)
                if number in failing:
                    raise MemoryError
        except MemoryError:
            passed.append(-1)

    threads = [threading.Thread(target=call, args=(number,)) for number in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number for number in passed if number >= 0] == list(range(6))
    assert passed.count(-1) == len(failing)


def test_work_that_overlaps_is_counted_once(monkeypatch):
    """Three calls: the second begins within the first, the third after a pause."""
    spans = [(0.0, 4.0), (3.0, 6.0), (10.0, 11.0)]
    clock = iter(end for _, end in spans)
    monkeypatch.setattr(turns.time, "perf_counter", lambda: next(clock))
    counted = Turns()
    assert [counted.worked(start) for start, _ in spans] == pytest.approx([4.0, 2.0, 1.0])
