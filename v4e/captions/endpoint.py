"""The ICG's language model behind a server that speaks OpenAI's protocol."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from v4e.captions.prompts import ANSWER, Prompt, caption_prompt
from v4e.config import Caption
from v4e.endpoint import Endpoint, RefusalError
from v4e.language.tasks import TASKS

RETRIES = 5  # of one request; a server that restarts answers 500 meanwhile
Input = TypeVar("Input")
Output = TypeVar("Output")


class EndpointModel:
    """A :class:`v4e.captions.write.LanguageModel` on a server.

    Captions are chat completions; likelihoods are completions that echo their prompt.
    """

    def __init__(self, config: Caption, key: str = ""):
        self.config = config
        self.tokens = 0  # generated so far
        self.server = Endpoint(
            "caption", config.url, config.model, key=key or "none", timeout_s=config.timeout_s, retries=RETRIES
        )

    def ready(self) -> None:
        """Requests one caption, and one vote where votes are wanted, so that the server's faults show at once.

        Raises:
            ValueError: one line that names the setting to change.
        """
        self.ask([caption_prompt("remove the tree", "removal")], 1)
        if self.config.vote != "never":
            self.prefer(["Category:"], TASKS[:1])
        self.tokens = 0

    def ask(self, prompts: list[Prompt], samples: int) -> list[list[str]]:
        """Returns `samples` answers to each prompt: one is greedy, more are drawn at the config's temperature.

        Raises:
            ValueError: the server is not there, refuses, or speaks another protocol.
        """

        def one(prompt: Prompt):
            messages = prompt.messages()
            contents = "\0".join(message["content"] for message in messages)
            return self.server.chat(
                messages=messages,
                n=samples,
                temperature=0.0 if samples == 1 else self.config.temperature,
                max_tokens=self.config.max_tokens,
                seed=int.from_bytes(hashlib.blake2b(contents.encode(), digest_size=3).digest()),
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "evolution_caption", "schema": ANSWER, "strict": True},
                },
            )

        answers = self._all(one, prompts)
        self.tokens += sum(answer.usage.completion_tokens for answer in answers if answer.usage)
        return [[choice.message.content or "" for choice in answer.choices] for answer in answers]

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """Returns log P(word | prompt) of each of `words`, for each prompt."""
        flat = self.likelihood([(prompt, f" {word}") for prompt in prompts for word in words])
        return [flat[at : at + len(words)] for at in range(0, len(flat), len(words))]

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """Returns log P(text | context) of each (context, text).

        Raises:
            ValueError: the server is not there, or does not return the likelihoods of a prompt's tokens.
        """

        def one(pair: tuple[str, str]) -> float:
            context, text = pair
            try:
                answer = self.server.complete(
                    prompt=context + text, echo=True, logprobs=0, max_tokens=1, temperature=0.0
                )
            except RefusalError as error:
                raise ValueError(self._no_likelihoods()) from error
            steps = answer.choices[0].logprobs
            if steps is None or not steps.text_offset or not steps.token_logprobs:
                raise ValueError(self._no_likelihoods())
            end = len(context + text)
            tokens = zip(steps.text_offset, steps.token_logprobs, strict=True)
            return sum(value or 0.0 for at, value in tokens if len(context) <= at < end)

        return self._all(one, pairs)

    def _no_likelihoods(self) -> str:
        return (
            f"caption.url={self.config.url} returns no likelihoods (completions with echo and logprobs, as vLLM's "
            "server has them), which the vote on tasks needs: set caption.vote=never"
        )

    def _all(self, one: Callable[[Input], Output], items: list[Input]) -> list[Output]:
        """Returns `one` of each item, in order, with ``caption.parallel`` requests at a time."""
        with ThreadPoolExecutor(self.config.parallel) as pool:
            return list(pool.map(one, items))
