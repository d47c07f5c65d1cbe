"""A client of servers that speak OpenAI's protocol: vLLM's, OpenAI's own, or another. All its errors are one line."""

import json
from collections.abc import Callable
from typing import Any


class RefusalError(ValueError):
    """A server refused a request with HTTP status `status`, for the reason `why`."""

    def __init__(self, message: str, status: int, why: str) -> None:
        super().__init__(message)
        self.status, self.why = status, why


class SilenceError(ValueError):
    """A server gave no answer to a request, in as many tries as it has: it is not there, too slow, or failing."""


class Endpoint:
    """A connection to one model on one server. `section` is the part of the config that its errors name."""

    def __init__(self, section: str, url: str, model: str, *, key: str | None, timeout_s: float, retries: int) -> None:
        """Connects to `url`, or to OPENAI_BASE_URL or OpenAI's own server with ""; key None = OPENAI_API_KEY.

        A request without an answer after `timeout_s` seconds, and one with status 408, 409, 429 or 5xx, is repeated
        `retries` times, with growing pauses.

        Raises:
            RuntimeError: the openai package is missing.
            ValueError: OPENAI_API_KEY is not set and `key` is None.
        """
        try:
            import openai
        except ImportError as error:
            raise RuntimeError(f"{section}.url needs the openai package: pip install -e .[icg]") from error
        try:
            self.client = openai.OpenAI(base_url=url or None, api_key=key, timeout=timeout_s, max_retries=retries)
        except openai.OpenAIError:
            raise ValueError(
                f"the key of {section}.url is missing: set OPENAI_API_KEY in the environment (any word, for a server "
                "without keys)"
            ) from None
        self.section, self.model = section, model
        self.url = f"{section}.url={url or self.client.base_url}"

    def chat(self, **request: Any) -> Any:
        """Sends a chat request and returns the answer, a ``ChatCompletion`` with at least one choice.

        Raises:
            RefusalError: the server answered with an error.
            SilenceError: the server is not there, or does not answer in time.
            ValueError: the server refuses the key, or speaks another protocol.
        """
        return self._send(self.client.chat.completions.create, request)

    def complete(self, **request: Any) -> Any:
        """Sends a text completion request and returns the answer, a ``Completion`` with at least one choice.

        Raises:
            RefusalError: the server answered with an error.
            SilenceError: the server is not there, or does not answer in time.
            ValueError: the server refuses the key, or speaks another protocol.
        """
        return self._send(self.client.completions.create, request)

    def _send(self, create: Callable[..., Any], request: dict[str, Any]) -> Any:
        import openai

        try:
            answer = create(model=self.model, **request)
        except openai.APITimeoutError as error:
            raise SilenceError(f"{self.url} did not answer in time: raise {self.section}.timeout_s") from error
        except openai.APIConnectionError as error:
            why = " ".join(str(error.__cause__ or error).split())
            raise SilenceError(f"{self.url} does not answer ({why}): is the server running there?") from error
        except openai.APIStatusError as error:
            raise self._refusal(error.status_code, error.message) from error
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.url} answers no JSON: expected a URL such as http://HOST:PORT/v1") from error
        if getattr(answer, "choices", None) is None:
            raise ValueError(
                f"{self.url} answers no JSON of OpenAI's protocol: expected a URL such as http://HOST:PORT/v1"
            )
        if not answer.choices:
            raise RefusalError(f"{self.url} answers {self.model} without a choice", 200, "the server sent no choice")
        return answer

    def _refusal(self, status: int, message: str) -> ValueError:
        why = " ".join(message.split()).removeprefix(f"Error code: {status} - ")
        shown = f"{status}: {why[:300]}"
        if status in (401, 403):
            return ValueError(f"{self.url} refuses the key ({shown}): set OPENAI_API_KEY to its key")
        advice = f"check {self.section}.url and {self.section}.model"
        if status == 404:
            advice = f"is {self.section}.model the name of a model that it serves?"
        return RefusalError(f"{self.url} refuses a request to {self.model} ({shown}): {advice}", status, why)
