"""A judge behind OpenAI's chat API: OpenAI's own, vLLM's server, or any other that speaks it."""

from collections.abc import Sequence
from typing import Any

from v4e.config import Judge
from v4e.evaluation.suites.items import Ask, Question, Reply
from v4e.files.pictures import data_uri

CLIENT_RETRIES = 6  # of the client's own, with growing pauses: 408, 409, 429, 5xx, lost connections


def endpoint(judge: Judge) -> Ask:
    """Asks one question a request.

    Raises:
        ValueError: no key in OPENAI_API_KEY. OpenAI's own needs one; for a server that asks for none, set any.
    """
    import openai

    try:
        client = openai.OpenAI(base_url=judge.url or None, timeout=judge.timeout_s, max_retries=CLIENT_RETRIES)
    except openai.OpenAIError:
        raise ValueError(
            "the judge's key is missing: set OPENAI_API_KEY in the environment (any word, for a server without keys)"
        ) from None

    def ask(questions: Sequence[Question], attempt: int) -> list[Reply]:
        return [_one(client, judge, question, attempt) for question in questions]

    return ask


def _one(client: Any, judge: Judge, question: Question, attempt: int) -> Reply:
    import openai

    try:
        answer = client.chat.completions.create(
            model=judge.model, messages=[{"role": "user", "content": content(question)}], **_optional(question, attempt)
        )
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        return Reply(text="", refusal=f"the judge refused: {error.message}"[:500])
    except openai.APIStatusError as error:
        raise ValueError(
            f"the judge {judge.model} at {client.base_url} answered {error.status_code}: {error.message[:300]}; "
            "check judge.url, judge.model and OPENAI_API_KEY; the same command goes on where this one stopped"
        ) from error
    except openai.APIConnectionError as error:
        raise ValueError(
            f"the judge at {client.base_url} does not answer ({error}): check judge.url and that it runs; "
            "the same command goes on where this one stopped"
        ) from error
    if not answer.choices:
        return Reply(text="", refusal="the judge sent no choice")
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
    """What the official call sends, no more: a seed of None or a temperature of None is left out."""
    sent: dict[str, Any] = {}
    if question.max_tokens:
        sent["max_tokens"] = question.max_tokens
    if question.seed is not None:
        sent["seed"] = question.seed + attempt
    if question.temperature is not None:
        sent["temperature"] = question.temperature
    return sent
