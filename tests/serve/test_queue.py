"""The queue: turns between keys, bounds, and that nothing of it is lost whatever its users do."""

import asyncio
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.errors import ApiError
from serve.fair import FairQueue


def test_keys_take_turns_however_much_each_of_them_wants():
    queue, order = FairQueue(1, 100, 100), []
    with ExitStack() as stack:
        lines = [
            (owner, stack.enter_context(queue.turns(owner, n, 100, 1))) for owner, n in (("a", 6), ("b", 2), ("c", 1))
        ]
        turns = [(owner, turn) for owner, line in lines for turn in line]
        while turns:
            [(owner, turn)] = [pair for pair in turns if pair[1].go.is_set()]
            order.append(owner)
            turns.remove((owner, turn))
            queue.leave(turn)
    assert "".join(order) == "aabcabaaa"  # the first a was alone when it came
    assert (queue.running, queue.waiting) == (0, 0)


def test_a_full_queue_takes_none_of_a_request():
    queue = FairQueue(1, 2, 100)
    with queue.turns("a", 2, 9, 1):
        with pytest.raises(ApiError) as caught, queue.turns("b", 2, 9, 1):
            pass
        assert (caught.value.status, caught.value.code) == (429, "queue_full")
        assert caught.value.retry_after_s >= 1
        with queue.turns("b", 1, 9, 1):
            assert queue.waiting == 2


def test_large_pictures_fill_it_sooner():
    queue = FairQueue(1, 100, 1000)
    with queue.turns("a", 1, 9, 999), queue.turns("a", 1, 9, 1):
        with pytest.raises(ApiError) as caught, queue.turns("a", 1, 9, 1):
            pass
        assert (caught.value.status, caught.value.code) == (429, "queue_full")
        with queue.turns("b", 1, 9, 5000):  # it has none there yet, and is not to suffer from the other's
            assert queue.waiting == 2


def test_it_is_as_wide_as_there_are_replicas():
    queue = FairQueue(1, 100, 100)
    with queue.turns("a", 3, 9, 1) as turns:
        assert [turn.go.is_set() for turn in turns] == [True, False, False]
        queue.resize(2)
        assert [turn.go.is_set() for turn in turns] == [True, True, False]
        queue.resize(1)
        queue.leave(turns[0])  # one runs on, which is as many as may
        assert [turn.go.is_set() for turn in turns] == [True, True, False]
        queue.leave(turns[1])
        assert turns[2].go.is_set()


def test_one_key_may_not_fill_it():
    queue = FairQueue(1, 100, 100)
    with queue.turns("a", 3, 3, 1):
        with pytest.raises(ApiError) as caught, queue.turns("a", 1, 3, 1):
            pass
        assert caught.value.code == "concurrency_limit_exceeded"
        with queue.turns("b", 1, 3, 1):
            pass


@settings(deadline=None)
@given(
    st.integers(1, 3),
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)), max_size=12),
)
def test_bounds_hold_and_everybody_is_served(slots, waiting, requests):
    """Each request gives up after so many turns of the loop, or works for so many."""

    async def ask(queue, owner, count, patience, work):
        await asyncio.sleep(0)
        with suppress(ApiError), queue.turns(owner, count, 4, 7) as turns:
            for turn in turns:
                if patience == 3:
                    await turn.go.wait()
                    for _ in range(work):
                        await asyncio.sleep(0)
                    queue.leave(turn)
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(turn.go.wait(), 0)
                assert queue.running <= slots
            return
        assert queue.running <= slots

    async def all_of_them():
        queue = FairQueue(slots, waiting, 100)
        async with asyncio.timeout(20):
            await asyncio.gather(*(ask(queue, *request) for request in requests))
        assert (queue.running, queue.waiting, queue._held, queue._pixels) == (0, 0, {}, 0)

    asyncio.run(all_of_them())


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(1, 3))
def test_a_place_is_when_it_goes(owners, slots):
    """The one at place 1 goes next, and so on, if nobody else comes."""
    queue = FairQueue(slots, 100, 100)
    with ExitStack() as stack:
        turns = [stack.enter_context(queue.turns(owner, 1, 100, 1))[0] for owner in owners]
        gone = [turn for turn in turns if turn.go.is_set()]
        assert all(queue.place(turn) == 0 for turn in gone)
        expected = sorted((turn for turn in turns if not turn.go.is_set()), key=queue.place)
        assert sorted(map(queue.place, expected)) == list(range(1, len(expected) + 1))
        order = []
        while gone:
            queue.leave(gone.pop(0))
            gone += (new := [turn for turn in expected if turn.go.is_set() and turn not in order])
            order += new
        assert order == expected
