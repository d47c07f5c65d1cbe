"""The pool of captioners and their endpoint, against a real HTTP server: no vLLM in here, so engines start quickly."""

import os
import signal
import threading

import pytest

from tests.support.openai_server import serve
from tests.support.processes import actors_of_ours
from tests.support.wait import until
from v4e.captions.endpoint import EndpointModel
from v4e.captions.prompts import ANSWER
from v4e.captions.vote import label_bias
from v4e.captions.write import CaptionRequest, write
from v4e.config import Caption
from v4e.language.tasks import TASKS

BLUE = CaptionRequest(instruction="make the red circle blue", task="color")
TREE = CaptionRequest(instruction="remove the tree")
HAT = CaptionRequest(instruction="add a hat", task="addition")


def config_of(server, **changed) -> Caption:
    return Caption(**{"url": server.url, "model": "any", "candidates": 3, "vote": "never", "timeout_s": 60} | changed)


def test_captions_come_from_a_server_and_its_answers_are_held_to_the_schema():
    with serve() as server:
        config = config_of(server)
        engine = EndpointModel(config)
        rows = write([BLUE, TREE, HAT], engine, list, candidates=3, vote="never")
        assert [row.origin for row in rows] == ["llm", "llm", "template"]
        assert rows[0].caption.startswith("The red circle gradually turns blue, while reflections")
        formats = [body["response_format"]["json_schema"]["schema"] for body in server.asked]
        assert formats == [ANSWER] * len(server.asked)
        # 3 greedy, then only the bad one: 2 samples, then once with the reason
        assert sorted(body["n"] for body in server.asked) == [1, 1, 1, 2, 3]
        last = server.asked[-1]["messages"][-1]["content"]
        assert "Refused: " in last and "it names hat" in last
        assert engine.tokens == 25


def test_a_server_that_starts_again_costs_no_row():
    with serve() as server:
        server.failures = 2
        (row,) = write([BLUE], EndpointModel(config_of(server)), list, candidates=1, vote="never")
        assert row.origin == "llm" and len(server.asked) == 3


@pytest.mark.slow
def test_likelihoods_are_of_the_text_alone_and_a_server_without_them_is_refused():
    with serve() as server:
        engine = EndpointModel(config_of(server))
        assert engine.likelihood([("context", " four"), ("other", " x")]) == [-5.0, -2.0]
        assert engine.prefer(["a", "bc"], ("dd", "e")) == [[-3.0, -2.0], [-3.0, -2.0]]
        assert len(label_bias(engine)) == len(TASKS)
        server.scores = False
        with pytest.raises(ValueError, match=r"set caption\.vote=never"):
            engine.likelihood([("context", " four")])


def test_what_is_wrong_with_a_server_is_told_in_one_line_before_any_work():
    with serve() as server:
        server.key = "secret"
        EndpointModel(config_of(server, vote="all"), "secret").ready()
        assert "set OPENAI_API_KEY" in told(config_of(server))
        server.key = ""
        assert "(404: " in (said := told(config_of(server, model="other"))) and "caption.model" in said
        server.scores = False
        assert "set caption.vote=never" in told(config_of(server, vote="unsure"))
        EndpointModel(config_of(server)).ready()
        server.page = True
        assert "no JSON" in told(config_of(server))
        closed = config_of(server)
    assert "is the server running there?" in told(closed, retries=0)


def told(config: Caption, retries: int | None = None) -> str:
    engine = EndpointModel(config)
    if retries is not None:
        engine.server.client.max_retries = retries
    with pytest.raises(ValueError, match=r"^caption\.url=http") as caught:
        engine.ready()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.ray
@pytest.mark.slow
def test_a_refusal_leaves_the_actors_process_in_one_line(cluster):
    from actors.llm.pool import write_batches

    with serve() as server:
        server.key = "secret"
        with pytest.raises(
            ValueError, match=r"^caption\.url=\S+ refuses the key \(401: Unauthorized\): set OPENAI_API_KEY"
        ):
            list(write_batches([(0, [BLUE])], config_of(server)))
        assert len(server.asked) == 1, "nothing was asked but whether it answers"


@pytest.mark.ray
@pytest.mark.slow
def test_the_pool_grows_while_there_is_work_takes_no_more_than_it_holds_and_survives_a_kill(cluster):
    from actors.llm.pool import write_batches

    count, taken, done, killed = 40, [0], 0, threading.Event()

    def batches():
        for index in range(count):
            taken[0] += 1
            yield index, [BLUE, CaptionRequest(instruction=f"remove the tree {index}", task="removal")]

    def kill_one():
        os.kill(until(captioners, timeout_s=60)[0], signal.SIGKILL)
        killed.set()

    with serve() as server:
        config = config_of(server, max_actors=2)
        rows, most = {}, 0
        server.delay_s = 0.5  # so that the work left is worth another captioner, which the test then waits for
        killer = threading.Thread(target=kill_one)
        for answer in write_batches(batches(), config, count):
            assert answer.index not in rows, "a batch came twice"
            rows[answer.index] = answer.written
            done += 1
            assert taken[0] - done <= 3  # those under way and the one just asked for
            most = max(most, len(captioners()))
            if most == 2 and server.delay_s:
                server.delay_s = 0.0
                killer.start()
        killer.join()
    assert most == 2 and killed.is_set() and sorted(rows) == list(range(count))
    assert all([row.label.task for row in written] == ["color", "removal"] for written in rows.values())
    until(lambda: not captioners(), timeout_s=30)


def captioners() -> list[int]:
    """Process ids of captioners of this test's cluster."""
    return [process.pid for process in actors_of_ours("Captioner")]
