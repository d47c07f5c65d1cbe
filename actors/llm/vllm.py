"""The ICG's model in a Ray actor: vLLM in the actor's own process, or a server that speaks OpenAI's protocol.

The engine lives in the actor's own process, so a dead engine is a dead actor, which Ray restarts; a batch is
a pure function of its requests, so it may be run again. vLLM's default, an engine in a child process, can
hang.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import torch

from actors.llm.endpoint import Endpoint
from v4e.captions.prompts import ANSWER, Prompt
from v4e.captions.small_llm import resolve_model
from v4e.captions.vote import label_bias
from v4e.captions.write import Request, Written, write
from v4e.config import Caption
from v4e.language.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The answer to one batch of requests, and what it cost."""

    index: int
    written: list[Written]
    tokens: int  # generated
    seconds: float  # without engine start


class Captioner:
    """:func:`v4e.captions.write.write` on an engine; `key` is of the server at ``caption.url``, if it wants one."""

    def __init__(self, config: Caption, key: str = ""):
        self.config, self.key = config, key
        self.known_bias: list[float] = []

    @cached_property
    def engine(self) -> "Endpoint | Vllm":
        """Started by its first use: of an error in an actor's constructor Ray tells pages.

        Raises:
            ValueError: it cannot be started.
        """
        try:
            return Endpoint(self.config, self.key) if self.config.url else Vllm(self.config)
        except Exception as error:  # libraries, weights, memory: vLLM has many
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"no captioner starts, see caption.model: {why[:600]}") from error

    def ready(self) -> None:
        """Answers once the engine has started.

        Raises:
            ValueError: it cannot do what the config asks of it.
        """
        self.engine.ready()

    def write(self, index: int, requests: Sequence[Request]) -> Batch:
        """Captions one batch; ``index`` comes back with it."""
        before, start = self.engine.tokens, time.monotonic()  # in this order: the engine may have to start first
        written = write(
            requests,
            self.engine,
            self.bias,
            candidates=self.config.candidates,
            vote=self.config.vote,
            new_words=self.config.new_words,
            refined=self.config.refine,
        )
        tokens = self.engine.tokens - before
        return Batch(index=index, written=written, tokens=tokens, seconds=time.monotonic() - start)

    def bias(self) -> list[float]:
        """:func:`v4e.captions.vote.label_bias`, measured once."""
        self.known_bias = self.known_bias or label_bias(self.engine)
        return self.known_bias


class Vllm:
    """A :class:`v4e.captions.write.Engine` on vLLM in this process, on CPU or on GPUs."""

    def __init__(self, config: Caption):
        try:
            from vllm import LLM, SamplingParams
            from vllm.sampling_params import StructuredOutputsParams
            from vllm.utils.network_utils import get_open_port
        except (ImportError, OSError, RuntimeError) as error:
            raise RuntimeError(
                f"vLLM cannot be imported ({error}): on CPU install it by scripts/install-cpu.sh, which "
                "leaves out torchvision, torchaudio and torchcodec; on GPU by pip install -e .[gpu]"
            ) from error
        self.config = config
        self.tokens = 0  # generated so far
        self.params = SamplingParams
        self.answer = StructuredOutputsParams(json=ANSWER, disable_any_whitespace=True)
        cpu, ranks = config.gpus == 0, config.tp or max(1, config.gpus)
        if ranks == 1:
            os.environ |= {
                "RANK": "0",
                "LOCAL_RANK": "0",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(get_open_port()),
            }
        self.llm = LLM(
            model=resolve_model(config.model),
            dtype="bfloat16",
            max_model_len=2048,
            tensor_parallel_size=ranks,
            # The only executor that compiles grammars before it schedules, and so schedules the same prompts the same
            # way each time: a batch asked for again gives the same captions.
            distributed_executor_backend="external_launcher" if ranks == 1 else "mp",
            enable_prefix_caching=True,
            use_tqdm_on_load=False,
            enforce_eager=cpu,  # compiling takes minutes on CPU and gains nothing there
            max_num_seqs=64 if cpu else 256,
            kv_cache_memory_bytes=256 << 20 if cpu else None,
            # vLLM caches whole blocks of a prefix, and the CPU's default block of 128 is a whole prompt
            block_size=32 if cpu else None,
        )
        executor: Any = self.llm.llm_engine.model_executor
        self.ranks = [rank.proc for rank in executor.workers] if ranks > 1 else []
        executor.register_failure_callback(_end)  # vLLM watches its ranks, also while nothing is asked

    def ready(self) -> None:
        """Looks whether the model can vote, where it is to.

        Raises:
            ValueError: the tokenizer begins two tasks with the same token.
        """
        if self.config.vote != "never":
            self._first_tokens(TASKS)

    def ask(self, prompts: list[Prompt], samples: int) -> list[list[str]]:
        """``samples`` answers for each prompt, the likeliest first; one is greedy, more are at the temperature."""
        texts = [prompt.text() for prompt in prompts]
        # seeded by the call itself, so that a batch run again gives the same texts; seeds in the request are
        # refused by vLLM on CPU ("CPU Generator does not use offset")
        seed = int.from_bytes(hashlib.blake2b("\0".join(texts).encode(), digest_size=4).digest())
        torch.manual_seed(seed)
        params = self.params(
            n=samples,
            temperature=0.0 if samples == 1 else self.config.temperature,
            max_tokens=self.config.max_tokens,
            structured_outputs=self.answer,
            logprobs=0,
            seed=seed if self.config.gpus else None,
        )
        answers = [answer.outputs for answer in self._generate(texts, params)]
        self.tokens += sum(len(text.token_ids) for found in answers for text in found)
        ranked = [sorted(found, key=lambda o: -(o.cumulative_logprob or 0.0) / len(o.token_ids)) for found in answers]
        return [[text.text for text in found] for found in ranked]

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """log P of each word's first token, by one decode step."""
        first = self._first_tokens(words)
        params = self.params(max_tokens=1, temperature=0.0, logprob_token_ids=first)
        steps = [found[0] for a in self._generate(prompts, params) if (found := a.outputs[0].logprobs)]
        return [[step[token].logprob for token in first] for step in steps]

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """log P(text | context), by the prompt's own log-probabilities."""
        tokenizer = self.llm.get_tokenizer()
        contexts = {context: tokenizer.encode(context) for context in dict.fromkeys(c for c, _ in pairs)}
        texts = [tokenizer.encode(text, add_special_tokens=False) for _, text in pairs]
        prompts = [{"prompt_token_ids": contexts[c] + text} for (c, _), text in zip(pairs, texts, strict=True)]
        answers = self._generate(prompts, self.params(max_tokens=1, temperature=0.0, prompt_logprobs=0))
        return [
            sum(step[token].logprob for step, token in zip(answer.prompt_logprobs[-len(text) :], text, strict=True))
            for answer, text in zip(answers, texts, strict=True)
        ]

    def _first_tokens(self, words: tuple[str, ...]) -> list[int]:
        tokenizer = self.llm.get_tokenizer()
        first = [tokenizer.encode(f" {word}", add_special_tokens=False)[0] for word in words]
        if len(set(first)) < len(first):
            raise ValueError(
                f"caption.model={self.config.model}: two task labels begin with the same token, so it cannot vote: "
                "choose another model, or set caption.vote=never"
            )
        return first

    def _generate(self, prompts, params) -> list:
        try:
            return self.llm.generate(prompts, params, use_tqdm=False)
        except Exception:  # a dead rank is told in several ways, as its neighbours' error too
            if all(rank.is_alive() for rank in self.ranks):
                raise
            _end()


def _end() -> NoReturn:
    """Ends this process: a model that lost a rank does not come back in it, Ray's restart of the actor does."""
    os._exit(1)


def engine_env(config: Caption) -> dict[str, str]:
    """Environment of a captioner's process; it must be set before vLLM is imported."""
    env = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if not config.gpus:
        # by default every CPU engine of a node binds itself to the same core
        env |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(config.threads)}
    if not config.model or Path(config.model).exists():
        env["HF_HUB_OFFLINE"] = "1"
    return env
