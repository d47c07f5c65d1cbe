"""A judge behind OpenAI's chat API: OpenAI's own, vLLM's server, or any other that speaks it."""

from collections.abc import Sequence
from typing import Any

from v4e.config import Judge
from v4e.endpoint import Endpoint, RefusalError
from v4e.evaluation.suites.items import Ask, Question, Reply
from v4e.files.pictures import data_uri

RETRIES = 6  # of one request
NO_ANSWER = (200, 400, 422)  # statuses of a refusal to judge this item; with any other no item can be judged


def endpoint(judge: Judge) -> Ask:
    """Returns a judge that gets one question per request.

    Raises:
        ValueError: OPENAI_API_KEY is not set. OpenAI's own server needs a key; for one without keys, set any word.
    """
    server = Endpoint("judge", judge.url, judge.model, key=None, timeout_s=judge.timeout_s, retries=RETRIES)

    def ask(questions: Sequence[Question], attempt: int) -> list[Reply]:
        return [_one(server, question, attempt) for question in questions]

    return ask


def _one(server: Endpoint, question: Question, attempt: int) -> Reply:
    messages = [{"role": "user", "content": content(question)}]
    try:
        answer = server.chat(messages=messages, **_optional(question, attempt))
    except ValueError as error:
        if isinstance(error, RefusalError) and error.status in NO_ANSWER:
            return Reply(text="", refusal=f"the judge refused: {error.why}"[:500])
        raise ValueError(f"{error}; the same command goes on where this one stopped") from error
    usage = answer.usage
    return Reply(
        text=answer.choices[0].message.content or "",
        tokens_in=usage.prompt_tokens if usage else 0,
        tokens_out=usage.completion_tokens if usage else 0,
    )


def content(question: Question) -> list[dict[str, Any]]:
    """The message's parts, images as data URIs, in the question's order."""
    text = {"type": "text", "text": question.text}
    uris = [data_uri(picture.data, picture.kind) for picture in question.pictures]
    images = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
    return [*images, text] if question.images_first else [text, *images]


def _optional(question: Question, attempt: int) -> dict[str, Any]:
    """The optional arguments that the official call sends: a seed or temperature of None is left out."""
    sent: dict[str, Any] = {}
    if question.max_tokens:
        sent["max_tokens"] = question.max_tokens
    if question.seed is not None:
        sent["seed"] = question.seed + attempt
    if question.temperature is not None:
        sent["temperature"] = question.temperature
    return sent
