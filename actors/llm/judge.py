"""Vision-language models on vLLM as judges, one in the process of each Ray actor."""

import queue
from collections.abc import Sequence
from typing import cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from actors.llm.engine import environment, start
from actors.reserved import options
from v4e.config import Judge
from v4e.evaluation.suites.endpoint import content
from v4e.evaluation.suites.items import Ask, Question, Reply

RESTARTS = 2
RETRY_TEMPERATURE = 0.7  # of the second try on: a greedy judge would only repeat itself
AGAIN = 1000  # seeds between two replies to the same question
MAX_TOKENS = 2048  # of a reply whose length the protocol leaves open


class VlmJudge:
    """A vision-language model that answers questions about images."""

    def __init__(self, judge: Judge) -> None:
        self.engine = start(
            judge.model,
            gpus=judge.gpus,
            ranks=max(1, judge.gpus),
            seqs_cpu=16,
            limit_mm_per_prompt={"image": 2},
            enable_lora=bool(judge.lora),
            max_lora_rank=64 if judge.lora else 16,
        )
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        self.params, self.name = SamplingParams, judge.model
        self.lora = LoRARequest("judge", 1, judge.lora) if judge.lora else None

    def ready(self) -> None:
        """Returns once the engine has started."""

    def ask(self, questions: Sequence[Question], attempt: int) -> list[Reply]:
        """Returns replies in the questions' order; the first try is greedy unless a question sets a temperature."""
        params = [
            self.params(
                temperature=(RETRY_TEMPERATURE if attempt else 0.0) if q.temperature is None else q.temperature,
                max_tokens=q.max_tokens or MAX_TOKENS,
                seed=(q.seed or 0) + AGAIN * q.again + attempt if q.temperature or attempt else None,
            )
            for q in questions
        ]
        chats = [[{"role": "user", "content": content(q)}] for q in questions]
        answers = self.engine.chat(chats, params, self.lora)
        return [
            Reply(
                text=a.outputs[0].text,
                tokens_in=len(a.prompt_token_ids or ()),
                tokens_out=len(a.outputs[0].token_ids),
                cut=a.outputs[0].finish_reason == "length",
                model=self.name,
            )
            for a in answers
        ]


def judges(judge: Judge) -> Ask:
    """Starts ``judge.engines`` judges; a question goes to whichever is free.

    Ray restarts one that dies, and its questions are asked again. Where they end it each time, or take too long, a new
    engine is asked one by one. A question that still gets no reply is lost.

    Raises:
        ValueError: vLLM cannot load the model.
    """
    remote = ray.remote(VlmJudge).options(
        **options(judge.gpus),
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
        runtime_env={"env_vars": environment(judge.model, judge.gpus)},
    )
    free: queue.SimpleQueue = queue.SimpleQueue()
    started = [_start(remote, judge) for _ in range(judge.engines)]
    try:
        ray.get([engine.ready.remote() for engine in started])
    except RayActorError as error:
        why = " ".join(line.strip() for line in str(error).splitlines()[-3:])
        raise ValueError(
            f"the judge {judge.model} could not be loaded by vLLM: {why}; many vision-language models need torchvision"
        ) from error
    for engine in started:
        free.put(engine)

    def ask(questions: Sequence[Question], attempt: int) -> list[Reply]:
        engine, ended = free.get(), True
        try:
            ray.get(engine.ready.remote())  # one that was started again loads its model first, without a limit
            answered = ray.get(engine.ask.remote(list(questions), attempt), timeout=judge.timeout_s)
            ended = False
            return answered
        except GetTimeoutError:
            why = f"no reply in judge.timeout_s={judge.timeout_s:.0f}"
        except RayActorError as error:
            why = f"the engine died {RESTARTS + 1} times: {error}"
        except RayTaskError as error:  # such as a question that is longer than the model allows
            why, ended = str(error.cause), False
        finally:
            if ended:
                ray.kill(engine)
                engine = _start(remote, judge)
            free.put(engine)
        if len(questions) == 1:
            return [Reply(text="", lost=f"the judge {judge.model}: {' '.join(why.split())}"[:500])]
        return [reply for question in questions for reply in ask([question], attempt)]

    return ask


def _start(remote, judge: Judge) -> ActorHandle:
    return cast(ActorHandle, remote.remote(judge))
