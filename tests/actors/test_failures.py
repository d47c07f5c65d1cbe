"""An error of a worker that is certain to come again ends the run; a process that died is tried again."""

import inspect

import pytest
from ray.exceptions import RayActorError
from ray.train import FailureConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from actors.student.failures import CertainFailures, CertainTorchTrainer
from actors.teacher import pool
from v4e.config import parse
from v4e.faults import Fault

AGAIN, END = FailureDecision.RETRY, FailureDecision.RAISE


def decisions(*errors: Exception) -> list[FailureDecision]:
    policy = CertainFailures(FailureConfig(max_failures=3))
    return [policy.make_decision(WorkerGroupError("failed", {0: error})) for error in errors]


@pytest.mark.parametrize("error", [Fault("T13", "no room"), OSError(28, "full"), PermissionError(13, "no")])
def test_what_no_second_attempt_mends_is_not_tried_again(error):
    assert decisions(error) == [END]


def test_an_error_in_the_same_words_is_tried_again_once():
    assert decisions(ValueError("a"), ValueError("a")) == [AGAIN, END]
    assert decisions(FloatingPointError("5 steps"), FloatingPointError("5 steps")) == [AGAIN, END]
    assert decisions(ValueError("a"), ValueError("b"), ValueError("a"), ValueError("c")) == [AGAIN, AGAIN, AGAIN, END]


def test_a_process_that_died_is_tried_again_as_often_as_before():
    assert decisions(*[RayActorError()] * 4) == [AGAIN, AGAIN, AGAIN, END]


def test_ray_train_has_what_the_trainer_replaces():
    for name in ("_initialize_and_run_controller", "_register_sigint_handler"):
        assert name in vars(CertainTorchTrainer) and hasattr(TorchTrainer, name)
    assert "failure_policy=create_failure_policy" in inspect.getsource(TorchTrainer.fit)
    assert "_register_sigint_handler" in inspect.getsource(TorchTrainer._initialize_and_run_controller)


class Answers:
    """A method of a remote pool."""

    def remote(self) -> "Answers":
        return self


class Starting:
    """A pool that loads for four looks."""

    serving, starting = Answers(), Answers()


def test_a_slow_start_is_told_once_and_again_when_it_changes(monkeypatch):
    looks = iter([["waits"], ["waits"], ["waits", "loads"], ["loads"]])
    ready = iter([[], [], [], [], [1]])
    monkeypatch.setattr(pool.ray, "wait", lambda *_, **__: (next(ready), []))
    monkeypatch.setattr(pool.ray, "get", lambda asked: next(looks, None))
    said: list[str] = []
    pool.await_pool(Starting(), parse([]).teacher, said.append)
    assert said == ["waits", "loads"]
