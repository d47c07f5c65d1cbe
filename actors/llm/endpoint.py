"""The ICG's model behind a server that speaks OpenAI's protocol: vLLM's own, or any other."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from v4e.captions.prompts import ANSWER, Prompt, caption_prompt
from v4e.config import Caption
from v4e.language.tasks import TASKS

RETRIES = 5  # of one request, by the client, with growing pauses: a server that starts again answers 500 meanwhile
Asked = TypeVar("Asked")
Told = TypeVar("Told")


class Endpoint:
    """A :class:`v4e.captions.write.Engine`: captions by chat completions, likelihoods by completions that echo their
    prompt."""

    def __init__(self, config: Caption, key: str = ""):
        try:
            from openai import APIConnectionError, APIStatusError, OpenAI
        except ImportError as error:
            raise RuntimeError("caption.url needs the openai package: pip install -e .[icg]") from error
        self.config = config
        self.tokens = 0  # generated so far
        self.unreached, self.refused = APIConnectionError, APIStatusError
        self.client = OpenAI(base_url=config.url, api_key=key or "none", timeout=config.timeout_s, max_retries=RETRIES)

    def ready(self) -> None:
        """Asks for one caption, and where votes are wanted for one of them: what the server cannot do is told at once.

        Raises:
            ValueError: one line that names the setting to change.
        """
        self.ask([caption_prompt("remove the tree", "removal")], 1)
        if self.config.vote != "never":
            self.prefer(["Category:"], TASKS[:1])
        self.tokens = 0

    def ask(self, prompts: list[Prompt], samples: int) -> list[list[str]]:
        """``samples`` answers for each prompt: greedy for one, else at the config's temperature.

        Raises:
            ValueError: the server is not there, refuses, or speaks another protocol.
        """

        def one(prompt: Prompt):
            messages = prompt.messages()
            told = "\0".join(message["content"] for message in messages)
            return self._sent(
                self.client.chat.completions.create,
                model=self.config.model,
                messages=messages,
                n=samples,
                temperature=0.0 if samples == 1 else self.config.temperature,
                max_tokens=self.config.max_tokens,
                seed=int.from_bytes(hashlib.blake2b(told.encode(), digest_size=3).digest()),
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "evolution_caption", "schema": ANSWER, "strict": True},
                },
            )

        answers = self._all(one, prompts)
        self.tokens += sum(answer.usage.completion_tokens for answer in answers if answer.usage)
        return [[choice.message.content or "" for choice in answer.choices] for answer in answers]

    def prefer(self, prompts: list[str], words: tuple[str, ...]) -> list[list[float]]:
        """log P(word | prompt)."""
        flat = self.likelihood([(prompt, f" {word}") for prompt in prompts for word in words])
        return [flat[at : at + len(words)] for at in range(0, len(flat), len(words))]

    def likelihood(self, pairs: list[tuple[str, str]]) -> list[float]:
        """log P(text | context).

        Raises:
            ValueError: the server is not there, or does not tell how likely its prompt's tokens are.
        """

        def one(pair: tuple[str, str]) -> float:
            context, text = pair
            answer = self._sent(
                self.client.completions.create,
                what=self._no_likelihoods(),
                model=self.config.model,
                prompt=context + text,
                echo=True,
                logprobs=0,
                max_tokens=1,
                temperature=0.0,
            )
            told = answer.choices[0].logprobs
            if told is None or not told.text_offset or not told.token_logprobs:
                raise ValueError(self._no_likelihoods())
            end = len(context + text)
            steps = zip(told.text_offset, told.token_logprobs, strict=True)
            return sum(value or 0.0 for at, value in steps if len(context) <= at < end)

        return self._all(one, pairs)

    def _no_likelihoods(self) -> str:
        return (
            f"caption.url={self.config.url} tells no likelihoods (completions with echo and logprobs, as vLLM's server "
            "has them), which the vote on tasks needs: set caption.vote=never"
        )

    def _sent(self, create: Callable[..., Any], what: str = "", **asked: Any) -> Any:
        """The answer of `create`; `what` is wrong where the server answers that it cannot do it."""
        url, c = f"caption.url={self.config.url}", self.config
        try:
            answer = create(**asked)
        except self.unreached as error:
            why = " ".join(str(error.__cause__ or error).split())
            raise ValueError(f"{url} does not answer ({why}): is the server running there?") from error
        except self.refused as error:
            said = " ".join(str(error.message).split()).removeprefix(f"Error code: {error.status_code} - ")
            why = f"{error.status_code}: {said[:200]}"
            if error.status_code in (401, 403):
                raise ValueError(f"{url} refuses the key ({why}): set OPENAI_API_KEY to its key") from error
            if not what:
                what = (
                    f"{url} refuses to be asked for {c.model} ({why}): is caption.model a name that it gives a model?"
                )
            raise ValueError(what) from error
        except json.JSONDecodeError as error:
            raise ValueError(f"{url} answers no JSON: expected a URL such as http://HOST:PORT/v1") from error
        if not hasattr(answer, "choices") or not answer.choices:
            raise ValueError(f"{url} answers no JSON of OpenAI's protocol: expected a URL such as http://HOST:PORT/v1")
        return answer

    def _all(self, one: Callable[[Asked], Told], asked: list[Asked]) -> list[Told]:
        """Every answer in order, ``caption.parallel`` requests at a time."""
        with ThreadPoolExecutor(self.config.parallel) as pool:
            return list(pool.map(one, asked))
