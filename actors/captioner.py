"""The Instruction-to-Caption Generator on vLLM: one engine in the process of each Ray actor.

The engine lives in the actor's own process, so a dead engine is a dead actor, which Ray restarts; a batch is
a pure function of its requests, so it may be run again. vLLM's default, an engine in a child process, can
hang.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import ray
import torch
from ray.actor import ActorHandle
from ray.exceptions import RayActorError

from v4e.config import Caption
from v4e.gguf import resolve_model
from v4e.icg import Request, Written, write
from v4e.prompts import UNLABELLED, label_prompt
from v4e.tasks import TASKS

RESTARTS = 2


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The answer to one batch of requests, and what it cost."""

    index: int
    written: list[Written]
    tokens: int  # generated
    seconds: float  # without engine start


class Captioner:
    """A vLLM engine, and :func:`v4e.icg.write` on it."""

    def __init__(self, config: Caption):
        try:
            from vllm import LLM, SamplingParams
        except (ImportError, OSError, RuntimeError) as error:
            raise RuntimeError(
                f"vLLM cannot be imported ({error}): on CPU install it by scripts/install-cpu.sh, which "
                "leaves out torchvision, torchaudio and torchcodec; on GPU by pip install -e .[gpu]"
            ) from error
        self.config = config
        self.tokens = 0
        self.params = SamplingParams
        cpu = config.gpus == 0
        self.llm = LLM(
            model=resolve_model(config.model),
            dtype="bfloat16",
            max_model_len=1024,
            tensor_parallel_size=max(1, config.gpus),
            enable_prefix_caching=True,
            use_tqdm_on_load=False,
            enforce_eager=cpu,  # compiling takes minutes on CPU and gains nothing there
            max_num_seqs=64 if cpu else 256,
            kv_cache_memory_bytes=256 << 20 if cpu else None,
            # vLLM caches whole blocks of a prefix, and the CPU's default block of 128 is a whole prompt
            block_size=32 if cpu else None,
        )
        self.bias: dict[int, float] = {}

    def write(self, index: int, requests: Sequence[Request]) -> Batch:
        """Captions one batch; ``index`` comes back with it."""
        start, self.tokens = time.monotonic(), 0
        written = write(
            requests,
            self.ask,
            self.label,
            candidates=self.config.candidates,
            new_words=self.config.new_words,
            refined=self.config.refine,
        )
        return Batch(index=index, written=written, tokens=self.tokens, seconds=time.monotonic() - start)

    def ask(self, prompts: list[str], samples: int) -> list[list[str]]:
        """``samples`` lines for each prompt: greedy for one, else sampled at the config's temperature."""
        # seeded by the call itself, so that a batch run again gives the same texts; seeds in the request are
        # refused by vLLM on CPU ("CPU Generator does not use offset")
        seed = int.from_bytes(hashlib.blake2b("\0".join(prompts).encode(), digest_size=4).digest())
        torch.manual_seed(seed)
        params = self.params(
            n=samples,
            temperature=0.0 if samples == 1 else self.config.temperature,
            max_tokens=self.config.max_tokens,
            stop=["\n"],
            seed=seed if self.config.gpus else None,
        )
        answers = self.llm.generate(prompts, params, use_tqdm=False)
        self.tokens += sum(len(text.token_ids) for answer in answers for text in answer.outputs)
        return [[text.text for text in answer.outputs] for answer in answers]

    def label(self, instructions: list[str]) -> list[str]:
        """One of TASKS for each instruction: one decode step, less the model's liking for each label as such.

        Raises:
            ValueError: the tokenizer begins two labels with the same token.
        """
        tokenizer = self.llm.get_tokenizer()
        first = [tokenizer.encode(f" {task}", add_special_tokens=False)[0] for task in TASKS]
        if len(set(first)) < len(first):
            raise ValueError(f"{self.config.model}: two task labels begin with the same token, choose another model")
        if not self.bias:
            seen = self.llm.generate(
                [label_prompt(text) for text in UNLABELLED],
                self.params(max_tokens=1, temperature=0.0, logprob_token_ids=first),
                use_tqdm=False,
            )
            steps = [found[0] for answer in seen if (found := answer.outputs[0].logprobs)]
            self.bias = {token: -sum(step[token].logprob for step in steps) / len(steps) for token in first}
        params = self.params(max_tokens=1, temperature=0.0, allowed_token_ids=first, logit_bias=self.bias)
        answers = self.llm.generate([label_prompt(text) for text in instructions], params, use_tqdm=False)
        return [TASKS[first.index(answer.outputs[0].token_ids[0])] for answer in answers]


def engine_env(config: Caption) -> dict[str, str]:
    """Environment of a captioner's process; it must be set before vLLM is imported."""
    env = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if not config.gpus:
        # by default every CPU engine of a node binds itself to the same core
        env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(config.threads)}
    if not config.model or Path(config.model).exists():
        env["HF_HUB_OFFLINE"] = "1"
    return env


def write_batches(batches: Sequence[tuple[int, Sequence[Request]]], config: Caption) -> Iterator[Batch]:
    """Captions (index, requests) batches on ``config.actors`` captioners; yields them as they are done.

    A captioner that dies is restarted, and its batch asked for again, ``RESTARTS`` times; one that does not
    answer within ``config.timeout_s`` is killed and counts as dead.

    Raises:
        RuntimeError: a captioner cannot start, or died too often.
        TimeoutError: a batch ran out of time on every try.
    """
    remote = ray.remote(Captioner).options(
        num_cpus=config.threads,
        num_gpus=config.gpus,
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
        runtime_env={"env_vars": engine_env(config)},
    )
    captioners = [cast(ActorHandle, remote.remote(config)) for _ in range(min(config.actors, len(batches)))]
    idle, waiting = list(captioners), deque(batches)
    running: dict[ray.ObjectRef, tuple[int, ActorHandle, float, int]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                index, requests = waiting.popleft()
                captioner = idle.pop()
                running[captioner.write.remote(index, requests)] = (index, captioner, _deadline(config), 0)
            patience = max(0.0, min(deadline for _, _, deadline, _ in running.values()) - time.monotonic())
            done, _ = ray.wait(list(running), num_returns=1, timeout=patience)
            for ref in done:
                _, captioner, _, _ = running.pop(ref)
                yield _result(ref)
                idle.append(captioner)
            for ref, (index, captioner, deadline, tries) in list(running.items()):
                if not done and deadline <= time.monotonic():
                    if tries == RESTARTS:
                        raise TimeoutError(
                            f"captions: batch {index} took longer than {config.timeout_s:.0f} s, {tries + 1} "
                            "times: raise caption.timeout_s or lower caption.batch"
                        )
                    ray.kill(captioner, no_restart=False)  # Ray restarts it and runs the batch again
                    running[ref] = (index, captioner, _deadline(config), tries + 1)
    finally:
        for captioner in captioners:
            ray.kill(captioner)


def _deadline(config: Caption) -> float:
    return time.monotonic() + config.timeout_s


def _result(ref: ray.ObjectRef) -> Batch:
    try:
        return ray.get(ref)
    except RayActorError as error:
        raise RuntimeError(f"a captioner died {RESTARTS + 1} times or could not start: {error}") from error
