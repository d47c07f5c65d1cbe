"""A judge behind OpenAI's chat API: OpenAI's own, vLLM's server, or any other that speaks it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from v4e.config import Judge
from v4e.endpoint import Endpoint, RefusalError, SilenceError
from v4e.evaluation.suites.items import Ask, Question, Reply
from v4e.files.pictures import data_uri

RETRIES = 6  # of one request
NO_ANSWER = (200, 400, 413, 422)  # statuses of a refusal to judge this item, or of every request
LOST = (408, 409, 425, 429)  # and 500 and above: what a repeated request may pass
POLICY = re.compile(r"content.?(?:policy|filter|management)|safety|moderation|data_inspection", re.IGNORECASE)


def endpoint(judge: Judge) -> Ask:
    """Returns a judge that gets one question per request.

    Raises:
        ValueError: OPENAI_API_KEY is not set. OpenAI's own server needs a key; for one without keys, set any word.
    """
    server = Endpoint("judge", judge.url, judge.model, key=None, timeout_s=judge.timeout_s, retries=RETRIES)

    names = judge.names

    def ask(questions: Sequence[Question], attempt: int) -> list[Reply]:
        return [_one(server, question, attempt, names) for question in questions]

    return ask


def _one(server: Endpoint, question: Question, attempt: int, names: Mapping[str, str]) -> Reply:
    messages = [{"role": "user", "content": content(question)}]
    sent = {names.get(name, name): value for name, value in _optional(question, attempt).items()}
    try:
        answer = server.chat(messages=messages, **{name: value for name, value in sent.items() if name})
    except SilenceError as error:
        return Reply(text="", lost=str(error)[:500])
    except RefusalError as error:
        if error.status in NO_ANSWER:
            refusal = f"the judge refused: {error.why}"[:500]
            return Reply(text="", refusal=refusal, doubtful=not POLICY.search(error.why) and error.status != 200)
        if error.status in LOST or error.status >= 500:
            return Reply(text="", lost=f"the judge answered {error.status}: {error.why}"[:500])
        raise ValueError(f"{error}; the same command goes on where this one stopped") from error
    except ValueError as error:
        raise ValueError(f"{error}; the same command goes on where this one stopped") from error
    return _reply(answer)


def _reply(answer: Any) -> Reply:
    choice, usage = answer.choices[0], answer.usage
    said = choice.message
    text = (said and said.content) or ""
    if isinstance(text, list):  # some servers send parts, of which thinking is one kind
        text = "".join(part.get("text") or "" for part in text if part.get("type") == "text")
    refusal = getattr(said, "refusal", None) or ""
    if not refusal and not text and choice.finish_reason == "content_filter":
        refusal = "its content filter"
    return Reply(
        text=text,
        tokens_in=usage.prompt_tokens if usage else 0,
        tokens_out=usage.completion_tokens if usage else 0,
        refusal=f"the judge refused: {refusal}"[:500] if refusal else "",
        cut=choice.finish_reason == "length",
        model=answer.model or "",
        fingerprint=answer.system_fingerprint or "",
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
