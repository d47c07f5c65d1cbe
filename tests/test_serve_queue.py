"""The queue: turns between keys, bounds, and that nothing of it is lost whatever its users do."""

import asyncio
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import ApiError
from serve.fair import FairQueue


def test_keys_take_turns_however_much_each_of_them_wants():
    queue, order = FairQueue(1, 100), []
    with ExitStack() as stack:
        lines = [
            (owner, stack.enter_context(queue.turns(owner, n, 100))) for owner, n in (("a", 6), ("b", 2), ("c", 1))
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
    queue = FairQueue(1, 2)
    with queue.turns("a", 2, 9):
        with pytest.raises(ApiError) as caught, queue.turns("b", 2, 9):
            pass
        assert (caught.value.status, caught.value.code) == (429, "queue_full")
        assert caught.value.retry_after_s >= 1
        with queue.turns("b", 1, 9):
            assert queue.waiting == 2


def test_one_key_may_not_fill_it():
    queue = FairQueue(1, 100)
    with queue.turns("a", 3, 3):
        with pytest.raises(ApiError) as caught, queue.turns("a", 1, 3):
            pass
        assert caught.value.code == "concurrency_limit_exceeded"
        with queue.turns("b", 1, 3):
            pass


@given(
    st.integers(1, 3),
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)), max_size=12),
)
def test_bounds_hold_and_everybody_is_served(slots, waiting, requests):
    """Each request gives up after so many turns of the loop, or works for so many."""

    async def ask(queue, owner, count, patience, work):
        await asyncio.sleep(0)
        with suppress(ApiError), queue.turns(owner, count, 4) as turns:
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
        queue = FairQueue(slots, waiting)
        async with asyncio.timeout(20):
            await asyncio.gather(*(ask(queue, *request) for request in requests))
        assert (queue.running, queue.waiting, queue._held) == (0, 0, {})

    asyncio.run(all_of_them())
